"""Checkpoints at rest: whoever waits gets the newest that is large enough, and a restart finds them again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psycopg
import pytest

from ballot.ledger.notes import Notes
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster


def with_notes(dsn: str, work: Callable[[Notes], Awaitable[None]]) -> None:
    async def run() -> None:
        notes = Notes(dsn)
        await notes.open()
        running = asyncio.ensure_future(notes.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await work(notes)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await notes.close()

    asyncio.run(run())


async def settled(dsn: str, count: int) -> None:
    """Returns when that many checkpoints are stored."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while True:
            row = await (await connection.execute("select count(*) from ledger_checkpoint")).fetchone()
            if row == (count,):
                return
            await asyncio.sleep(0.01)


def test_a_new_node_has_signed_and_holds_nothing(dsn: str) -> None:
    async def work(notes: Notes) -> None:
        assert (notes.newest_size, notes.newest) == (0, b"")
        assert await notes.signed() == (0, b"")

    with_notes(dsn, work)


def test_a_checkpoint_is_there_after_a_restart(dsn: str) -> None:
    async def keep(notes: Notes) -> None:
        notes.keep(10, b"ten")
        notes.keep(12, b"twelve")
        notes.keep_signed(12, b"r" * 32)
        await settled(dsn, 2)

    async def find(notes: Notes) -> None:
        assert (notes.newest_size, notes.newest) == (12, b"twelve")
        assert await notes.signed() == (12, b"r" * 32)

    with_notes(dsn, keep)
    with_notes(dsn, find)


def test_a_checkpoint_that_is_stored_already_stays_as_it_is(dsn: str) -> None:
    async def keep(notes: Notes) -> None:
        notes.keep(10, b"first")
        await settled(dsn, 1)
        notes.keep(10, b"second")
        notes.keep(11, b"eleven")
        await settled(dsn, 2)

    with_notes(dsn, keep)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select size, note from ledger_checkpoint order by size").fetchall()
    assert rows == [(10, b"first"), (11, b"eleven")]


def test_the_last_signed_tree_never_shrinks(dsn: str) -> None:
    async def sign(notes: Notes) -> None:
        for size in (10, 7):
            notes.keep_signed(size, bytes([size]) * 32)
            notes.keep(size, b"note")
            await settled(dsn, 1 if size == 10 else 2)
        assert await notes.signed() == (10, bytes([10]) * 32)

    with_notes(dsn, sign)


def test_whoever_waits_gets_the_first_that_is_large_enough(dsn: str) -> None:
    async def work(notes: Notes) -> None:
        waits = {size: asyncio.ensure_future(notes.covering(size)) for size in (3, 10, 11)}
        given_up = asyncio.ensure_future(notes.covering(2))
        await asyncio.sleep(0)
        given_up.cancel()
        notes.keep(10, b"ten")
        assert [await waits[3], await waits[10]] == [b"ten", b"ten"]
        assert not waits[11].done()
        notes.keep(20, b"twenty")
        assert await waits[11] == b"twenty"
        assert await notes.covering(5) == b"twenty"

    with_notes(dsn, work)
