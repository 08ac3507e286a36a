"""Applying: tables, tree and position move together, private parts go only as committed, proofs do not interfere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import psycopg
import pytest
from psycopg import AsyncConnection

from ballot.ledger.applier import Applier
from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry, encode_map
from ballot.ledger.machine import StateMachine
from ballot.ledger.merkle import leaf_hash, root_of, verify_inclusion
from ballot.ledger.raft.messages import HardState, Write
from ballot.ledger.table import LogTable, install_genesis
from ballot.ledger.vault import Vault
from tests.support.chain import chain, genesis, notes
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

VAULT = Vault(bytes(32))


class Counter:
    """A state machine of one row: how many entries it was given."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.fail_at = 0

    async def apply(self, connection: AsyncConnection[Any], entries: Sequence[Entry]) -> None:
        for entry in entries:
            await connection.execute("insert into commands (command, at) values (%b, %b)", (entry.hash, entry.index))
            if entry.index == self.fail_at:
                await connection.execute("select 1 / 0")

    def applied(self, entries: Sequence[Entry]) -> None:
        self.seen += [entry.index for entry in entries]


class Bench:
    """A log in the table, committed, and an applier that reads it in batches of `batch`."""

    def __init__(self, dsn: str, entries: Sequence[Entry], batch: int) -> None:
        self.dsn, self.entries, self._batch = dsn, entries, batch
        self.machine = Counter()
        self.told: list[int] = []
        self.running: asyncio.Future[None] | None = None
        self.applier = Applier(dsn, cast(StateMachine, self.machine), self._read, self._on_applied)

    async def _read(self, first: int, last: int) -> Sequence[Entry]:
        return self.entries[first - 1 : min(last, first + self._batch - 1)]

    def _on_applied(self, entries: Sequence[Entry]) -> None:
        self.told.append(entries[-1].index)

    def stored(self) -> tuple[int, int, int]:
        """(position, rows of the machine, private parts) in the database."""
        query = (
            "select (select index from ledger_applied), (select count(*) from commands),"
            " (select count(*) from ledger_private)"
        )
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return row


def with_applier(
    dsn: str, entries: Sequence[Entry], work: Callable[[Bench], Awaitable[None]], *, batch: int = 1000
) -> Bench:
    """Opens an applier on a log that is all there, and runs it while `work` does."""

    async def run() -> Bench:
        bench = Bench(dsn, entries, batch)
        await bench.applier.open()
        bench.running = running = asyncio.ensure_future(bench.applier.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await work(bench)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await bench.applier.close()
        return bench

    return asyncio.run(run())


def log(dsn: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Writes them, committed."""

    async def write() -> None:
        table = LogTable(dsn, VAULT)
        await table.open()
        await table.write(Write(1, HardState(1, 1, entries[-1].index), 0, entries[1:], True))
        await table.close()

    install_genesis(dsn, entries[0])
    asyncio.run(write())
    return entries


def texts(count: int) -> list[Entry]:
    return chain(notes([f"{number}" for number in range(count)]))


def until(index: int) -> Callable[[Bench], Awaitable[None]]:
    async def work(bench: Bench) -> None:
        bench.applier.advance(index)
        await bench.applier.reached(index)

    return work


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_tables_tree_and_position_move_together(dsn: str, batch: int) -> None:
    entries = log(dsn, texts(30))
    bench = with_applier(dsn, entries, until(31), batch=batch)
    assert bench.stored() == (31, 31, 0)
    assert bench.machine.seen == list(range(1, 32))
    assert bench.told[-1] == 31
    assert bench.applier.tree.root() == root_of([entry.header for entry in entries])


def test_nothing_is_applied_beyond_what_is_committed(dsn: str) -> None:
    entries = log(dsn, texts(30))
    assert with_applier(dsn, entries, until(9), batch=4).stored() == (9, 9, 0)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600])
def test_a_restart_goes_on_where_it_stopped_with_the_same_tree(dsn: str, size: int) -> None:
    entries = log(dsn, texts(700))
    with_applier(dsn, entries, until(size), batch=100)
    bench = with_applier(dsn, entries, until(701), batch=100)
    assert bench.machine.seen == list(range(size + 1, 702))
    assert bench.stored() == (701, 701, 0)
    assert bench.applier.tree.root(size) == root_of([entry.header for entry in entries[:size]])
    assert bench.applier.tree.root() == root_of([entry.header for entry in entries])


def test_a_batch_that_fails_leaves_nothing_and_ends_the_applier(dsn: str) -> None:
    entries = log(dsn, texts(30))

    async def work(bench: Bench) -> None:
        bench.machine.fail_at = 15
        reached = [asyncio.ensure_future(bench.applier.reached(index)) for index in (10, 15)]
        bench.applier.advance(31)
        assert bench.running is not None
        await asyncio.wait([bench.running])
        await asyncio.sleep(0)
        assert [one.done() for one in reached] == [True, False]
        reached[1].cancel()

    with pytest.raises(psycopg.errors.DivisionByZero):
        with_applier(dsn, entries, work, batch=10)
    assert Bench(dsn, entries, 1).stored() == (10, 10, 0)
    assert with_applier(dsn, entries, until(31)).stored() == (31, 31, 0)


def test_those_who_wait_are_woken_in_any_order(dsn: str) -> None:
    entries = log(dsn, texts(30))

    async def work(bench: Bench) -> None:
        waits = [asyncio.ensure_future(bench.applier.reached(index)) for index in (31, 5, 20, 5)]
        waits[2].cancel()
        bench.applier.advance(10)
        await asyncio.gather(waits[1], waits[3])
        assert not waits[0].done()
        bench.applier.advance(31)
        await waits[0]
        await bench.applier.reached(31)

    with_applier(dsn, entries, work)


# -- erasure

ERASED = {"kind": "BallotCast", "first": 3, "last": 5}


def private(kind: str) -> Draft:
    return Draft(kind, encode_map({"kind": kind}), b"secret")


def test_private_parts_go_as_a_committed_erasure_says_and_no_others(dsn: str) -> None:
    casts = [private("BallotCast") for _ in range(3)]
    erasing = Draft("PrivateErased", encode_map(ERASED))
    drafts = [casts[0], casts[1], private("UserRegistered"), casts[2], private("BallotCast"), erasing]
    entries = log(dsn, chain(drafts))
    assert with_applier(dsn, entries, until(6)).stored() == (6, 6, 5)
    assert with_applier(dsn, entries, until(7)).stored() == (7, 7, 3)
    with psycopg.connect(dsn) as connection:
        left = connection.execute("select index from ledger_private order by index").fetchall()
        erased = connection.execute("select first, last, by from ledger_erased").fetchall()
    assert left == [(2,), (4,), (6,)]
    assert erased == [(3, 5, 7)]


def test_single_parts_go_by_index_and_kind_and_the_database_lets_no_other_go(dsn: str) -> None:
    parts = [[2, "UserRegistered"], [4, "VotersAdded"], [5, "UserRegistered"]]
    erasing = Draft("PrivateErased", encode_map({"kind": "", "first": 0, "last": 0, "parts": parts}))
    drafts = [private("UserRegistered"), private("UserRegistered"), private("VotersAdded"), private("ElectionOpened")]
    entries = log(dsn, chain([*drafts, erasing]))
    assert with_applier(dsn, entries, until(6)).stored() == (6, 6, 2)
    with psycopg.connect(dsn) as connection:
        left = connection.execute("select index from ledger_private order by index").fetchall()
    assert left == [(3,), (5,)], "entry 5 is not of the kind that was named"
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.Error, match="may not be deleted"):
        connection.execute("delete from ledger_private where index = 5")


# -- proofs


def test_proofs_are_made_while_entries_are_applied(dsn: str) -> None:
    """Both use the database at the same time; neither may see or hold up the other's transaction."""
    entries = log(dsn, chain(notes([f"{number}" for number in range(3000)])))

    async def work(bench: Bench) -> None:
        applier = bench.applier
        bench.applier.advance(600)
        await applier.reached(600)
        root = applier.tree.root(600)
        bench.applier.advance(3001)
        proofs = 0
        while applier.applied < 3001:
            for number in (0, 1):
                assert len(await applier.stored_tile(0, number)) == 8192
                with pytest.raises(LookupError):
                    await applier.stored_tile(0, 99)
            for number in (0, 1):
                applier.tree._recent.pop((0, number), None)
                applier.tree._cache.pop((0, number), None)
            await applier.fetch_tiles(applier.tree.inclusion_tiles(300, 600))
            proof = applier.tree.inclusion_proof(300, 600)
            verify_inclusion(leaf_hash(entries[300].header), 300, 600, proof, root)
            proofs += 1
        assert proofs > 3

    assert with_applier(dsn, entries, work, batch=40).stored() == (3001, 3001, 0)


def test_the_genesis_alone_is_a_log(dsn: str) -> None:
    install_genesis(dsn, genesis())
    assert with_applier(dsn, [genesis()], until(1)).stored() == (1, 1, 0)


def test_whoever_gives_up_waiting_leaves_nothing_behind(dsn: str) -> None:
    """Anybody may name an index in a header, and it may never come."""

    async def give_up(bench: Bench) -> None:
        soon = asyncio.ensure_future(bench.applier.reached(2))
        for index in (3, 1 << 62):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await bench.applier.reached(index)
        bench.applier.advance(2)
        await soon
        assert not bench.applier._waiting

    with_applier(dsn, log(dsn, texts(1)), give_up)
