"""Where the leader decides: commands come in, are decided in arrival order, and become proposals.

Whatever arrived since the last turn is one batch: one look-up of facts, one append, one fsync.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import msgspec

from .clock import Clock
from .decision import Decision, Draft, Known, Refusal
from .entry import MAX_PAYLOAD_BYTES, Entry
from .raft.core import LEADER, RaftCore
from .raft.messages import ConfRefused, NotLeader, Overloaded, Ticket

log = logging.getLogger("ballot.desk")

MAX_BATCH = 1000
MAX_WAITING = 4 * MAX_BATCH
PACE_S = 0.01


class Verdict(msgspec.Struct, frozen=True):
    """The leader's word on one command. It holds if and only if the entry applied at `index` has `term` (rule R5).

    `refusal` is empty for an accepted or known command; for a refusal, the ticket is the newest entry it may rest on.
    """

    term: int
    index: int
    new: bool = True
    refusal: str = ""
    detail: str = ""


class Order(NamedTuple):
    """A command, and whether a checkpoint that covers it is wanted soon."""

    command: bytes
    receipt: bool


Outcome = Verdict | NotLeader | Overloaded
"""What became of one order; unless it is a verdict, nothing was proposed."""


@dataclass(slots=True)
class _Question:
    """Orders that came together and are answered together: `answer` is there once all `outcomes` are."""

    size: int
    answer: asyncio.Future[list[Outcome]]
    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if len(self.outcomes) == self.size and not self.answer.done():
            self.answer.set_result(self.outcomes)


class Decider(Protocol):
    """What the desk asks of a state machine; see there."""

    async def prepare(self, commands: Sequence[bytes]) -> None: ...
    def decide(self, command: bytes, now_us: int) -> Decision: ...
    def proposed(self, entries: Sequence[Entry]) -> None: ...


class Desk:
    """`wake()` makes the driver look at the core; `want(index)` asks for a checkpoint; `confirm()` returns when a
    majority has said that this node still leads, and raises NotLeader.

    `now_us` is the time of the newest decision, which its entries carry: read again, the clock might pass a close.
    """

    def __init__(
        self,
        core: RaftCore,
        machine: Decider,
        clock: Clock,
        wake: Callable[[], None],
        want: Callable[[int], None],
        confirm: Callable[[], Awaitable[None]],
    ) -> None:
        self._core, self._machine, self._clock = core, machine, clock
        self._wake, self._want, self._confirm = wake, want, confirm
        self.now_us = 0
        self.refusals: Counter[str] = Counter()
        self._orders: list[tuple[_Question, Order]] = []
        self._batch: Sequence[tuple[_Question, Order]] = ()
        self._since = 0.0
        self._more = asyncio.Event()

    async def submit(self, orders: Sequence[Order]) -> list[Outcome]:
        """Decides on commands that came together, in their order."""
        if no := self._cannot_take(len(orders)):
            return [no] * len(orders)
        question = _Question(len(orders), asyncio.get_running_loop().create_future())
        self._orders += [(question, order) for order in orders]
        self._more.set()
        outcomes = await question.answer
        if any(isinstance(outcome, Verdict) and outcome.refusal for outcome in outcomes):
            return await self._confirmed(outcomes)
        return outcomes

    def _cannot_take(self, count: int) -> NotLeader | Overloaded | None:
        if not self._may_decide():
            return self._not_leading()
        if len(self._orders) + count > MAX_WAITING:
            return Overloaded(f"{len(self._orders)} commands wait already")
        return None

    def _not_leading(self) -> NotLeader:
        return NotLeader(0 if self._core.role == LEADER else self._core.leader)

    async def _confirmed(self, outcomes: list[Outcome]) -> list[Outcome]:
        """A leader that was deposed without knowing it may refuse what the new one has long allowed."""
        try:
            await self._confirm()
        except NotLeader as error:
            return [error if isinstance(one, Verdict) and one.refusal else one for one in outcomes]
        return outcomes

    def _may_decide(self) -> bool:
        """A leader decides only after its own term's no-op is applied, and with a clock the quorum agreed to."""
        core = self._core
        leading = core.leadership is not None and core.applied >= core.leadership.first_index
        return leading and self._clock.synchronised

    async def run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._orders:
                most = min(MAX_BATCH, self._core.room)
                batch, self._orders = self._orders[:most], self._orders[most:]
                await (self._decide(batch) if batch else asyncio.sleep(PACE_S))

    @property
    def waits_s(self) -> float:
        """How long the present batch has waited for its facts, seconds."""
        return time.monotonic() - self._since if self._batch else 0.0

    def abandon(self) -> None:
        """Leadership began or ended: whoever waits is to ask whoever leads now."""
        waiting, self._orders, self._batch = (*self._batch, *self._orders), [], ()
        for question, _ in waiting:
            question.add(self._not_leading())

    async def _decide(self, batch: Sequence[tuple[_Question, Order]]) -> None:
        # Nobody waits any more for a question that was given up before its turn.
        self._batch, self._since = [one for one in batch if not one[0].answer.done()], time.monotonic()
        await self._machine.prepare([order.command for _, order in self._batch])
        # Nothing below waits: who may decide now may do so to the end, and what was abandoned meanwhile is gone.
        no = None if self._may_decide() else self._not_leading()
        batch, self._batch = self._batch, ()
        for question, order in batch:
            if not question.answer.done():
                question.add(no or self._outcome(order))
        self._wake()

    def _outcome(self, order: Order) -> Outcome:
        try:
            return self._decide_one(order)
        except (NotLeader, Overloaded) as error:
            return error

    def _decide_one(self, order: Order) -> Verdict:
        last = cast(Entry, self._core.log.last)
        # A clock that is behind the log must not reopen what is closed (rule R8).
        self.now_us = max(self._clock.now_us(), last.time_us + 1)
        decision = self._judge(order.command, self.now_us)
        if not isinstance(decision, Refusal | Known) and any(_size(draft) > MAX_PAYLOAD_BYTES for draft in decision):
            # No frame would carry it to the other nodes, and nothing behind it would be replicated either.
            decision = Refusal("TooLarge", f"an entry has at most {MAX_PAYLOAD_BYTES} bytes")
        verdict = self._carry_out(decision)
        if isinstance(verdict, Refusal):
            self.refusals[verdict.name] += 1
            log.info("refused", extra={"refusal": verdict.name})
            return Verdict(last.term, last.index, False, verdict.name, verdict.detail)
        if order.receipt:
            self._want(verdict.index)
        return verdict

    def _judge(self, command: bytes, now_us: int) -> Decision:
        try:
            return self._machine.decide(command, now_us)
        except Exception:
            # Our bug; but a command that ends one leader would be sent on to the next, and end that too.
            log.exception("deciding on a command failed")
            return Refusal("InternalError", "the command could not be decided; the error was logged")

    def _carry_out(self, decision: Decision) -> Verdict | Refusal:
        if isinstance(decision, Refusal):
            return decision
        if isinstance(decision, Known):
            return Verdict(self._core.log.term(decision.index), decision.index, new=False)
        try:
            return self._propose(decision)
        except ConfRefused as error:
            return Refusal("MembersRefused", str(error))

    def _propose(self, drafts: Sequence[Draft]) -> Verdict:
        tickets: list[Ticket] = self._core.propose(drafts)
        entries = [cast(Entry, self._core.log.entry(ticket.index)) for ticket in tickets]
        self._machine.proposed(entries)
        return Verdict(tickets[-1].term, tickets[-1].index)


def _size(draft: Draft) -> int:
    return len(draft.public) + len(draft.private or b"")
