"""Raft messages on the wire: every kind round trips, everything else is refused by name."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger.codec import CodecError, decode, encode
from ballot.ledger.decision import Draft
from ballot.ledger.entry import EntryError, encode_map, to_wire
from ballot.ledger.raft.messages import (
    MESSAGES,
    Append,
    AppendReply,
    AskRead,
    Committed,
    Heartbeat,
    HeartbeatReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadId,
    ReadReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from ballot.ledger.wire import pack, unpack
from tests.support.chain import chain, notes

ENTRIES = chain([*notes(["a"]), Draft("BallotCast", encode_map({"eid": b"e"}), b"secret")])
READ = ReadId(1, 2, 3)
EVERY: list[Message] = [
    PreVote(1, 2, 7, 9, 6),
    PreVote(1, 2, 7, 9, 6, True),
    PreVoteReply(1, 2, 7, True),
    Vote(1, 2, 7, 9, 6, True),
    VoteReply(1, 2, 7, False),
    Append(1, 2, 7, 0, 0, 1, ENTRIES),
    Append(1, 2, 7, 3, 6, 1, []),
    AppendReply(1, 2, 7, 9),
    AppendReply(1, 2, 7, 0, 5, 4, 3),
    AppendReply(1, 2, 7, 0, refused=-1),
    Heartbeat(1, 2, 7, 9, 100),
    HeartbeatReply(1, 2, 7, 100),
    Committed(1, 2, 7, 9),
    AskRead(1, 2, 7, READ),
    ReadReply(1, 2, 7, READ, 9),
    TimeoutNow(1, 2, 7),
]
KINDS = {kind: number for number, kind in enumerate(MESSAGES)}


def refused(data: Any) -> None:
    with pytest.raises((CodecError, EntryError)):
        decode(data, 1, 2)


def appending(*entries: Any, prev: int = 0) -> list[Any]:
    return [KINDS[Append], 7, prev, 0, 1, list(entries)]


def test_every_kind_of_message_is_here() -> None:
    assert {type(message) for message in EVERY} == set(MESSAGES)


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_from_the_wire(message: Message) -> None:
    assert decode(unpack(pack(encode(message))[4:]), 1, 2) == message


def test_sender_and_receiver_are_those_of_the_connection() -> None:
    message = decode(encode(TimeoutNow(5, 6, 7)), 1, 2)
    assert (message.sender, message.to) == (1, 2)


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_missing_field_or_one_too_many_is_refused(message: Message) -> None:
    data = unpack(pack(encode(message))[4:])
    refused(data[:-1])
    refused([*data, 0])


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize(
    "bad", [None, "1", 1.0, float("inf"), -2, 2**63, b"", {}, [None], [-1, 0, 0]], ids=lambda bad: repr(bad)
)
def test_a_field_of_another_type_or_out_of_range_is_refused(message: Message, bad: Any) -> None:
    data = unpack(pack(encode(message))[4:])
    for place in range(len(data)):
        refused([*data[:place], bad, *data[place + 1 :]])


def test_a_boolean_is_no_number_and_a_number_no_boolean() -> None:
    refused([KINDS[Heartbeat], True, 1, 1])
    refused([KINDS[Heartbeat], 1, True, 1])
    refused([KINDS[VoteReply], 1, 1])


@pytest.mark.parametrize("data", [None, 5, "PreVote", b"\0", {}, {0: 1}, [], [len(MESSAGES)], [-1, 7], [True, 7, True]])
def test_what_is_no_message_is_refused(data: Any) -> None:
    refused(data)


def test_an_entry_whose_parts_do_not_belong_together_is_refused() -> None:
    head, public, private, salt = to_wire(ENTRIES[2])
    decode(appending([head, public, private, salt], prev=2), 1, 2)
    bad: list[Any] = [
        [head, public, b"other", salt],
        [head, b"\x80", private, salt],
        [head[:-1], public, private, salt],
        [head, public],
        [head, public, private, salt, b""],
        [head, public, private, None],
        [head, None, private, salt],
        ["head", public, private, salt],
        [None, public, private, salt],
        [[], public, private, salt],
        [head, public, "secret", salt],
        7,
    ]
    for parts in bad:
        refused(appending(parts, prev=2))


def test_entries_that_do_not_follow_the_place_they_are_for_are_refused() -> None:
    """A follower acknowledges prev_index + their number: counted from elsewhere, that would be a lie."""
    first, second, third = (list(to_wire(entry)) for entry in ENTRIES)
    for entries, prev in (([second], 0), ([first], 1), ([second, third], 2), ([first, third], 0), ([second, first], 1)):
        refused(appending(*entries, prev=prev))


WIRE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=9)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)


@given(WIRE, st.integers(0, len(MESSAGES) - 1), st.lists(WIRE, max_size=5))
def test_no_value_makes_the_decoder_raise_anything_else(value: Any, kind: int, fields: list[Any]) -> None:
    for data in (value, [kind, 7, *fields], [kind, *fields], appending(*fields), [KINDS[AskRead], 7, fields]):
        with contextlib.suppress(CodecError, EntryError):
            decode(unpack(msgpack.packb(data)), 1, 2)
