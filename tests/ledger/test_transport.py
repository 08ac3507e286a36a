"""Peers on real sockets: without the cluster's certificate nobody gets anywhere, with it only under their own name."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import uvloop

from ballot.ledger import door, transport
from ballot.ledger.codec import encode
from ballot.ledger.raft.messages import Heartbeat, TimeoutNow, Vote, VoteReply
from ballot.ledger.transport import ANSWER, ASK, RAFT, TELL, PeerLost
from ballot.ledger.wire import MAX_FRAME_BYTES, pack
from tests.support.peers import CLIENT, DAY, SERVER, Authority, Caller, Listening, insecure, listening
from tests.support.waiting import PATIENCE_S, until

VOTE = [RAFT, encode(Vote(2, 1, 7, 9, 6)), []]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"))


def run(work: Callable[[], Awaitable[None]]) -> None:
    """On the loop that a node has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(_as_coroutine(work), 2 * PATIENCE_S))


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def gets_nowhere(node: Listening, context: ssl.SSLContext | None) -> None:
    try:
        caller = await Caller.connect(node.address, context)
        await caller.say(VOTE, [TELL, "note", b""], [ASK, 1, "status", None])
    except OSError:
        pass  # The handshake itself failed, or the connection was gone before all was sent.
    else:
        assert await caller.is_turned_away()
        caller.hang_up()
    assert node.heard.nothing()


async def is_heard(node: Listening, context: ssl.SSLContext) -> None:
    caller = await Caller.connect(node.address, context)
    await caller.say(VOTE)
    await until(lambda: bool(node.heard.messages))
    caller.hang_up()


# -- strangers


def test_a_peer_with_the_clusters_certificate_is_heard(authority: Authority) -> None:
    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            await is_heard(node, insecure(authority.issue("node-2")))
            assert node.heard.messages == [Vote(2, 1, 7, 9, 6)]

    run(work)


STRANGERS: dict[str, Callable[[Authority, Authority], ssl.SSLContext | None]] = {
    "plain TCP": lambda ours, other: None,
    "no certificate": lambda ours, other: insecure(),
    "another authority's": lambda ours, other: insecure(other.issue("node-2")),
    "expired": lambda ours, other: insecure(ours.issue("node-2", ends=-DAY)),
    "for servers only": lambda ours, other: insecure(ours.issue("node-2", usage=[SERVER])),
    "TLS 1.2": lambda ours, other: insecure(ours.issue("node-2"), highest=ssl.TLSVersion.TLSv1_2),
    "no node": lambda ours, other: insecure(ours.issue("gateway")),
    "not a member": lambda ours, other: insecure(ours.issue("node-4")),
    "our own": lambda ours, other: insecure(ours.issue("node-1")),
    "a number alone": lambda ours, other: insecure(ours.issue("2")),
    "another spelling": lambda ours, other: insecure(ours.issue("node-02")),
    "two names": lambda ours, other: insecure(ours.issue("node-2", "node-3")),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_stranger_gets_nowhere(
    stranger: Callable[[Authority, Authority], ssl.SSLContext | None], authority: Authority, other: Authority
) -> None:
    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            await gets_nowhere(node, stranger(authority, other))
            await is_heard(node, insecure(authority.issue("node-2", usage=[CLIENT])))

    run(work)


NOT_NAMES = [
    "2",
    "node-",
    "node-02",
    "node-+2",
    "node--2",
    "node-2 ",
    "Node-2",
    "node-²",
    "node-٢",
    "node-2\0",
    "x-node-2",
]


@pytest.mark.parametrize("name", NOT_NAMES)
def test_only_one_spelling_names_a_node(name: str) -> None:
    assert door.node_named({"subject": ((("commonName", "node-2"),),)}) == 2
    assert door.node_named({"subject": ((("commonName", name),),)}) in (0, -2)
    assert door.node_named({"subject": ((("organizationName", "node-2"),),)}) == 0
    assert door.node_named({}) == 0


def test_a_node_that_was_removed_is_cut_off_and_not_let_in_again(authority: Authority) -> None:
    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            removed = insecure(authority.issue("node-3"))
            caller = await Caller.connect(node.address, removed)
            await caller.say(VOTE)
            await until(lambda: bool(node.heard.messages))
            node.heard.messages.clear()
            node.transport.follow({2: ("127.0.0.1", 1)})
            assert await caller.is_turned_away()
            await gets_nowhere(node, removed)

    run(work)


def test_a_node_that_was_removed_is_told_so_and_nothing_else(authority: Authority) -> None:
    async def work() -> None:
        async with (
            listening(authority.issue("node-1")) as node,
            listening(authority.issue("node-3"), node=3, peers={1: node.address}) as gone,
        ):
            await until(lambda: gone.transport.connected() == [1])
            node.transport.follow({2: ("127.0.0.1", 1)}, lambda peer: peer == 3)
            await until(lambda: bool(gone.heard.told))
            gone.transport.send(TimeoutNow(3, 1, 7))
            assert gone.heard.told[0] == (1, "removed", None)
            assert node.heard.nothing() and not gone.heard.messages
            await gets_nowhere(node, insecure(authority.issue("node-4")))

    run(work)


def test_of_a_node_that_was_removed_one_connection_waits_to_be_closed(authority: Authority) -> None:
    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            node.transport.follow({2: ("127.0.0.1", 1)}, lambda peer: peer == 3)
            context = insecure(authority.issue("node-3"))
            callers = [await Caller.connect(node.address, context) for _ in range(3)]
            for caller in callers:
                with suppress(OSError):
                    assert await asyncio.wait_for(caller.reader.read(), PATIENCE_S) in (b"", pack(door.REMOVED))
                caller.hang_up()
            assert node.transport._door is not None and len(node.transport._door._leaving) == 1

    run(work)


def test_a_slow_handshake_is_broken_off(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_S", 0.3)

    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            silent = await Caller.connect(node.address, None)
            dawdling = await Caller.connect(node.address, None)
            await dawdling.write(b"\x16\x03\x01\x02")  # The first bytes of a ClientHello, and never the rest.
            assert await silent.is_turned_away()
            assert await dawdling.is_turned_away()

    run(work)


def test_a_peer_comes_in_past_any_number_of_strangers_who_say_nothing(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MAX_HANDSHAKES", 8)
    monkeypatch.setattr(door, "HANDSHAKE_S", PATIENCE_S)  # Whoever waits is not sent away for that alone.

    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            strangers = [await Caller.connect(node.address, None) for _ in range(40)]
            await is_heard(node, insecure(authority.issue("node-2")))
            away = [asyncio.ensure_future(stranger.is_turned_away()) for stranger in strangers]
            await until(lambda: sum(one.done() for one in away) >= 32)
            assert sum(one.done() for one in away) <= 33  # 8 may wait, the peer's handshake took one place.
            for stranger in strangers:
                stranger.hang_up()
            await asyncio.gather(*away)

    run(work)


def test_strangers_do_not_fill_the_log(
    authority: Authority, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "TELL_EVERY_S", 2 * PATIENCE_S)

    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            for _ in range(20):
                await gets_nowhere(node, None)

    with caplog.at_level(logging.WARNING, "ballot.transport"):
        run(work)
    [told] = [record for record in caplog.records if "turned away" in record.message]
    assert vars(told)["from"] == "127.0.0.1"


# -- peers that misbehave


def test_a_second_connection_of_a_peer_ends_its_first(authority: Authority) -> None:
    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            tls = insecure(authority.issue("node-2"))
            first = await Caller.connect(node.address, tls)
            await first.say(VOTE)
            await until(lambda: bool(node.heard.messages))
            second = await Caller.connect(node.address, tls)
            assert await first.is_turned_away()
            await second.say([TELL, "sign", 7])
            await until(lambda: bool(node.heard.told))
            second.hang_up()

    run(work)


NESTED = b"\x91" * 3000 + b"\0"
WIDE = b"\xdc\x00\x40" + (b"\xdc\xff\xff" + b"\x90" * 0xFFFF) * 64
HOLLOW = b"\xdd\x7f\xff\xff\xff" * 400
STREAMS = {
    "too long": (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
    "not msgpack": pack(0)[:4] + b"\xc1",
    "deeply nested": len(NESTED).to_bytes(4, "big") + NESTED,
    "four million lists": len(WIDE).to_bytes(4, "big") + WIDE,
    "lists that say they are huge": len(HOLLOW).to_bytes(4, "big") + HOLLOW,
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_a_peer_that_sends_what_is_no_frame_is_cut_off(stream: bytes, authority: Authority) -> None:
    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            tls = insecure(authority.issue("node-2"))
            caller = await Caller.connect(node.address, tls)
            with suppress(OSError):
                await caller.write(stream)
            assert await caller.is_turned_away()
            assert node.heard.nothing()
            await is_heard(node, tls)

    run(work)


MALFORMED: dict[str, Any] = {
    "a number": 7,
    "nothing": [],
    "no channel": [9, 1, 2],
    "a channel that is no number": [[], 1, 2],
    "a message of no kind": [RAFT, [99, 1], []],
    "a message without a stamp": [RAFT, encode(Vote(2, 1, 7, 9, 6))],
    "a stamp of text": [RAFT, encode(Heartbeat(2, 1, 7, 9, 1)), ["now", None]],
    "a stamp beyond all time": [RAFT, encode(Heartbeat(2, 1, 7, 9, 1)), [2**63, None]],
    "a correction of text": [RAFT, encode(Heartbeat(2, 1, 7, 9, 1)), [1, "2"]],
    "a question without a body": [ASK, 1, "status"],
    "a question without a number": [ASK, "1", "status", None],
    "a question about nothing": [ASK, 1, {}, None],
    "a statement with too much": [TELL, "sign", 1, 2],
    "a topic that is no text": [TELL, 1, 2],
    "a size of text": [TELL, "sign", "7"],
    "a size below all": [TELL, "sign", -1],
    "half a size": [TELL, "sign", 1.5],
    "a line that is no text": [TELL, "signed", [7, bytes(32), 9]],
    "a short root": [TELL, "signed", [7, bytes(31), "line"]],
    "a note of text": [TELL, "note", "note"],
    "a note without end": [TELL, "note", bytes(1 << 20)],
}


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_ends_the_connection_and_reaches_nobody(frame: Any, authority: Authority) -> None:
    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            caller = await Caller.connect(node.address, insecure(authority.issue("node-2")))
            await caller.say(frame, VOTE)
            assert await caller.is_turned_away()
            assert node.heard.nothing()

    run(work)


def test_whatever_a_peer_says_is_taken_under_the_name_in_its_certificate(authority: Authority) -> None:
    """No message has a sender that could be written into it: both vote for the same candidate, each as itself."""

    async def work() -> None:
        async with listening(authority.issue("node-1")) as node:
            for count, peer in enumerate((2, 3), 1):
                caller = await Caller.connect(node.address, insecure(authority.issue(f"node-{peer}")))
                await caller.say([RAFT, encode(VoteReply(9, 9, 7, True)), []], [TELL, "sign", 7], [ASK, 1, "q", None])
                await until(partial(node.heard.has_been_asked, count))
                caller.hang_up()
            assert node.heard.messages == [VoteReply(2, 1, 7, True), VoteReply(3, 1, 7, True)]
            assert node.heard.told == [(2, "sign", 7), (3, "sign", 7)]
            assert node.heard.asked == [(2, "q", None), (3, "q", None)]

    run(work)


def test_nobody_answers_in_place_of_the_peer_that_was_asked(authority: Authority) -> None:
    async def work() -> None:
        async with (
            listening(authority.issue("node-2"), node=2, peers={1: ("127.0.0.1", 1)}) as second,
            listening(authority.issue("node-1"), peers={2: second.address, 3: ("127.0.0.1", 1)}) as first,
        ):
            await until(lambda: first.transport.connected() == [2])
            asking = asyncio.ensure_future(first.transport.ask(2, "q", 5, 1.0))
            await until(lambda: bool(second.heard.asked))
            liar = await Caller.connect(first.address, insecure(authority.issue("node-3")))
            await liar.say(*([ANSWER, number, True, "lie"] for number in (0, 1, 2, "1", None, 1.0)), [TELL, "sign", 7])
            await until(lambda: bool(first.heard.told))
            with pytest.raises(PeerLost):
                await asking
            liar.hang_up()

    run(work)


@pytest.mark.parametrize(("limit", "value"), [("MAX_QUESTIONS", 3), ("MAX_QUESTION_BYTES", 3500)])
def test_a_peer_that_asks_without_end_is_told_so_before_its_questions_fill_the_memory(
    limit: str, value: int, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, limit, value)

    async def work() -> None:
        async with (
            listening(authority.issue("node-2"), node=2, peers={1: ("127.0.0.1", 1)}) as second,
            listening(authority.issue("node-1"), peers={2: second.address}) as first,
        ):
            second.transport.follow({1: first.address})
            await until(lambda: (first.transport.connected(), second.transport.connected()) == ([2], [1]))
            asking = [asyncio.ensure_future(first.transport.ask(2, "q", bytes(1000), PATIENCE_S)) for _ in range(10)]
            await until(lambda: sum(one.done() for one in asking) == 7)
            second.heard.answering.set()
            answers = await asyncio.gather(*asking, return_exceptions=True)
            assert [type(answer) for answer in answers] == [list] * 3 + [PeerLost] * 7
            assert await first.transport.ask(2, "q", b"", PATIENCE_S) == ["answer", b""]

    run(work)


# -- the other direction


def test_a_node_says_nothing_to_an_impostor_at_a_peers_address(authority: Authority, other: Authority) -> None:
    """Neither to another node nor to another cluster: the certificate must be that peer's own."""

    async def work() -> None:
        for impostor in (authority.issue("node-3"), other.issue("node-2")):
            async with (
                listening(impostor, node=3) as there,
                listening(authority.issue("node-1"), peers={2: there.address}) as here,
            ):
                await asyncio.sleep(0.5)
                here.transport.send(TimeoutNow(1, 2, 7))
                assert here.transport.connected() == []
                assert there.heard.nothing()

    run(work)


def test_what_a_peer_sends_down_the_connection_that_was_made_to_it_is_not_read(authority: Authority) -> None:
    tls = authority.issue("node-2")

    async def work() -> None:
        said = asyncio.Event()

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(pack(VOTE))
            await writer.drain()
            said.set()

        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls.context(server=True))
        address = server.sockets[0].getsockname()[:2]
        async with listening(authority.issue("node-1"), peers={2: address}) as node:
            await said.wait()
            await until(lambda: node.transport.connected() == [])
            assert node.heard.nothing()
        server.close()

    run(work)
