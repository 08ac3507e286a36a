"""Rebuild: the log folded into fresh tables, to be compared with those that live nodes have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

from psycopg import AsyncConnection

from ..ledger.entry import Entry, check_link, parse
from ..ledger.migrate import migrate
from ..projections.digest import public_digest
from ..projections.projector import apply_changes
from .export import EntryRecord, Record
from .state import PublicState

BATCH = 500


class NotFresh(Exception):
    """The database has a ledger or views in it already."""


def entries_of(records: Iterable[Record]) -> Iterator[Entry]:
    """The entries of an export, each linked to the one before. Raises EntryError, ExportError."""
    before: Entry | None = None
    for record in records:
        if isinstance(record, EntryRecord):
            entry = parse(record.header, record.public)
            check_link(before, entry)
            before = entry
            yield entry


def rebuild_in_memory(records: Iterable[Record]) -> tuple[int, str]:
    """(index, public state digest) without a database. Raises EntryError, ExportError."""
    state = PublicState()
    for entry in entries_of(records):
        state.apply(entry)
    return state.index, state.digest()


async def rebuild(records: Iterable[Record], dsn: str) -> tuple[int, str]:
    """Folds an export into the tables of an empty database, with the projector that the nodes use.

    Returns (index, public state digest). Raises NotFresh, EntryError, ExportError, psycopg.Error.
    """
    await asyncio.to_thread(migrate, dsn)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        # Whatever a crash loses here is simply folded again.
        await connection.execute("set synchronous_commit = off")
        row = await (await connection.execute("select index from ledger_applied")).fetchone()
        used = await (await connection.execute("select exists (select from ledger_entry)")).fetchone()
        if row is None or row[0] or used is None or used[0]:
            raise NotFresh("the database has a ledger in it: rebuild into an empty one")
        entries = entries_of(records)
        while batch := list(islice(entries, BATCH)):
            async with connection.transaction():
                await apply_changes(connection, batch)
                await connection.execute("update ledger_applied set index = %s", (batch[-1].index,))
        return await public_digest(connection)
