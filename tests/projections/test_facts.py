"""What the leader decides on: as if everything in flight were applied, whenever it is applied and whatever is kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from ballot.ledger.decision import Decision, Known, Refusal
from ballot.ledger.entry import Entry
from ballot.projections import facts as facts_module
from ballot.projections.facts import Facts
from ballot.projections.machine import ElectionMachine
from ballot.voting import commands as c
from ballot.voting.envelope import ballot_id
from ballot.voting.fold import fold
from ballot.voting.tables import Key, Row
from tests.support.life import VOTING_US, Crowd, Ledger, Life
from tests.support.views import Connection, connect

pytestmark = pytest.mark.cluster

Hook = Callable[[], Awaitable[None]]
LIFE, OTHER = Life(), Life("other")


class Leader:
    """A machine that decides, beside a ledger in dictionaries that applies at once and must always agree."""

    def __init__(self, machine: ElectionMachine, connection: Connection) -> None:
        self.machine, self._connection = machine, connection
        self.model = Ledger()
        self.applied = 0

    async def submit(self, *commands: c.AnyCommand) -> list[Decision]:
        """One batch, decided by both."""
        data = [c.encode_command(command) for command in commands]
        await self.machine.prepare(data)
        decisions: list[Decision] = []
        for command, encoded in zip(commands, data, strict=True):
            decision = self.machine.decide(encoded, VOTING_US)
            before = len(self.model.entries)
            expected = self.model.submit(command)
            assert decision == expected, type(command).__name__
            self.machine.proposed(self.model.entries[before:])
            decisions.append(decision)
        return decisions

    @property
    def in_flight(self) -> Sequence[Entry]:
        return self.model.entries[self.applied :]

    async def apply(self, count: int | None = None) -> None:
        """Applies the oldest entries in flight, all unless told."""
        batch = self.in_flight[:count]
        if not batch:
            return
        self.applied = batch[-1].index
        async with self._connection.transaction():
            await self.machine.apply(self._connection, batch)
        self.machine.applied(batch)

    def lose_leadership(self) -> None:
        """What is in flight is overwritten."""
        self.model.rewind(self.applied)
        self.machine.rewind()


def lead(dsn: str, work: Callable[[Leader], Awaitable[None]]) -> None:
    async def leading() -> None:
        machine = ElectionMachine(dsn)
        await machine.open()
        async with await connect(dsn) as connection:
            try:
                leader = Leader(machine, connection)
                await leader.apply(1)
                await work(leader)
            finally:
                await machine.close()

    asyncio.run(leading())


def during_select(monkeypatch: pytest.MonkeyPatch, before: Hook, after: Hook) -> None:
    """Runs the hooks around every query of facts, while the load waits."""
    select = facts_module._select

    async def hooked(connection: Connection, name: str, keys: Sequence[Key]) -> dict[Key, Row | None]:
        await before()
        found = await select(connection, name, keys)
        await after()
        return found

    monkeypatch.setattr(facts_module, "_select", hooked)


@pytest.mark.parametrize("seed", range(6))
def test_decisions_do_not_depend_on_what_is_applied_when_or_kept(
    dsn: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random commands, applied late, in the middle of a query, and with leadership lost now and then."""
    rng = random.Random(seed)
    monkeypatch.setattr(facts_module, "KEEP_ROWS", rng.choice([5, 30, 50_000]))

    async def work(leader: Leader) -> None:
        async def sometimes() -> None:
            if rng.random() < 0.3:
                await leader.apply(rng.randrange(1, 8))

        during_select(monkeypatch, sometimes, sometimes)
        crowd = Crowd(rng)
        while not crowd.done:
            await leader.submit(*crowd.next(rng.randrange(1, 12)))
            await sometimes()
            if rng.random() < 0.03:
                leader.lose_leadership()
        assert len(leader.model.entries) > 10

    lead(dsn, work)


def test_the_same_command_again_is_the_same_entry_while_all_is_in_flight(dsn: str) -> None:
    async def work(leader: Leader) -> None:
        everything = [*LIFE.whole(), OTHER.register("organiser"), OTHER.draft(), OTHER.cancel()]
        for command in everything:
            decision, again = await leader.submit(command, command)
            assert not isinstance(decision, Refusal | Known), type(command).__name__
            assert again == Known(leader.model.entries[-1].index), type(command).__name__
        assert leader.applied == 1

    lead(dsn, work)


def test_the_same_command_again_is_the_same_entry_before_and_after_it_is_applied(dsn: str) -> None:
    async def work(leader: Leader) -> None:
        for command in [*LIFE.whole(), OTHER.register("organiser"), OTHER.draft(), OTHER.cancel()]:
            await leader.submit(command)
            known = Known(leader.model.entries[-1].index)
            assert await leader.submit(command) == [known]
            await leader.apply()
            assert await leader.submit(command) == [known]

    lead(dsn, work)


def voting(life: Life) -> list[c.AnyCommand]:
    return [*life.people(), *life.drafting(), *life.opening(), *map(life.issue, life.voters)]


def test_a_right_in_flight_is_spent(dsn: str) -> None:
    async def work(leader: Leader) -> None:
        await leader.submit(*voting(LIFE))
        await leader.apply()
        first, second = await leader.submit(LIFE.cast("voter 0", "yes"), LIFE.cast("voter 0", "no"))
        assert isinstance(first, list)
        assert isinstance(second, Refusal)
        assert second.name == "AlreadyCast"

    lead(dsn, work)


def test_what_was_in_flight_is_forgotten_with_the_leadership(dsn: str) -> None:
    async def work(leader: Leader) -> None:
        await leader.submit(*voting(LIFE))
        await leader.apply()
        await leader.submit(LIFE.cast("voter 0", "yes"))
        leader.lose_leadership()
        [decision] = await leader.submit(LIFE.cast("voter 0", "no"))
        assert isinstance(decision, list)

    lead(dsn, work)


def test_erasing_one_elections_casts_does_not_disturb_a_batch_of_anothers(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The final erasure is applied while the leader loads what it needs for a cast whose row it already keeps."""

    async def work(leader: Leader) -> None:
        for life in (LIFE, OTHER):
            await leader.submit(*voting(life))
        await leader.submit(*map(LIFE.cast, LIFE.voters), OTHER.cast("voter 0"))
        await leader.submit(LIFE.close(), *LIFE.board(), LIFE.erase())
        await leader.apply(len(leader.in_flight) - 1)

        async def nothing() -> None: ...

        during_select(monkeypatch, nothing, leader.apply)
        again, other, fresh = await leader.submit(
            OTHER.cast("voter 0"), OTHER.cast("voter 0", "no"), OTHER.cast("voter 1")
        )
        assert leader.in_flight[0].kind == "BallotCast"
        assert isinstance(again, Known)
        assert isinstance(other, Refusal)
        assert isinstance(fresh, list)
        [refusal] = await leader.submit(LIFE.cast("voter 0"))
        assert isinstance(refusal, Refusal)
        assert refusal.name == "AlreadyPublished"

    lead(dsn, work)


def test_a_row_that_nobody_asked_to_load_is_our_bug(dsn: str) -> None:
    with pytest.raises(KeyError):
        Facts().get("users", b"somebody")


def test_rows_used_longest_ago_are_forgotten_first(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_module, "KEEP_ROWS", 2)

    async def work() -> None:
        facts = Facts()
        async with await connect(dsn) as connection:
            places: list[Any] = [("users", (name,)) for name in (b"a", b"b", b"c")]
            await facts.load(connection, places)
            await facts.load(connection, places[:1])
            facts.trim()
        assert facts.get("users", b"a") is facts.get("users", b"c") is None
        with pytest.raises(KeyError):
            facts.get("users", b"b")

    asyncio.run(work())


def test_a_row_applied_on_a_follower_is_seen_once_it_leads(dsn: str) -> None:
    """Nothing was in flight here, and the row was kept from an earlier term, when it did not exist."""

    async def work(leader: Leader) -> None:
        place = ("casts", (OTHER.eid, ballot_id(OTHER.bpk("voter 0"))))
        for command in voting(OTHER):
            leader.model.submit(command)
        await leader.apply()
        await leader.machine.prepare([c.encode_command(OTHER.cast("voter 0"))])
        leader.model.submit(OTHER.cast("voter 0"))
        assert [change for entry in leader.in_flight for change in fold(entry) if change.table == place[0]]
        await leader.apply()
        [decision] = await leader.submit(OTHER.cast("voter 0", "no"))
        assert isinstance(decision, Refusal)
        assert decision.name == "AlreadyCast"

    lead(dsn, work)


def test_bytes_that_are_no_command_are_refused_and_disturb_no_others(dsn: str) -> None:
    async def work(leader: Leader) -> None:
        command = c.encode_command(LIFE.register("ada"))
        await leader.machine.prepare([b"junk", command, b""])
        refusal = leader.machine.decide(b"junk", VOTING_US)
        assert isinstance(refusal, Refusal)
        assert refusal.name == "MalformedCommand"
        assert isinstance(leader.machine.decide(command, VOTING_US), list)

    lead(dsn, work)


def test_what_is_applied_between_two_queries_of_a_load_is_merged_in_its_order(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(leader: Leader) -> None:
        leader.model.record_all([*LIFE.people(), LIFE.draft()])
        await leader.apply()
        leader.model.record_all([LIFE.amend(), LIFE.add("ada")])

        async def nothing() -> None: ...

        async def apply_one() -> None:
            await leader.apply(1)

        during_select(monkeypatch, nothing, apply_one)
        facts = leader.machine._facts
        await facts.load(leader._connection, [("elections", (LIFE.election,)), ("users", (LIFE.organiser,))])
        row = facts.get("elections", LIFE.election)
        assert row is not None
        assert (row["draft"], row["roll_size"]) == (LIFE.amend().draft, 1)

    lead(dsn, work)
