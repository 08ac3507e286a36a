"""The entry: what was sealed comes back, anything else is refused, and so is a broken chain."""

from __future__ import annotations

import contextlib
import hashlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ballot.ledger.decision import Draft
from ballot.ledger.entry import (
    ZERO_HASH,
    Entry,
    EntryError,
    check_link,
    decode_map,
    encode_map,
    parse,
    private_digest,
    seal,
    to_wire,
)
from ballot.ledger.frame import frame, u64
from ballot.ledger.raft.messages import Conf
from tests.support.chain import SALT, chain, follow, genesis, node_record, notes

PUBLIC = encode_map({"eid": b"e" * 32})


def sealed(private: bytes | None = b"secret") -> Entry:
    return follow(genesis(), Draft("BallotCast", PUBLIC, private), term=7)


def header(**changes: bytes) -> bytes:
    """The header of `sealed(None)`, field by field, with some changed."""
    fields = {
        "index": u64(2),
        "term": u64(7),
        "time_us": u64(1),
        "kind": b"BallotCast",
        "public": hashlib.sha256(PUBLIC).digest(),
        "private": b"",
        "prev": ZERO_HASH,
    }
    return frame("entry", *(fields | changes).values())


@pytest.mark.parametrize("private", [None, b"", b"secret"], ids=["none", "empty", "some"])
def test_what_was_sealed_comes_back_from_the_wire(private: bytes | None) -> None:
    entry = sealed(private)
    again = parse(*to_wire(entry))
    assert again == entry
    assert (again.index, again.term, again.kind, again.fields) == (2, 7, "BallotCast", {"eid": b"e" * 32})
    assert again.private == private
    assert again.hash == hashlib.sha256(entry.header).digest()


def test_the_header_is_the_frame_of_the_protocol() -> None:
    entry = seal(prev_hash=ZERO_HASH, index=2, term=7, time_us=1, kind="BallotCast", public=PUBLIC)
    assert entry.header == header()


def test_the_private_digest_covers_salt_and_bytes_under_its_own_label() -> None:
    expected = hashlib.sha256(frame("private", SALT, b"secret")).digest()
    assert private_digest(b"secret", SALT) == sealed().private_digest == expected
    assert private_digest(None, b"") == b""
    assert private_digest(b"", SALT) != b""


def test_a_changed_byte_anywhere_is_refused_or_breaks_the_chain() -> None:
    """Index, term, time, kind, prev_hash and the hash of an absent part are covered by the chain alone."""
    entry = sealed()
    following = follow(entry, notes(["next"])[0], term=7)
    parts = [entry.header, entry.public, b"secret", entry.salt]
    for number, part in enumerate(parts):
        for position in range(len(part)):
            changed = part[:position] + bytes([part[position] ^ 1]) + part[position + 1 :]
            with pytest.raises(EntryError):
                check_link(parse(*(*parts[:number], changed, *parts[number + 1 :])), following)


def test_public_bytes_are_checked_without_the_private_ones() -> None:
    entry = sealed()
    withheld = parse(entry.header, entry.public)
    assert withheld.private is None
    assert withheld.private_digest == entry.private_digest
    assert withheld.hash == entry.hash
    with pytest.raises(EntryError, match="public payload"):
        parse(entry.header, encode_map({"eid": b"f" * 32}))


@pytest.mark.parametrize("salt", [b"", SALT[1:], SALT + b"\0"], ids=["none", "short", "long"])
def test_a_salt_of_another_length_is_refused(salt: bytes) -> None:
    with pytest.raises(EntryError, match="salt"):
        parse(sealed().header, PUBLIC, b"secret", salt)


def test_a_private_part_or_salt_that_the_header_does_not_name_is_refused() -> None:
    entry = sealed(None)
    with pytest.raises(EntryError, match="private"):
        parse(entry.header, PUBLIC, b"", SALT)
    with pytest.raises(EntryError, match="salt"):
        parse(entry.header, PUBLIC, None, SALT)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        header() + b"\0",
        header()[:-1],
        header(index=b"\2"),
        header(time_us=u64(1) + b"\0"),
        header(kind=b"\xff"),
        header(prev=ZERO_HASH[1:]),
        header(private=b"d"),
        frame("entry", u64(2)),
    ],
    ids=["empty", "trailing", "cut", "index", "time", "kind", "prev", "digest", "fields"],
)
def test_a_malformed_header_is_refused(bad: bytes) -> None:
    with pytest.raises(EntryError):
        parse(bad, PUBLIC)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x93\1\2\3", msgpack.packb({1: 2}), msgpack.packb({b"key": 2}), PUBLIC + b"\0", b"\x91" * 3000 + b"\0"],
    ids=["empty", "list", "number key", "bytes key", "trailing", "deep"],
)
def test_a_payload_that_is_no_map_with_text_keys_is_refused(data: bytes) -> None:
    with pytest.raises(EntryError):
        decode_map(data)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_payload_decoder_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(EntryError):
        decode_map(data)


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_no_bytes_make_the_parser_raise_anything_else(head: bytes, public: bytes) -> None:
    for data in (head, header()[: len(head)] + head, header(kind=head), header(private=head), header(prev=head)):
        with contextlib.suppress(EntryError):
            parse(data, public)


def test_the_size_counts_every_byte_that_is_stored() -> None:
    entry = sealed()
    assert entry.size == sum(len(part or b"") for part in to_wire(entry))


def test_private_fields_are_empty_where_the_part_is_gone() -> None:
    entry = follow(genesis(), Draft("PasswordChanged", PUBLIC, encode_map({"tag": b"t"})))
    assert entry.private_fields == {"tag": b"t"}
    assert parse(entry.header, entry.public).private_fields == {}


# -- the chain


def test_a_chain_links_up() -> None:
    before = None
    for entry in chain(notes(["a", "b", "c"])):
        check_link(before, entry)
        before = entry


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"index": 4}, "stands after"),
        ({"index": 2}, "stands after"),
        ({"prev_hash": ZERO_HASH}, "chain broken"),
        ({"term": 4}, "term falls"),
        ({"time_us": 1_000}, "time does not rise"),
        ({"time_us": 999}, "time does not rise"),
    ],
    ids=["gap", "repeat", "prev_hash", "term", "same time", "earlier"],
)
def test_a_broken_link_is_refused(change: dict[str, int | bytes], reason: str) -> None:
    before = follow(genesis(), notes(["a"])[0], term=5)
    before = replace(before, time_us=1_000)
    fields = {"prev_hash": before.hash, "index": 3, "term": 5, "time_us": 1_001} | change
    entry = seal(kind="Note", public=PUBLIC, **fields)  # type: ignore[arg-type]
    with pytest.raises(EntryError, match=reason):
        check_link(before, entry)


def test_only_entry_1_stands_first() -> None:
    first = genesis()
    check_link(None, first)
    with pytest.raises(EntryError, match="stands after"):
        check_link(None, follow(first, notes(["a"])[0]))
    with pytest.raises(EntryError, match="chain broken"):
        check_link(None, seal(prev_hash=SALT, index=1, term=0, time_us=1, kind="Note", public=PUBLIC))


# -- configurations


def test_a_membership_entry_puts_its_configuration_in_force() -> None:
    assert genesis().conf == Conf((1, 2, 3))
    assert sealed().conf is None


def test_a_membership_entry_with_a_malformed_list_is_refused_before_it_can_reach_the_log() -> None:
    fields = {"origin": "ballot.example", "nodes": [node_record(1).to_fields() | {"rsa": b"short"}]}
    bad = follow(genesis(), Draft("NodeAdded", encode_map(fields)))
    with pytest.raises(EntryError, match="entry 2"):
        parse(*to_wire(bad))
