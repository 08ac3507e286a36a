"""The desk: commands are decided in order, against what is applied plus what is in flight, by a leader that may."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import pytest
from psycopg import AsyncConnection

from ballot.ledger import desk
from ballot.ledger.clock import Clock
from ballot.ledger.decision import Decision, Draft, Known, Refusal
from ballot.ledger.desk import MAX_BATCH, Desk, Order, Outcome, Verdict
from ballot.ledger.entry import Entry, check_link, encode_map
from ballot.ledger.machine import StateMachine
from ballot.ledger.raft.config import Config
from ballot.ledger.raft.core import LEADER, RaftCore
from ballot.ledger.raft.log import Durable
from ballot.ledger.raft.messages import HardState, NotLeader, Overloaded, Record
from tests.support.chain import START_US, follow, genesis, membership
from tests.support.waiting import PATIENCE_S, until

T = TypeVar("T")
NOW_US = START_US + 1_000_000


class Rights:
    """A tiny state machine: each right may be spent once, `spender:right`; `both:a:b` spends two at once."""

    def __init__(self) -> None:
        self.spent: dict[bytes, tuple[bytes, int]] = {}
        self.in_flight: dict[bytes, tuple[bytes, int]] = {}
        self.decided: list[tuple[bytes, int]] = []
        self.batches: list[list[bytes]] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def prepare(self, commands: Sequence[bytes]) -> None:
        self.batches.append(list(commands))
        await asyncio.sleep(0)

    def decide(self, command: bytes, now_us: int) -> Decision:
        self.decided.append((command, now_us))
        spender, *rights = command.split(b":")
        for right in rights:
            earlier = self.in_flight.get(right) or self.spent.get(right)
            if earlier is not None:
                by, index = earlier
                return Known(index) if by == spender else Refusal("AlreadySpent", "spent before")
        return [Draft("Spent", encode_map({"by": spender, "right": right})) for right in rights]

    def proposed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.in_flight[entry.fields["right"]] = entry.fields["by"], entry.index

    def rewind(self) -> None:
        self.in_flight.clear()

    async def apply(self, connection: AsyncConnection[Any], entries: Sequence[Entry]) -> None: ...

    def applied(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind == "Spent":
                self.spent[entry.fields["right"]] = entry.fields["by"], entry.index
                self.in_flight.pop(entry.fields["right"], None)


class Bench:
    """One node: a real core on a disk that writes when told to, and the desk in front of it."""

    def __init__(self, runner: asyncio.Runner, nodes: int = 1, **settings: int) -> None:
        self.runner = runner
        first = genesis(membership(nodes))
        assert first.conf is not None
        durable = Durable(HardState(0, 0, 1), [(1, 0)], [(1, first.conf)], [first])
        config = Config(1, 1, **settings)
        self.core = RaftCore(config, durable, seal=self._seal, check=self._check, rng=random.Random(1))
        self.core.apply_done(1)
        self.now_us = NOW_US
        self.clock = Clock(nodes, source=lambda: self.now_us)
        self.machine = Rights()
        self.wanted: list[int] = []
        self.deposed = False
        machine = cast(StateMachine, self.machine)
        self.desk = Desk(self.core, machine, self.clock, lambda: None, self.wanted.append, self._confirm)

    async def _confirm(self) -> None:
        """A majority says whether this node still leads."""
        if self.deposed:
            raise NotLeader(2)

    def _seal(self, last: Record, term: int, payload: object) -> Entry:
        before = cast(Entry, last)
        draft = Draft("TermOpened", encode_map({"node": 1})) if payload is None else cast(Draft, payload)
        return follow(before, draft, term, max(self.desk.now_us if payload else 0, before.time_us + 1))

    @staticmethod
    def _check(before: Record, entry: Record) -> None:
        check_link(cast(Entry, before), cast(Entry, entry))

    def elect(self) -> None:
        while self.core.role != LEADER:
            self.core.tick()
            self.persist()

    def persist(self) -> None:
        """Writes what there is to write; the entries are then committed, but not applied."""
        while (write := self.core.ready().write) is not None:
            self.core.appended(write.token)

    def apply(self) -> None:
        entries = [cast(Entry, self.core.log.entry(i)) for i in range(self.core.applied + 1, self.core.commit + 1)]
        self.machine.applied(entries)
        self.core.apply_done(self.core.commit)

    def settle(self) -> None:
        self.persist()
        self.apply()

    async def submit(self, *commands: bytes, receipt: bool = False) -> list[Outcome]:
        """Each comes alone, all in one turn; what came of each."""
        alone = [self.desk.submit([Order(command, receipt)]) for command in commands]
        return [outcome for [outcome] in await asyncio.gather(*alone)]


def leading(runner: asyncio.Runner, **settings: int) -> Bench:
    bench = Bench(runner, **settings)
    bench.elect()
    bench.settle()
    return bench


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop a test: what waits in the desk belongs to it."""
    with asyncio.Runner() as runner:
        yield runner


def run(bench: Bench, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`work`, while the desk runs."""

    async def both() -> T:
        desk = asyncio.ensure_future(bench.desk.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await work()
        finally:
            desk.cancel()
            with suppress(asyncio.CancelledError):
                await desk

    return bench.runner.run(both())


def decided(bench: Bench, *commands: bytes, receipt: bool = False) -> list[Any]:
    return run(bench, lambda: bench.submit(*commands, receipt=receipt))


def last(bench: Bench) -> tuple[int, int]:
    return bench.core.log.last_term, bench.core.log.last_index


def test_a_command_becomes_an_entry_at_its_ticket(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    [verdict] = decided(bench, b"ada:vote")
    assert verdict == Verdict(*last(bench))
    assert cast(Entry, bench.core.log.last).fields == {"by": b"ada", "right": b"vote"}


def test_two_commands_in_one_batch_cannot_spend_one_right_twice(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    first, second = decided(bench, b"ada:vote", b"bo:vote")
    assert bench.machine.batches == [[b"ada:vote", b"bo:vote"]]
    assert (first.refusal, second.refusal) == ("", "AlreadySpent")
    bench.settle()
    assert bench.machine.spent == {b"vote": (b"ada", first.index)}


def test_nor_can_two_in_flight_nor_one_after_the_other_is_applied(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    [first] = decided(bench, b"ada:vote")
    steps: list[Callable[[], None]] = [lambda: None, bench.persist, bench.apply]
    for step in steps:
        step()
        [second] = decided(bench, b"bo:vote")
        assert second.refusal == "AlreadySpent"
    bench.settle()
    assert bench.machine.spent == {b"vote": (b"ada", first.index)}


def test_the_same_command_again_has_the_same_place(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    first, again = decided(bench, b"ada:vote", b"ada:vote")
    assert again == Verdict(first.term, first.index, new=False)
    bench.settle()
    assert decided(bench, b"ada:vote") == [again]


def test_a_refusal_carries_the_newest_entry_it_may_rest_on(runner: asyncio.Runner) -> None:
    """The first command is still in flight: if it is lost, so is the refusal."""
    bench = leading(runner)
    _, other, refusal = decided(bench, b"ada:vote", b"ada:other", b"bo:vote")
    assert refusal == Verdict(other.term, other.index, False, "AlreadySpent", "spent before")
    assert (refusal.term, refusal.index) == last(bench)
    assert bench.core.commit < refusal.index


def test_a_leader_deposed_without_knowing_it_refuses_nothing(runner: asyncio.Runner) -> None:
    """What it refuses, the new leader may long have allowed; an accepted command is judged by its place instead."""
    bench = leading(runner)
    bench.deposed = True
    together = [Order(b"ada:vote", False), Order(b"bo:vote", False)]
    accepted, refused = run(bench, lambda: bench.desk.submit(together))
    assert isinstance(accepted, Verdict)
    assert isinstance(refused, NotLeader)


def test_a_command_that_becomes_two_entries_has_the_place_of_the_last(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    [verdict] = decided(bench, b"ada:a:b")
    assert (verdict.term, verdict.index) == last(bench)
    bench.settle()
    assert bench.machine.spent == {b"a": (b"ada", verdict.index - 1), b"b": (b"ada", verdict.index)}


def test_a_checkpoint_is_wanted_only_where_a_receipt_is_and_for_nothing_refused(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    [verdict] = decided(bench, b"ada:vote")
    assert bench.wanted == []
    decided(bench, b"ada:vote", b"bo:vote", b"bo:other", receipt=True)
    assert bench.wanted == [verdict.index, verdict.index + 1]


def test_commands_are_decided_in_the_order_they_came(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    commands = [f"voter:{number}".encode() for number in range(MAX_BATCH + 5)]
    verdicts = decided(bench, *commands)
    assert [command for command, _ in bench.machine.decided] == commands
    assert [verdict.index for verdict in verdicts] == list(range(verdicts[0].index, verdicts[0].index + len(commands)))
    assert list(map(len, bench.machine.batches)) == [MAX_BATCH, 5]


def test_what_comes_together_is_answered_together_though_decided_in_parts(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    orders = [Order(f"voter:{number}".encode(), False) for number in range(MAX_BATCH + 5)]
    verdicts = run(bench, lambda: bench.desk.submit(orders))
    assert len(verdicts) == len(orders)
    assert all(isinstance(outcome, Verdict) for outcome in verdicts)
    assert list(map(len, bench.machine.batches)) == [MAX_BATCH, 5]


def test_of_what_is_decided_in_parts_the_rest_is_sent_to_the_next_leader(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    assert bench.core.leadership is not None
    pace = bench.core.leadership.pace
    pace.waits_for = 2

    async def work() -> list[Outcome]:
        waiting = asyncio.ensure_future(bench.desk.submit([Order(b"ada:vote", False), Order(b"bo:other", False)]))
        await asyncio.sleep(0)
        pace.stored(2, 2)
        await until(lambda: bool(bench.machine.in_flight))
        await asyncio.sleep(5 * desk.PACE_S)
        assert not waiting.done()
        bench.desk.abandon()
        return await waiting

    accepted, sent_on = run(bench, work)
    assert accepted == Verdict(*last(bench))
    assert isinstance(sent_on, NotLeader)


def test_nobody_waits_for_a_command_given_up_before_it_was_decided(runner: asyncio.Runner) -> None:
    bench = leading(runner)

    async def give_up() -> Verdict:
        lost = asyncio.ensure_future(bench.desk.submit([Order(b"ada:vote", False)]))
        await asyncio.sleep(0)
        lost.cancel()
        [outcome] = await bench.submit(b"bo:vote")
        assert isinstance(outcome, Verdict)
        return outcome

    assert run(bench, give_up).refusal == ""


# -- who may decide


def test_a_follower_decides_nothing(runner: asyncio.Runner) -> None:
    bench = Bench(runner, nodes=3)
    [error] = decided(bench, b"ada:vote")
    assert isinstance(error, NotLeader)
    assert error.hint == 0
    assert bench.machine.decided == []


def test_a_leader_decides_only_after_its_own_no_op_is_applied(runner: asyncio.Runner) -> None:
    bench = Bench(runner)
    bench.elect()
    assert isinstance(decided(bench, b"ada:vote")[0], NotLeader)
    bench.persist()
    assert bench.core.commit == 2
    assert isinstance(decided(bench, b"ada:vote")[0], NotLeader)
    bench.apply()
    assert decided(bench, b"ada:vote")[0].index == 3


def test_a_leader_whose_clock_no_quorum_agreed_to_decides_nothing(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    bench.clock = bench.desk._clock = Clock(3, source=lambda: bench.now_us)
    assert isinstance(decided(bench, b"ada:vote")[0], NotLeader)
    assert bench.machine.decided == []


def test_a_leader_deposed_while_facts_were_loaded_decides_nothing(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    before = last(bench)
    prepare = bench.machine.prepare

    async def lose_leadership(commands: Sequence[bytes]) -> None:
        await prepare(commands)
        bench.core.step_down()

    bench.machine.prepare = lose_leadership  # type: ignore[method-assign]
    verdicts = decided(bench, b"ada:vote", b"bo:other")
    assert [type(verdict) for verdict in verdicts] == [NotLeader, NotLeader]
    assert last(bench) == before
    assert bench.machine.in_flight == {}


def test_whoever_waits_for_a_hanging_database_is_sent_to_the_next_leader(runner: asyncio.Runner) -> None:
    bench = leading(runner)

    async def never(commands: Sequence[bytes]) -> None:
        await asyncio.Event().wait()

    bench.machine.prepare = never  # type: ignore[method-assign]

    async def work() -> list[Any]:
        first = asyncio.ensure_future(bench.submit(b"ada:vote", b"bo:other"))
        await until(lambda: bench.desk.waits_s > 0)
        late = asyncio.ensure_future(bench.submit(b"cy:more"))
        await asyncio.sleep(0.02)
        assert bench.desk.waits_s >= 0.02
        bench.desk.abandon()
        return [*await first, *await late]

    assert [type(outcome) for outcome in run(bench, work)] == [NotLeader] * 3


def test_too_much_in_flight_refuses_and_loses_nothing(runner: asyncio.Runner) -> None:
    bench = leading(runner, max_uncommitted_bytes=300)
    first, second, third = decided(bench, b"ada:vote", b"bo:other", b"cy:more")
    assert (first.refusal, second.refusal) == ("", "")
    assert isinstance(third, Overloaded)
    bench.settle()
    [again] = decided(bench, b"cy:more")
    assert (again.index, again.new) == (second.index + 1, True)


def test_commands_wait_while_the_leader_slows_down_for_a_follower(runner: asyncio.Runner) -> None:
    bench = leading(runner)
    assert bench.core.leadership is not None
    pace = bench.core.leadership.pace
    pace.waits_for = 2

    async def work() -> list[int]:
        orders = [asyncio.ensure_future(bench.submit(b"%d:right%d" % (n, n))) for n in range(3)]

        def answered() -> int:
            return sum(order.done() for order in orders)

        pace.stored(2, 0)
        await asyncio.sleep(5 * desk.PACE_S)
        before = answered()
        pace.stored(2, 4)
        await until(lambda: answered() >= 2)
        await asyncio.sleep(5 * desk.PACE_S)
        after = answered()
        pace.waits_for = 0
        await asyncio.gather(*orders)
        return [before, after]

    assert run(bench, work) == [0, 2]


def test_more_commands_than_may_wait_are_refused_at_once(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MAX_WAITING", 2)
    verdicts = decided(leading(runner), *(b"%d:right%d" % (n, n) for n in range(3)))
    assert [isinstance(verdict, Overloaded) for verdict in verdicts] == [False, False, True]


def test_a_command_that_cannot_be_decided_is_refused_and_stops_nobody(runner: asyncio.Runner) -> None:
    """Otherwise it would end one leader after the other."""
    bench = leading(runner)
    decide = bench.machine.decide

    def stumble(command: bytes, now_us: int) -> Decision:
        if command == b"poison":
            raise KeyError("a row that was not loaded")
        return decide(command, now_us)

    bench.machine.decide = stumble  # type: ignore[method-assign]
    poison, fine = decided(bench, b"poison", b"ada:vote")
    assert (poison.refusal, fine.refusal) == ("InternalError", "")


def test_an_entry_too_large_to_be_replicated_is_refused(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ballot.ledger.desk.MAX_PAYLOAD_BYTES", 100)
    bench = leading(runner)
    before = last(bench)
    large, fine = decided(bench, b"ada:" + bytes(100), b"ada:vote")
    assert (large.refusal, large.new) == ("TooLarge", False)
    assert (fine.refusal, fine.index) == ("", before[1] + 1)


# -- time


def test_an_entry_carries_the_time_it_was_decided_at_though_the_clock_went_on(runner: asyncio.Runner) -> None:
    """Otherwise what was decided just before the close would be stamped after it (rule R8)."""
    bench = leading(runner)
    decide = bench.machine.decide

    def slowly(command: bytes, now_us: int) -> Decision:
        bench.now_us += 1_000_000
        return decide(command, now_us)

    bench.machine.decide = slowly  # type: ignore[method-assign]
    decided(bench, b"ada:vote")
    assert cast(Entry, bench.core.log.last).time_us == bench.machine.decided[0][1]


def test_a_command_is_decided_at_the_time_its_entry_will_carry(runner: asyncio.Runner) -> None:
    """Otherwise a leader whose clock is a little behind takes a ballot stamped after the close (rule R8)."""
    bench = leading(runner)
    ahead = cast(Entry, bench.core.log.last).time_us
    bench.now_us = ahead - 5_000
    decided(bench, b"ada:vote")
    assert bench.machine.decided == [(b"ada:vote", ahead + 1)]
    assert cast(Entry, bench.core.log.last).time_us == ahead + 1


@pytest.mark.parametrize("later_us", [1, 10_000_000])
def test_a_clock_that_is_ahead_of_the_log_gives_the_time(runner: asyncio.Runner, later_us: int) -> None:
    bench = leading(runner)
    bench.now_us = cast(Entry, bench.core.log.last).time_us + later_us
    decided(bench, b"ada:vote")
    assert bench.machine.decided == [(b"ada:vote", bench.now_us)]
