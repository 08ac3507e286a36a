"""The log in PostgreSQL: one writer, fenced by an epoch, one transaction a write (rules R1, R3, R7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql

from .entry import SALT_BYTES, Entry, EntryError, check_link, parse
from .frame import u64
from .membership import CONF_KINDS
from .raft.log import Durable
from .raft.messages import Conf, HardState, Record, Write
from .statefile import UNKNOWN, StateFile
from .takeover import WRITER_LOCK, take_over
from .vault import Vault

log = logging.getLogger("ballot.table")

REQUIRED_SETTINGS = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
MAX_READ_ENTRIES, MAX_READ_BYTES = 2000, 4 << 20

_WRITE = "select ledger_write(%b,%b,%b,%b,%b,%b,%b,%b,%t,%b,%b,%b,%b)"
_TERMS = """
with recursive run as (
    (select term, index from ledger_entry order by term, index limit 1)
    union all
    select following.* from run, lateral (
        select term, index from ledger_entry where term > run.term order by term, index limit 1) as following
) select index, term from run order by index"""
_READ = """
select header, public, sealed from (
    select entry.index, header, public, sealed, sum(octet_length(header) + octet_length(public)
        + coalesce(octet_length(sealed), 0)) over (order by entry.index) as bytes
    from ledger_entry as entry left join ledger_private using (index)
    where entry.index between %b and %b) as entry
where bytes <= %b or index = %b order by index"""

_READ_SOME = """
select entry.header, entry.public, private.sealed from ledger_entry as entry
left join ledger_private as private using (index)
where entry.index = any(%b::bigint[]) order by entry.index"""
# Spelled out: only so does PostgreSQL see that the index ledger_entry_members holds all of them.
_CONFS = (
    f"select header, public from ledger_entry where kind in ({', '.join(map(repr, sorted(CONF_KINDS)))}) order by index"
)


class UnsafeDatabase(Exception):
    """PostgreSQL's settings could lose an acknowledged write."""


class LogTable:
    """Use `open()` once; then `write` from one task only, `read` from any."""

    def __init__(self, dsn: str, vault: Vault) -> None:
        self._dsn, self._vault = dsn, vault
        self._writer: AsyncConnection[Any] | None = None
        self._cursor: AsyncCursor[Any] | None = None
        self._reader: AsyncConnection[Any] | None = None
        self._reading = asyncio.Lock()
        self.epoch = 0

    async def open(self) -> Durable:
        """Fences off any other writer, then reads where the log stands.

        Raises UnsafeDatabase, EntryError (the newest entries are damaged), psycopg.Error.
        """
        self._writer = await AsyncConnection.connect(self._dsn, autocommit=True, prepare_threshold=0)
        self._cursor = self._writer.cursor()
        self._reader = await AsyncConnection.connect(self._dsn, autocommit=True, prepare_threshold=0)
        await self._check_settings()
        await take_over(self._writer, WRITER_LOCK)
        # Before anything is read: if the lock should ever fail us, an earlier writer still cannot write any more.
        self.epoch = (await self._one(self._writer, "update ledger_state set epoch = epoch + 1 returning epoch"))[0]
        return await self._read_durable()

    async def close(self) -> None:
        for connection in (self._writer, self._reader):
            if connection is not None:
                await connection.close()

    async def _check_settings(self) -> None:
        for name, wanted in REQUIRED_SETTINGS.items():
            row = await self._one(self._writer, sql.SQL("show {}").format(sql.Identifier(name)))
            if row[0] != wanted:
                raise UnsafeDatabase(f"PostgreSQL runs with {name} = {row[0]}; the ledger needs {name} = {wanted}")

    async def _read_durable(self) -> Durable:
        term, vote, commit = await self._one(self._reader, "select term, vote, commit from ledger_state")
        (last,) = await self._one(self._reader, "select coalesce(max(index), 0) from ledger_entry")
        terms = await self._all(self._reader, _TERMS)
        tail: list[Entry] = []
        first = max(1, min(commit, last))
        while last and first <= last:
            batch = await self.read(first, last)
            if not batch or batch[0].index != first:
                raise EntryError(f"entry {first} is missing from the log")
            tail += batch
            first = batch[-1].index + 1
        for before, entry in pairwise(tail):
            check_link(before, entry)
        return Durable(HardState(term, vote, commit), terms, await self._confs(), tail)

    async def _confs(self) -> list[tuple[int, Conf]]:
        rows = await self._all(self._reader, _CONFS)
        entries = [parse(header, public) for header, public in rows]
        return [(entry.index, entry.conf) for entry in entries if entry.conf is not None]

    async def write(self, write: Write) -> None:
        """Carries out one Write. Any exception means the outcome is unknown: the process must end (rule R3)."""
        assert self._cursor is not None
        entries = cast(Sequence[Entry], write.entries)
        private = [entry for entry in entries if entry.private is not None]
        hard = write.hard
        await self._cursor.execute(
            _WRITE,
            (
                self.epoch,
                hard.term,
                hard.vote,
                hard.commit,
                write.truncate_from,
                write.sync,
                [entry.index for entry in entries],
                [entry.term for entry in entries],
                [entry.kind for entry in entries],
                [entry.header for entry in entries],
                [entry.public for entry in entries],
                [entry.index for entry in private],
                [self._seal(entry) for entry in private],
            ),
        )

    async def recover(self, write: Write, checkpoint: int) -> None:
        """Carries out the write of a recovery. With it go checkpoints above `checkpoint`: of a log that was lost."""
        assert self._writer is not None
        async with self._writer.transaction():
            await self._writer.execute("delete from ledger_checkpoint where size > %b", (checkpoint,))
            await self.write(write)

    async def read(
        self, first: int, last: int, limit: int = MAX_READ_ENTRIES, max_bytes: int = MAX_READ_BYTES
    ) -> list[Entry]:
        """Entries `first` to `last`, at most `limit` of them and, beyond the first, at most `max_bytes` in all.

        Private parts are opened where they still exist.
        """
        values = (first, min(last, first + limit - 1), max_bytes, first)
        rows = await self._all(self._reader, _READ, values)
        return [self._open(header, public, sealed) for header, public, sealed in rows]

    async def read_some(self, indexes: Sequence[int]) -> list[Entry]:
        """The entries at `indexes`, in rising order of index, as `read` gives them."""
        rows = await self._all(self._reader, _READ_SOME, (list(indexes),))
        return [self._open(header, public, sealed) for header, public, sealed in rows]

    def _seal(self, entry: Entry) -> bytes:
        return self._vault.seal(entry.salt + (entry.private or b""), u64(entry.index) + entry.private_digest)

    def _open(self, header: bytes, public: bytes, sealed: bytes | None) -> Entry:
        entry = parse(header, public)
        if sealed is None:
            return entry
        plain = self._vault.open(sealed, u64(entry.index) + entry.private_digest)
        return parse(header, public, plain[SALT_BYTES:], plain[:SALT_BYTES])

    async def _all(self, connection: Any, query: Any, values: Sequence[Any] = ()) -> list[Any]:
        async with self._reading:
            cursor = await connection.execute(query, values, binary=True)
            return cast(list[Any], await cursor.fetchall())

    async def _one(self, connection: Any, query: Any, values: Sequence[Any] = ()) -> Any:
        return (await self._all(connection, query, values))[0]


async def open_held(table: LogTable, state_file: StateFile) -> tuple[Durable, int]:
    """Opens the table and holds it against what the node remembers. Returns its incarnation, too.

    Raises Amnesia and what `open` does.
    """
    durable = await table.open()
    for entry in await table.read_some([state_file.state.last_index]):
        state_file.compare(entry.index, entry.hash)
    hard = durable.hard
    return durable, state_file.begin(hard.term, hard.vote, *place(durable.tail))


def place(entries: Sequence[Record]) -> tuple[int, bytes]:
    """Index and hash of the last of them."""
    return (entries[-1].index, cast(Entry, entries[-1]).hash) if entries else (0, UNKNOWN)


def install_genesis(dsn: str, genesis: Entry) -> None:
    """Writes entry 1 into an empty log, committed; a log that already starts with it is left alone.

    Raises UnsafeDatabase when the log starts with another entry.
    """
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select header from ledger_entry where index = 1").fetchone()
        if row is not None:
            if row[0] != genesis.header:
                raise UnsafeDatabase("this database belongs to another ledger: its first entry differs")
            return
        connection.execute(
            "insert into ledger_entry (index, term, kind, header, public) values (1, 0, %s, %s, %s)",
            (genesis.kind, genesis.header, genesis.public),
        )
        connection.execute("update ledger_state set commit = 1")
