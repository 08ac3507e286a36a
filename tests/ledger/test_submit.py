"""Submitting: an answer is given once it holds on this node, and whatever is lost on the way is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ballot.ledger.applier import Applier
from ballot.ledger.desk import Desk, Order, Outcome, Verdict
from ballot.ledger.raft.core import RaftCore
from ballot.ledger.raft.messages import NotLeader, Overloaded
from ballot.ledger.submit import MAX_QUESTION_BYTES, Submitter, Unavailable
from ballot.ledger.transport import PeerLost, Transport
from tests.support.waiting import PATIENCE_S

RECORDED = Verdict(5, 10)
REFUSED = Verdict(5, 11, False, "AlreadyCast", "spent before")
Reply = Verdict | Exception


class Node:
    """Node 1 of a cluster: how far it has applied, and what the leader says, call by call."""

    def __init__(self, *said: Reply, leader: int = 2) -> None:
        self.said = list(said)
        self.asked: list[int] = []
        self.batches: list[list[bytes]] = []
        self.terms = {10: 5, 11: 5, 12: 6}
        self.core = SimpleNamespace(node=1, leader=leader, term=5, log=SimpleNamespace(term=self._term))
        self._moved = asyncio.Event()
        self.applier = SimpleNamespace(applied=12, reached=self._reached)
        self.on_asked: Callable[[], None] = lambda: None
        self.submitter = Submitter(
            cast(RaftCore, self.core),
            cast(Desk, SimpleNamespace(submit=self._desk)),
            cast(Applier, self.applier),
            lambda: cast(Transport, SimpleNamespace(ask=lambda *question: self._ask(*question))),
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

    async def _desk(self, orders: Sequence[Order]) -> list[Outcome]:
        self.batches.append([order.command for order in orders])
        return [self._outcome(self.core.node) for _ in orders]

    def _outcome(self, asked: int) -> Outcome:
        try:
            return self._next(asked)
        except (NotLeader, Overloaded) as error:
            return error

    async def _ask(self, peer: int, topic: str, body: Sequence[Order], timeout_s: float) -> list[list[object]]:
        """The peer's node answers as ours would."""
        assert topic == "submit"
        assert all(receipt for _, receipt in body)
        other = Node()
        other._desk = lambda orders: self._answer(peer, orders)  # type: ignore[method-assign]
        desk = cast(Desk, SimpleNamespace(submit=other._desk))
        at_peer = Submitter(
            cast(RaftCore, other.core), desk, cast(Applier, other.applier), lambda: cast(Transport, None)
        )
        return await at_peer.answer([list(order) for order in body])

    async def _answer(self, peer: int, orders: Sequence[Order]) -> list[Outcome]:
        self.batches.append([order.command for order in orders])
        return [self._outcome(peer) for _ in orders]

    def submit(self, timeout_s: float = PATIENCE_S) -> Verdict:
        return asyncio.run(self.submitter.submit(b"command", receipt=True, timeout_s=timeout_s))

    def submit_all(self, *commands: bytes) -> list[Verdict | BaseException]:
        """All in one turn of the event loop."""

        async def submit() -> list[Verdict | BaseException]:
            asking = [self.submitter.submit(command, receipt=True, timeout_s=PATIENCE_S) for command in commands]
            return await asyncio.gather(*asking, return_exceptions=True)

        return asyncio.run(submit())


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
        asking = asyncio.ensure_future(node.submitter.submit(b"command", receipt=True, timeout_s=PATIENCE_S))
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
        asking = asyncio.ensure_future(node.submitter.submit(b"command", receipt=True, timeout_s=PATIENCE_S))
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
    malformed: list[Any] = [[[]], [[b"command"]], [[b"command", True, 1]], [[b"command", True], ["text", True]]]
    for body in malformed:
        with pytest.raises(ValueError):
            asyncio.run(node.submitter.answer(body))
    assert node.asked == []


# -- together


@pytest.mark.parametrize("leader", [1, 2], ids=["here", "elsewhere"])
def test_what_comes_in_one_turn_travels_together(leader: int) -> None:
    places = [Verdict(5, 10), Verdict(5, 11), Verdict(5, 11, new=False)]
    node = Node(*places, leader=leader)
    assert node.submit_all(b"one", b"two", b"three") == places
    assert node.batches == [[b"one", b"two", b"three"]]


def test_only_what_was_lost_is_asked_again() -> None:
    overwritten = Verdict(4, 10)
    node = Node(RECORDED, overwritten, Overloaded("much is uncommitted"), RECORDED)
    first, second, third = node.submit_all(b"one", b"two", b"three")
    assert (first, second) == (RECORDED, RECORDED)
    assert isinstance(third, Unavailable)
    assert node.batches == [[b"one", b"two", b"three"], [b"two"]]


def test_one_that_gave_up_is_not_asked_for_again_and_holds_nobody_up() -> None:
    node = Node(NotLeader(0), RECORDED)

    async def two() -> tuple[Verdict | BaseException, Verdict | BaseException]:
        hasty = node.submitter.submit(b"hasty", receipt=True, timeout_s=0.001)
        patient = node.submitter.submit(b"patient", receipt=True, timeout_s=PATIENCE_S)
        return await asyncio.gather(hasty, patient, return_exceptions=True)

    node.said.insert(0, NotLeader(0))
    hasty, patient = asyncio.run(two())
    assert isinstance(hasty, Unavailable)
    assert patient == RECORDED
    assert node.batches == [[b"hasty", b"patient"], [b"patient"]]


def test_a_question_is_no_longer_than_a_frame_may_be() -> None:
    node = Node(RECORDED)
    large, small = bytes(MAX_QUESTION_BYTES), b"small"
    node.submit_all(small, large, small, small)
    assert node.batches == [[small], [large], [small, small]]


def test_an_answer_that_does_not_fit_the_question_is_an_error_and_no_verdict() -> None:
    node = Node(RECORDED)

    async def short(*_: object) -> list[list[object]]:
        return []

    node._ask = short  # type: ignore[method-assign, assignment]
    with pytest.raises(ValueError):
        node.submit()
