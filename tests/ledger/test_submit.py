"""Submitting: an answer is given once it holds on this node, and whatever is lost on the way is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ballot.ledger.applier import Applier
from ballot.ledger.desk import Desk, Verdict
from ballot.ledger.raft.core import RaftCore
from ballot.ledger.raft.messages import NotLeader, Overloaded
from ballot.ledger.submit import Submitter, Unavailable
from ballot.ledger.transport import PeerLost, Transport

RECORDED = Verdict(5, 10)
REFUSED = Verdict(5, 11, False, "AlreadyCast", "spent before")
Reply = Verdict | Exception


class Node:
    """Node 1 of a cluster: how far it has applied, and what the leader says, call by call."""

    def __init__(self, *said: Reply, leader: int = 2) -> None:
        self.said = list(said)
        self.asked: list[int] = []
        self.terms = {10: 5, 11: 5, 12: 6}
        self.core = SimpleNamespace(node=1, leader=leader, term=5, log=SimpleNamespace(term=self._term))
        self._moved = asyncio.Event()
        self.applier = SimpleNamespace(applied=12, reached=self._reached)
        self.on_asked: Callable[[], None] = lambda: None
        self.submitter = Submitter(
            cast(RaftCore, self.core),
            cast(Desk, SimpleNamespace(submit=self._desk)),
            cast(Applier, self.applier),
            lambda: cast(Transport, SimpleNamespace(ask=self._ask)),
        )

    def _term(self, index: int) -> int:
        return self.terms.get(index, -1)

    async def _reached(self, index: int) -> None:
        while self.applier.applied < index:
            self._moved.clear()
            await self._moved.wait()

    def apply(self, index: int) -> None:
        self.applier.applied = index
        self._moved.set()

    def _next(self, asked: int) -> Verdict:
        self.asked.append(asked)
        self.on_asked()
        reply = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _desk(self, command: bytes, receipt: bool) -> Verdict:
        return self._next(self.core.node)

    async def _ask(self, peer: int, topic: str, body: list[object], timeout_s: float) -> list[object]:
        """The peer's node answers as ours would."""
        assert (topic, body) == ("submit", [b"command", True])
        other = Node()
        other._desk = lambda command, receipt: self._answer(peer)  # type: ignore[method-assign]
        desk = cast(Desk, SimpleNamespace(submit=other._desk))
        at_peer = Submitter(
            cast(RaftCore, other.core), desk, cast(Applier, other.applier), lambda: cast(Transport, None)
        )
        return await at_peer.answer(body)

    async def _answer(self, peer: int) -> Verdict:
        return self._next(peer)

    def submit(self, timeout_s: float = 2.0) -> Verdict:
        return asyncio.run(self.submitter.submit(b"command", receipt=True, timeout_s=timeout_s))


@pytest.mark.parametrize("leader", [1, 2], ids=["here", "elsewhere"])
@pytest.mark.parametrize("verdict", [RECORDED, REFUSED, Verdict(5, 10, new=False)])
def test_the_leaders_verdict_comes_back_from_wherever_it_is(leader: int, verdict: Verdict) -> None:
    node = Node(verdict, leader=leader)
    assert node.submit() == verdict
    assert node.asked == [leader]


@pytest.mark.parametrize("error", [PeerLost("no answer"), NotLeader(3), NotLeader(0)], ids=repr)
def test_a_leader_that_is_lost_or_is_none_is_asked_again(error: Exception) -> None:
    node = Node(error, error, RECORDED)
    assert node.submit() == RECORDED
    assert node.asked == [2, 2, 2]


def test_the_question_follows_the_leadership() -> None:
    node = Node(NotLeader(0), NotLeader(0), RECORDED)
    leaders = iter([3, 1, 1])

    def move() -> None:
        node.core.leader = next(leaders)

    node.on_asked = move
    assert node.submit() == RECORDED
    assert node.asked == [2, 3, 1]


def test_a_node_that_knows_no_leader_waits_for_one() -> None:
    node = Node(RECORDED, leader=0)

    async def elect() -> Verdict:
        asking = asyncio.ensure_future(node.submitter.submit(b"command", receipt=True, timeout_s=2))
        await asyncio.sleep(0.05)
        assert not asking.done()
        node.core.leader = 2
        return await asking

    assert asyncio.run(elect()) == RECORDED


@pytest.mark.parametrize("verdict", [RECORDED, REFUSED], ids=["recorded", "refused"])
def test_nothing_is_answered_before_it_is_applied_here(verdict: Verdict) -> None:
    """A refusal may rest on an entry in flight: it waits for that just as well."""
    node = Node(verdict)
    node.applier.applied = verdict.index - 1

    async def wait() -> Verdict:
        asking = asyncio.ensure_future(node.submitter.submit(b"command", receipt=True, timeout_s=2))
        await asyncio.sleep(0.05)
        assert not asking.done()
        node.apply(verdict.index)
        return await asking

    assert asyncio.run(wait()) == verdict


@pytest.mark.parametrize("overwritten", [RECORDED, REFUSED], ids=["recorded", "refused"])
def test_a_verdict_whose_entry_was_overwritten_is_asked_for_again(overwritten: Verdict) -> None:
    again = Verdict(6, 12)
    node = Node(overwritten, again)
    node.terms |= {10: 6, 11: 6}
    assert node.submit() == again
    assert node.asked == [2, 2]


def test_a_verdict_of_an_older_term_whose_entry_is_not_here_is_asked_for_again_at_once() -> None:
    """It may never arrive: the new leader knows."""
    again = Verdict(6, 12)
    node = Node(RECORDED, again)
    node.core.term, node.applier.applied = 6, 9
    del node.terms[10]

    def catch_up() -> None:
        if len(node.asked) == 2:
            node.apply(12)

    node.on_asked = catch_up
    assert node.submit() == again


def test_no_answer_in_time_is_said_to_be_unknown() -> None:
    for node in (Node(PeerLost("no answer")), Node(RECORDED, leader=0), Node(NotLeader(3))):
        with pytest.raises(Unavailable, match=r"within 0\.1 s"):
            node.submit(timeout_s=0.1)


def test_a_verdict_that_is_never_applied_is_unknown() -> None:
    node = Node(RECORDED)
    node.applier.applied = 9
    with pytest.raises(Unavailable, match="no majority"):
        node.submit(timeout_s=0.1)


@pytest.mark.parametrize("leader", [1, 2], ids=["here", "elsewhere"])
def test_an_overloaded_leader_is_not_asked_again(leader: int) -> None:
    node = Node(Overloaded("much is uncommitted"), leader=leader)
    with pytest.raises(Unavailable, match="overloaded"):
        node.submit()
    assert node.asked == [leader]


def test_a_malformed_question_from_a_peer_reaches_no_desk() -> None:
    node = Node(RECORDED)
    malformed: list[Any] = [[], [b"command"], [b"command", True, 1], ["text", True]]
    for body in malformed:
        with pytest.raises(ValueError):
            asyncio.run(node.submitter.answer(body))
    assert node.asked == []
