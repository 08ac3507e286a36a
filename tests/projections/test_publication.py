"""The duty that publishes the board, against the real tables and the real decisions: whatever it is interrupted by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ballot.ledger.decision import Known, Refusal
from ballot.ledger.entry import decode_map
from ballot.ledger.node import Node
from ballot.ledger.raft.core import LEADER
from ballot.projections import publication
from ballot.projections.duties import Duties
from ballot.voting import commands as c
from tests.support.life import CLOSES_US, EPOCHS, OPENS_US, VOTING_US, Ledger, Life
from tests.support.views import connect, project

pytestmark = pytest.mark.cluster

LIFE = Life("epochs", trustees=0, epochs=EPOCHS)
PLAIN = Life("plain", trustees=0)
FIRST, SECOND = LIFE.crowd(0), LIFE.crowd(20)


class Leading:
    """A leader with a ledger in dictionaries, whose entries are applied to the tables at once."""

    def __init__(self, connection: AsyncConnection[Any], rows: AsyncConnection[Any], dsn: str) -> None:
        self.ledger, self.now_us, self.submitted = Ledger(), VOTING_US, 0
        self._connection, self._rows, self._applied = connection, rows, 1
        self.fails_after = 1_000_000
        table = SimpleNamespace(read_some=self._read_some)
        node = SimpleNamespace(
            table=table,
            clock=SimpleNamespace(now_us=lambda: self.now_us),
            core=SimpleNamespace(role=LEADER),
            applier=SimpleNamespace(applied=1_000_000),
            settings=SimpleNamespace(node=1),
            submitter=SimpleNamespace(submit=self._submit),
        )
        self._duties = Duties(cast(Node, node), dsn)

    async def _read_some(self, places: Sequence[int]) -> list[Any]:
        return [self.ledger.entries[place - 1] for place in sorted(places)]

    async def _submit(self, command: bytes, **options: Any) -> Any:
        if self.fails_after <= 0:
            raise asyncio.CancelledError
        self.fails_after -= 1
        decision = self.ledger.submit(c.decode_command(command), self.now_us)
        assert not isinstance(decision, Refusal | Known), decision
        self.submitted += 1
        await self.apply()
        return SimpleNamespace(refusal="", index=self.ledger.entries[-1].index)

    async def apply(self) -> None:
        await project(self._connection, self.ledger.entries[self._applied :])
        self._applied = len(self.ledger.entries)

    async def record(self, *commands: c.AnyCommand) -> None:
        self.ledger.record_all(commands)
        await self.apply()

    async def look(self) -> list[str]:
        """One look at what is due; the kinds of entries it led to."""
        before = len(self.ledger.entries)
        await self._duties._look(self._rows)
        return [entry.kind for entry in self.ledger.entries[before:]]


@asynccontextmanager
async def leading(dsn: str) -> AsyncIterator[Leading]:
    async with await connect(dsn) as connection:
        rows = await AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row)
        async with rows:
            yield Leading(connection, rows, dsn)


def lead(dsn: str, work: Callable[[Leading], Awaitable[None]]) -> None:
    async def run() -> None:
        async with leading(dsn) as leader:
            await work(leader)

    asyncio.run(run())


def opening(life: Life) -> list[c.AnyCommand]:
    return [life.draft(), *life.opening_alone()]


def board(leader: Leading) -> list[tuple[int, list[bytes]]]:
    """Epoch and ballots of each chunk."""
    chunks = [decode_map(entry.public) for entry in leader.ledger.entries if entry.kind == "BallotsPublished"]
    return [(chunk["epoch"], chunk["ballots"]) for chunk in chunks]


def test_nothing_is_published_before_time_and_number_are_there(dsn: str) -> None:
    async def work(leader: Leading) -> None:
        await leader.record(*opening(LIFE), *map(LIFE.cast, FIRST[:-1]))
        assert await leader.look() == []
        await leader.record(LIFE.cast(FIRST[-1]))
        leader.now_us = OPENS_US - 1
        assert await leader.look() == []
        leader.now_us = VOTING_US
        assert await leader.look() == ["EpochEnded"]
        await leader.record(*map(LIFE.cast, SECOND[:-1]))
        assert await leader.look() == []
        await leader.record(LIFE.cast(SECOND[-1]))
        assert await leader.look() == ["BallotsPublished"]
        assert board(leader) == [(0, LIFE.sorted_bodies(*FIRST))]
        leader.now_us = leader.ledger.entries[-1].time_us
        assert await leader.look() == []

    lead(dsn, work)


def test_what_is_left_comes_with_the_close_in_the_order_of_names(dsn: str) -> None:
    async def work(leader: Leading) -> None:
        await leader.record(*opening(LIFE), *map(LIFE.cast, FIRST))
        assert await leader.look() == ["EpochEnded"]
        await leader.record(*map(LIFE.cast, SECOND))
        await leader.look()
        assert await leader.look() == ["EpochEnded"]
        await leader.record(LIFE.cast("late"))
        leader.now_us = CLOSES_US
        assert await leader.look() == ["ElectionClosed"]
        assert await leader.look() == ["BallotsPublished"]
        assert board(leader)[1:] == [(1, LIFE.sorted_bodies(*SECOND, "late"))]

    lead(dsn, work)


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_new_leader_goes_on_in_the_middle_of_an_epoch(dsn: str, chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no more to go by than the tables; casts that came since, and the close, change nothing about the epoch."""
    monkeypatch.setattr(publication, "CHUNK_BYTES", 7 * len(LIFE.body(FIRST[0])))

    async def work(leader: Leading) -> None:
        await leader.record(*opening(LIFE), *map(LIFE.cast, FIRST))
        await leader.look()
        await leader.record(*map(LIFE.cast, SECOND))
        leader.fails_after = chunks
        with pytest.raises(asyncio.CancelledError):
            await leader.look()
        assert [len(ballots) for _, ballots in board(leader)] == [7] * chunks
        leader.fails_after = 1_000_000
        await leader.record(LIFE.close())
        await leader.look()
        await leader.look()
        assert [ballot for epoch, ballots in board(leader) for ballot in ballots if epoch == 0] == LIFE.sorted_bodies(
            *FIRST
        )
        rest = [ballot for epoch, ballots in board(leader) for ballot in ballots if epoch == 1]
        assert rest == LIFE.sorted_bodies(*SECOND)
        assert leader.ledger.state.tables["elections"][LIFE.election,]["status"] == "published"

    lead(dsn, work)


def test_an_election_without_epochs_is_published_at_the_close_in_one(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "CHUNK_BYTES", 3 * len(PLAIN.body("voter 0")))

    async def work(leader: Leading) -> None:
        crowd = PLAIN.crowd(0, 10)
        await leader.record(*opening(PLAIN), *map(PLAIN.cast, crowd))
        assert await leader.look() == []
        await leader.record(PLAIN.close())
        assert await leader.look() == ["BallotsPublished"] * 4
        assert [ballot for _, ballots in board(leader) for ballot in ballots] == PLAIN.sorted_bodies(*crowd)
        assert {epoch for epoch, _ in board(leader)} == {0}

    lead(dsn, work)


def test_an_election_in_which_nobody_voted_has_an_empty_board(dsn: str) -> None:
    async def work(leader: Leading) -> None:
        await leader.record(*opening(LIFE), LIFE.close())
        assert await leader.look() == ["BallotsPublished"]
        assert board(leader) == [(0, [])]

    lead(dsn, work)
