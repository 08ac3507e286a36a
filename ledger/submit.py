"""Takes commands to the leader, wherever it is, and comes back with what the log says about them.

The leader's verdict is only a place in the log. Whether it holds is read from this node's own applied log, so an
answer survives the leader that gave it. Every command has a natural key, so asking again is safe.

What arrives within one turn of the event loop travels together: one question, one answer, one wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .applier import Applier
from .desk import MAX_BATCH, Desk, Order, Outcome, Verdict
from .raft.core import RaftCore
from .raft.messages import NotLeader, Overloaded
from .transport import PeerLost, Transport

log = logging.getLogger("ballot.submit")

ASK_TIMEOUT_S = 2.0
RETRY_S = 0.02
SETTLE_S = 0.5
MAX_QUESTION_BYTES = 1 << 20


class Unavailable(Exception):
    """No majority answered in time. Outcome unknown, or refused under load: ask again with the same command."""


def give_up(waited: asyncio.Future[Any], error: Exception) -> None:
    """What a timer does to a future. One timer alone costs a fifth of `asyncio.timeout`."""
    if not waited.done():
        waited.set_exception(error)


@dataclass(slots=True)
class _Request:
    order: Order
    verdict: asyncio.Future[Verdict]


class Submitter:
    def __init__(self, core: RaftCore, desk: Desk, applier: Applier, transport: Callable[[], Transport]) -> None:
        self._core, self._desk, self._applier, self._transport = core, desk, applier, transport
        self._requests: list[_Request] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, command: bytes, *, receipt: bool, timeout_s: float) -> Verdict:
        """A verdict that holds, applied on this node. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        request = _Request(Order(command, receipt), loop.create_future())
        if not self._requests:
            loop.call_soon(self._send)
        self._requests.append(request)
        unknown = Unavailable(f"no majority of the nodes answered within {timeout_s:g} s")
        timer = loop.call_later(timeout_s, give_up, request.verdict, unknown)
        try:
            return await request.verdict
        except Overloaded as error:
            raise Unavailable(f"the ledger is overloaded: {error}") from error
        finally:
            timer.cancel()

    def _send(self) -> None:
        while self._requests:
            task = asyncio.ensure_future(self._carry(self._take()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _take(self) -> list[_Request]:
        """As many requests as go into one question: a longer frame, or more than the desk lets wait, is never taken."""
        count = size = 0
        for request in self._requests:
            size += len(request.order.command)
            if count and (size > MAX_QUESTION_BYTES or count == MAX_BATCH):
                break
            count += 1
        taken, self._requests = self._requests[:count], self._requests[count:]
        return taken

    async def _carry(self, requests: list[_Request]) -> None:
        """Asks until each request has a verdict that holds, or nobody waits for it any more."""
        try:
            while requests := [request for request in requests if not request.verdict.done()]:
                outcomes = await self._ask_leader([request.order for request in requests])
                await self._settled([outcome for outcome in outcomes if isinstance(outcome, Verdict)])
                for request, outcome in zip(requests, outcomes, strict=True):
                    self._conclude(request.verdict, outcome)
                if not all(request.verdict.done() for request in requests):
                    await asyncio.sleep(RETRY_S)
        except Exception as error:
            for request in requests:
                give_up(request.verdict, error)

    def _conclude(self, verdict: asyncio.Future[Verdict], outcome: Outcome) -> None:
        if verdict.done():
            return
        if isinstance(outcome, Overloaded):
            verdict.set_exception(outcome)
        elif isinstance(outcome, Verdict) and self._core.log.term(outcome.index) == outcome.term:
            verdict.set_result(outcome)

    async def _ask_leader(self, orders: Sequence[Order]) -> list[Outcome]:
        leader = self._core.leader
        if leader == self._core.node:
            return await self._desk.submit(orders)
        try:
            if not leader:
                raise PeerLost("no leader is known")
            answers = await self._transport().ask(leader, "submit", orders, ASK_TIMEOUT_S)
        except PeerLost as error:
            log.debug("asking the leader failed", extra={"leader": leader, "error": str(error)})
            return [NotLeader(0)] * len(orders)
        return [_decode(answer) for answer in answers]

    async def answer(self, body: list[list[object]]) -> list[list[object]]:
        """The leader's side of commands that a peer forwarded. Raises ValueError when they are malformed."""
        orders = []
        for command, receipt in body:
            if not isinstance(command, bytes):
                raise ValueError("a command is bytes")
            orders.append(Order(command, bool(receipt)))
        return [_encode(outcome) for outcome in await self._desk.submit(orders)]

    async def _settled(self, verdicts: Sequence[Verdict]) -> None:
        """Returns once every verdict's place is applied here, or known to be another entry's."""
        while waiting := [verdict.index for verdict in verdicts if not self._is_settled(verdict)]:
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await self._applier.reached(max(waiting))

    def _is_settled(self, verdict: Verdict) -> bool:
        if self._applier.applied >= verdict.index:
            return True
        return self._core.term > verdict.term and self._core.log.term(verdict.index) != verdict.term


def _encode(outcome: Outcome) -> list[object]:
    match outcome:
        case Verdict():
            return ["verdict", outcome.term, outcome.index, outcome.new, outcome.refusal, outcome.detail]
        case Overloaded():
            return ["overloaded", str(outcome)]
        case NotLeader():
            return ["elsewhere", outcome.hint]


def _decode(answer: list[object]) -> Outcome:
    match answer:
        case ["verdict", int(term), int(index), bool(new), str(refusal), str(detail)]:
            return Verdict(term, index, new, refusal, detail)
        case ["overloaded", str(text)]:
            return Overloaded(text)
        case _:
            return NotLeader(0)
