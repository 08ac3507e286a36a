"""Keeps checkpoints and the last signed tree head, off the path of those who wait for them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection

from .submit import Unavailable

_KEEP = "insert into ledger_checkpoint values (%b, %b) on conflict do nothing"

_KEEP_WITNESS = """
insert into ledger_witness values (%s, %s, %s) on conflict (key)
do update set size = excluded.size, line = excluded.line where ledger_witness.size <= excluded.size
"""


class Notes:
    """A receipt needs a checkpoint to exist, not to be stored here: every node holds it, and can sign the tree anew.

    The last signed head is written without a sync of its own. It states a function of entries that are already durable,
    and the next append's fsync covers it.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: AsyncConnection[Any] | None = None
        self._queue: list[tuple[int, bytes]] = []
        self._signed: tuple[int, bytes] | None = None
        self._more = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[bytes]]] = []
        self._signed_size = 0
        self.newest_size = 0
        self.newest = b""
        self.newest_at = time.monotonic()

    async def open(self) -> None:
        self._connection = await AsyncConnection.connect(
            self._dsn, autocommit=True, options="-c synchronous_commit=off"
        )
        cursor = await self._connection.execute("select size, note from ledger_checkpoint order by size desc limit 1")
        row = await cursor.fetchone()
        if row is not None:
            self.newest_size, self.newest = row[0], bytes(row[1])

    async def signed(self) -> tuple[int, bytes]:
        """(size, root) of the largest tree this node has signed."""
        assert self._connection is not None
        row = await (await self._connection.execute("select size, root from ledger_signed")).fetchone()
        assert row is not None
        return row[0], bytes(row[1])

    async def between(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """(size, note) of the stored checkpoints of these sizes, rising."""
        assert self._connection is not None
        query = "select size, note from ledger_checkpoint where size between %s and %s order by size"
        cursor = await self._connection.execute(query, (first, last))
        return [(size, bytes(note)) for size, note in await cursor.fetchall()]

    def keep(self, size: int, note: bytes) -> None:
        """Queues a checkpoint for storing and answers whoever waited for one that large."""
        self._queue.append((size, note))
        self.newest_size, self.newest, self.newest_at = size, note, time.monotonic()
        self._more.set()
        ready = [waiter for waiter in self._waiting if waiter[0] <= size]
        self._waiting = [waiter for waiter in self._waiting if waiter[0] > size]
        for _, future in ready:
            if not future.done():
                future.set_result(note)

    def keep_signed(self, size: int, root: bytes) -> None:
        if size > self._signed_size:
            self._signed, self._signed_size = (size, root), size
            self._more.set()

    async def covering(self, size: int) -> bytes:
        """The newest checkpoint, as soon as there is one of at least `size`."""
        if self.newest_size >= size:
            return self.newest
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, future))
        return await future

    async def run(self) -> None:
        assert self._connection is not None
        while True:
            await self._more.wait()
            self._more.clear()
            queue, self._queue = self._queue, []
            signed, self._signed = self._signed, None
            async with self._connection.pipeline():
                for size, note in queue:
                    await self._connection.execute(_KEEP, (size, note))
                if signed is not None:
                    await self._connection.execute(
                        "update ledger_signed set size = %b, root = %b where size < %b", (*signed, signed[0])
                    )

    async def keep_witness(self, vkey: str, size: int, line: str) -> None:
        """Stores what a witness cosigned last. Raises Unavailable."""
        try:
            async with await AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                await connection.execute(_KEEP_WITNESS, (vkey, size, line))
        except psycopg.Error as error:
            raise Unavailable("this node's database cannot be reached") from error

    def write_out(self) -> None:
        """Stores the checkpoints that wait, as far as that works, while everything else stands still: we are to end."""
        with suppress(psycopg.Error), psycopg.connect(self._dsn) as connection:
            for note in self._queue:
                connection.execute(_KEEP, note)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
