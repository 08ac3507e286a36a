"""Applies committed entries: tree, tables and position move in one transaction (rule R4), beside the append path."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Any

from psycopg import AsyncConnection

from .entry import ZERO_HASH, Entry, EntryError, prev_hash_of
from .machine import StateMachine
from .merkle import TILE_WIDTH, TileId, Tree, edge_tiles, leaf_hash
from .takeover import APPLIER_LOCK, take_over

log = logging.getLogger("ballot.apply")

Read = Callable[[int, int], Awaitable[Sequence[Entry]]]


class Applier:
    """`read(first, last)` gives entries that are committed and durable. `on_applied(entries)` runs after each batch."""

    def __init__(
        self, dsn: str, machine: StateMachine, read: Read, on_applied: Callable[[Sequence[Entry]], None]
    ) -> None:
        self._dsn, self._machine, self._read, self._on_applied = dsn, machine, read, on_applied
        self._connection: AsyncConnection[Any] | None = None
        self._reader: AsyncConnection[Any] | None = None
        self._target = 0
        self._more = asyncio.Event()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiters = 0
        self.applied = 0
        self.tree = Tree()
        self._head = ZERO_HASH

    async def open(self) -> None:
        """Finds the position and restores the tree to it, alone (`take_over`).

        Raises EntryError and TileError when what is stored is damaged, and psycopg.Error.
        """
        # After a crash the projections may lag and are replayed: that is cheaper than a second sync for each batch.
        self._connection = await AsyncConnection.connect(
            self._dsn, autocommit=True, prepare_threshold=0, options="-c synchronous_commit=off"
        )
        # Proofs are made while entries are applied, and must not get into that transaction.
        self._reader = await AsyncConnection.connect(self._dsn, autocommit=True, prepare_threshold=0)
        await take_over(self._connection, APPLIER_LOCK)
        cursor = await self._connection.execute("select index from ledger_applied")
        row = await cursor.fetchone()
        assert row is not None
        self.applied = row[0]
        await self._restore_tree()

    async def _restore_tree(self) -> None:
        assert self._connection is not None
        tiles: dict[tuple[int, int], bytes] = {}
        for level, number in edge_tiles(self.applied):
            tiles[level, number] = await self.stored_tile(level, number)
        first = self.applied - self.applied % TILE_WIDTH
        tail = await self._connection.execute(
            "select index, header from ledger_entry where index between %s and %s order by index", (first, self.applied)
        )
        leaves: list[bytes] = []
        for index, header in await tail.fetchall():
            if index > first:
                self._check_follows(index, prev_hash_of(header))
                leaves.append(leaf_hash(header))
            self._head = sha256(header).digest()
        self.tree = Tree.load(self.applied, leaves, tiles)

    def _check_follows(self, index: int, prev_hash: bytes) -> None:
        """A leaf that does not follow the one before it was damaged in storage, and must not get into a signed tree."""
        if prev_hash != self._head:
            raise EntryError(f"entry {index}: chain broken, it does not follow the entry before it as that is stored")

    async def fetch_tiles(self, wanted: Sequence[TileId]) -> None:
        """Puts stored tiles into the tree, all at once, so that none is forgotten before the proof is made."""
        tiles = [(level, number, await self.stored_tile(level, number)) for level, number in wanted]
        for level, number, hashes in tiles:
            self.tree.put_tile(level, number, hashes)

    async def stored_tile(self, level: int, number: int) -> bytes:
        assert self._reader is not None
        cursor = await self._reader.execute(
            "select hashes from ledger_tile where level = %s and number = %s", (level, number)
        )
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"tile {level}/{number} is not stored")
        return bytes(row[0])

    def advance(self, target: int) -> None:
        """Entries up to `target` are committed and durable."""
        if target > self._target:
            self._target = target
            self._more.set()

    async def run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self.applied < self._target:
                entries = await self._read(self.applied + 1, self._target)
                await self._apply(entries)

    async def _apply(self, entries: Sequence[Entry]) -> None:
        assert self._connection is not None
        for entry in entries:
            self._check_follows(entry.index, entry.prev_hash)
            self.tree.append(leaf_hash(entry.header))
            self._head = entry.hash
        last = entries[-1].index
        # One round trip: psycopg's transaction() would wait for an answer at each end of it. What fails ends the node.
        async with self._connection.pipeline():
            cursor = self._connection.cursor()
            await cursor.execute("BEGIN", prepare=False)
            # First of all: should an earlier process of this node still be at it, whoever is second fails.
            await cursor.execute("select ledger_apply(%b, %b)", (self.applied, last))
            await self._machine.apply(self._connection, entries)
            await self._erase(entries)
            for level, number, hashes in self.tree.completed_tiles():
                await cursor.execute("insert into ledger_tile values (%b, %b, %b)", (level, number, hashes))
            await cursor.execute("COMMIT", prepare=False)
        self.applied = last
        self._machine.applied(entries)
        log.debug("entries applied", extra={"first": entries[0].index, "last": self.applied})
        self._wake()
        self._on_applied(entries)

    async def _erase(self, entries: Sequence[Entry]) -> None:
        """Private parts leave the table only as a committed PrivateErased says, checked again by a trigger."""
        assert self._connection is not None
        for entry in entries:
            if entry.kind == "PrivateErased":
                for first, last, kind in _erased_runs(entry):
                    await self._connection.execute(
                        "insert into ledger_erased (first, last, kind, by) values (%b, %b, %t, %b)",
                        (first, last, kind, entry.index),
                    )
                    await self._connection.execute(
                        "delete from ledger_private where index between %b and %b and index in"
                        " (select index from ledger_entry where index between %b and %b and kind = %t)",
                        (first, last, first, last, kind),
                    )

    async def reached(self, index: int) -> None:
        """Returns when everything up to `index` is applied here."""
        if self.applied >= index:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters += 1
        waiter = (index, self._waiters, future)
        heapq.heappush(self._waiting, waiter)
        try:
            await future
        except asyncio.CancelledError:
            # Given up, perhaps on an index that never comes: it must not be kept for ever.
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                heapq.heapify(self._waiting)
            raise

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.applied:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def close(self) -> None:
        for connection in (self._connection, self._reader):
            if connection is not None:
                await connection.close()


def _erased_runs(entry: Entry) -> list[tuple[int, int, str]]:
    """(first, last, kind) of what a PrivateErased names: one run, or single parts."""
    fields = entry.fields
    if "parts" in fields:
        return [(index, index, kind) for index, kind in fields["parts"]]
    return [(fields["first"], fields["last"], fields["kind"])]
