"""The drills `lock`, `failover` and `clock-skew`: something breaks while ballots are cast."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from redis.asyncio.lock import Lock

from ..client.api import b64, unb64
from ..client.vote import Election
from ..client.voter import Voter
from ..ledger.entry import parse
from ..ledger.submit import Unavailable
from ..voting.ballot import parse_ballot
from .record import Failed, Recorder, expect
from .stage import QUESTION, TITLE, Stage

HELD_S, LONG_HELD_S, PAUSE_MS = 0.7, 4.0, 2500
AT_ONCE, BEFORE_S, AFTER_S = 4, 1.0, 1.5
LONGEST_GAP_S = 10.0
BACK_S = 90.0
SKEW_US, BOUND_US = 3_000_000, 1_000_000


# -- lock


async def lock(stage: Stage, record: Recorder) -> None:
    with record.step("three voters with credentials and sealed ballots"):
        voters, believed = await stage.opened(3)
        bodies = [voter.fill_in(believed, [[0]]) for voter in voters]
    with record.step(f"cast while another holds the ballot's lock for {HELD_S} s: it is retried") as step:
        held = await _hold(stage, bodies[0], HELD_S * 10)
        asyncio.get_running_loop().call_later(HELD_S, lambda: asyncio.ensure_future(held.release()))
        step.saw, took = await _timed_cast(stage, bodies[0])
        record.measured["waited_for_the_lock_s"] = took
        expect(step.saw == "recorded" and took >= HELD_S * 0.9, f"{step.saw} after {took} s")
    with record.step(f"cast while the lock is held for {LONG_HELD_S:g} s and never released: refused by name") as step:
        await _hold(stage, bodies[1], LONG_HELD_S)
        step.saw, took = await _timed_cast(stage, bodies[1])
        record.measured["gave_up_on_the_lock_after_s"] = took
        expect("VoteInProgress" in step.saw, f"answered {step.saw}")
    with record.step("cast again once the lock has run out") as step:
        step.saw = await _cast_until_recorded(stage, bodies[1], LONG_HELD_S * 2)
    with record.step(f"cast while Redis answers nobody for {PAUSE_MS} ms: the vote goes on without the lock") as step:
        await stage.redis.client_pause(PAUSE_MS, all=True)
        step.saw, took = await _timed_cast(stage, bodies[2])
        record.measured["cast_without_redis_s"] = took
        expect(step.saw == "recorded" and took < PAUSE_MS / 1000, f"{step.saw} after {took} s")
        await asyncio.sleep(PAUSE_MS / 1000)
    with record.step("close and count") as step:
        results = await stage.close(believed)
        step.saw = f"{results['tally']['ballots']['valid']} counted"
        expect(results["tally"]["ballots"]["valid"] == 3, step.saw)


async def _hold(stage: Stage, body: bytes, seconds: float) -> Lock:
    """Takes the lock that casting this ballot takes."""
    ballot = parse_ballot(body)
    held = Lock(stage.redis, f"lock:cast:{b64(ballot.eid)}:{b64(ballot.bid)}", timeout=seconds, thread_local=False)
    expect(await held.acquire(blocking=False), "the lock was held already")
    return held


async def _timed_cast(stage: Stage, body: bytes) -> tuple[str, float]:
    begun = time.monotonic()
    outcome, _ = await stage.outcome(body, 0)
    return outcome, round(time.monotonic() - begun, 2)


async def _cast_until_recorded(stage: Stage, body: bytes, patience_s: float) -> str:
    deadline = time.monotonic() + patience_s
    while True:
        outcome, _ = await stage.outcome(body, 0)
        if outcome == "recorded":
            return outcome
        expect(time.monotonic() < deadline, f"answered {outcome}")


# -- failover


async def failover(stage: Stage, record: Recorder) -> None:
    with record.step("four voters with credentials and sealed ballots"):
        voters, believed = await stage.opened(4)
    with record.step("who leads") as step:
        victim = await _victim(stage)
        step.saw = f"node {victim}, in term {(await stage.ledger.status())['term']}"
    load = Load(stage, believed, voters)
    how = "made to hand over" if stage.parts.gently else "ended as by a crash"
    with record.step(f"ballots are cast at all nodes without a pause, and the leader is {how}") as step:
        broken_at = await load.run_around(lambda: stage.ledger.drill(victim, _action(stage)))
        successor = await stage.leader_other_than(victim)
        gap = load.gap_s(broken_at)
        record.measured |= {"without_an_answer_s": gap, "answers": len(load.answers), "no_answer": load.missed}
        step.saw = f"node {successor} leads; {gap:.3f} s without an answer"
        expect(gap < LONGEST_GAP_S, step.saw)
    with record.step("every acknowledged ballot is recorded once, with the receipt that was given") as step:
        for voter in voters:
            await load.check(voter)
        count = await stage.cast_count(believed)
        step.saw = f"{count} of {len(voters)} recorded"
        expect(count == len(voters), step.saw)
    with record.step(f"node {victim} comes back and catches up") as step:
        record.measured["back_after_s"] = await _is_back(stage, victim, broken_at)
        digests = await stage.digests()
        step.saw = f"public state {', '.join(digests)}"[:40]
        expect(len(digests) == 1, f"the nodes' public states differ: {digests}")
    with record.step("close and count") as step:
        results = await stage.close(believed)
        step.saw = f"{results['tally']['ballots']['valid']} counted"
        expect(results["tally"]["ballots"]["valid"] == len(voters), step.saw)


def _action(stage: Stage) -> str:
    return "hand-over" if stage.parts.gently else "end"


async def _victim(stage: Stage) -> int:
    """The leader; if that is the node that runs this drill, and would end with it, another one leads first."""
    expect(len((await stage.ledger.status())["voters"]) >= 3, "with fewer than three voters there is no failover")
    leader = await stage.leader()
    if leader == stage.parts.node and not stage.parts.gently:
        await stage.ledger.drill(leader, "hand-over")
        leader = await stage.leader_other_than(leader)
    return leader


async def _is_back(stage: Stage, node: int, since: float) -> float:
    while True:
        try:
            await stage.ledger.status_of(node)
            return round(time.monotonic() - since, 2)
        except Unavailable as error:
            if time.monotonic() > since + BACK_S:
                raise Failed(f"node {node} is not back: does anything start it again?") from error
            await asyncio.sleep(0.2)


class Load:
    """Casts without a pause, at all nodes in turn: each ballot once, and those that are recorded again and again."""

    def __init__(self, stage: Stage, election: Election, voters: Sequence[Voter]) -> None:
        self._stage, self._election, self._voters = stage, election, voters
        self._turns = itertools.count()
        self._stop = False
        self._receipts: dict[bytes, tuple[object, ...]] = {}
        self.answers: list[float] = []
        self.missed = 0

    async def run_around(self, breaking: Callable[[], Awaitable[object]]) -> float:
        """Casts before, while and after `breaking` is called; when it was (monotonic seconds). Raises Failed."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._cast_on())
                return await group.create_task(self._break(breaking))
        except ExceptionGroup as errors:
            raise Failed(str(errors.exceptions[0])) from errors

    async def _break(self, breaking: Callable[[], Awaitable[object]]) -> float:
        try:
            await asyncio.sleep(BEFORE_S)
            broken_at = time.monotonic()
            await breaking()
            await self._until_answered_after(broken_at)
            await asyncio.sleep(AFTER_S)
        finally:
            self._stop = True
        return broken_at

    async def _until_answered_after(self, moment: float) -> None:
        while not self.answers or self.answers[-1] < moment + 0.5:
            expect(time.monotonic() < moment + self._stage.parts.patience_s, "no ballot is answered any more")
            await asyncio.sleep(0.05)

    async def _cast_on(self) -> None:
        while not self._stop:
            turn = next(self._turns)
            # The last two ballots wait until something is broken: what is new then must be recorded too.
            fresh = len(self._voters) if len(self.answers) > 50 else len(self._voters) - 2
            await self._cast(self._voters[turn % fresh], turn)
            await asyncio.sleep(0.005)

    async def _cast(self, voter: Voter, turn: int) -> None:
        outcome, reply = await self._stage.outcome(voter.fill_in(self._election, [[0]]), turn)
        if reply is None:
            # Not answered, or refused because the same ballot is being recorded just now.
            expect(outcome.startswith("no answer"), f"answered {outcome}")
            self.missed += 1
            return
        self.answers.append(time.monotonic())
        answer = reply.json()
        receipt = (answer["index"], answer["header"], answer["salt"])
        first = self._receipts.setdefault(voter.account.id, receipt)
        expect(first == receipt, "the same ballot got another receipt")

    def gap_s(self, since: float) -> float:
        """The longest time between two answers, of those that ended after `since`."""
        return round(max((late - early for early, late in pairwise(self.answers) if late > since), default=0.0), 3)

    async def check(self, voter: Voter) -> None:
        reply = await self._stage.line.persist(lambda node: voter.cast(self._election, node))
        await voter.accept(self._election, reply.json())
        answer = reply.json()
        known = self._receipts.get(voter.account.id)
        expect(known in (None, (answer["index"], answer["header"], answer["salt"])), "another receipt than before")


# -- clock-skew


async def clock_skew(stage: Stage, record: Recorder) -> None:
    with record.step("the nodes' clocks, as measured on heartbeats") as step:
        expect(len((await stage.ledger.status())["voters"]) >= 3, "with fewer than three voters nobody can be right")
        corrections = await _corrections(stage)
        record.measured |= {f"node_{node}_correction_us": us for node, us in corrections.items()}
        step.saw = ", ".join(f"node {node}: {us} us" for node, us in corrections.items())
        expect(max(map(abs, corrections.values())) <= BOUND_US, f"a clock is out of bound: {step.saw}")
    first = (await stage.ledger.status())["last"] + 1
    with record.step("entries are recorded") as step:
        step.saw = f"{await _record_entries(stage)} entries"
    leader = await stage.leader()
    with record.step(f"node {leader}, which leads, gets a clock that is {SKEW_US // 1_000_000} s ahead") as step:
        begun = time.monotonic()
        await stage.ledger.drill(leader, "skew", SKEW_US)
        try:
            successor = await stage.leader_other_than(leader)
            record.measured["handed_over_after_s"] = round(time.monotonic() - begun, 2)
            step.saw = f"it hands over to node {successor}"
            await _record_entries(stage)
        finally:
            await stage.ledger.drill(leader, "skew", 0)
    with record.step("every entry is later than the one before it, and no wrong time got into the log") as step:
        await _record_entries(stage)
        times = await _times(stage, first)
        expect(all(early < late for early, late in pairwise(times)), "times do not rise")
        ahead = max(times) - time.time_ns() // 1000
        step.saw = f"{len(times)} entries, the last {-ahead / 1e6:.3f} s ago"
        expect(ahead <= BOUND_US, f"an entry is stamped {ahead} us ahead")


async def _corrections(stage: Stage) -> dict[int, int]:
    found = {}
    for node in stage.numbers:
        clock = (await stage.ledger.status_of(node))["clock"]
        expect(clock["synchronised"], f"node {node} has not agreed on a time with a majority")
        found[node] = int(clock["correction_us"])
    return found


async def _record_entries(stage: Stage, count: int = 5) -> int:
    organiser = await stage.organiser()
    for number in range(count):
        await organiser.draft(f"{TITLE}clock {number}", [QUESTION])
    return count


async def _times(stage: Stage, first: int) -> list[int]:
    """The times of all entries from `first` on, as this node's public log has them."""
    place = stage.numbers.index(stage.parts.node)
    last = (await stage.ledger.status())["applied"]
    times: list[int] = []
    while first <= last:
        path = f"/api/ledger/entries?from={first}&to={last}"
        fields = (await stage.public.get_at(place, path)).json()["entries"]
        times += [parse(unb64(entry["header"]), unb64(entry["public"])).time_us for entry in fields]
        first += len(fields)
        expect(bool(fields), "the log is not shown")
    return times
