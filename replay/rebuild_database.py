"""Rebuild into PostgreSQL: the log folded by the projector that the nodes use, into the tables that they use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice

from psycopg import AsyncConnection

from ..ledger.migrate import migrate
from ..projections.digest import public_digest
from ..projections.projector import apply_changes
from .export import Record
from .rebuild import entries_of

BATCH = 500


class NotFresh(Exception):
    """The database has a ledger or views in it already."""


async def rebuild(records: Iterable[Record], dsn: str, at: int | None = None) -> tuple[int, str]:
    """Folds an export, or its first `at` entries, into the tables of an empty database.

    Returns (index, public state digest). Raises NotFresh, EntryError, ExportError, TooShort, psycopg.Error.
    """
    await asyncio.to_thread(migrate, dsn)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        # Whatever a crash loses here is simply folded again.
        await connection.execute("set synchronous_commit = off")
        row = await (await connection.execute("select index from ledger_applied")).fetchone()
        used = await (await connection.execute("select exists (select from ledger_entry)")).fetchone()
        if row is None or row[0] or used is None or used[0]:
            raise NotFresh("the database has a ledger in it: rebuild into an empty one")
        entries = entries_of(records, at)
        while batch := list(islice(entries, BATCH)):
            async with connection.transaction():
                await apply_changes(connection, batch)
                await connection.execute("update ledger_applied set index = %s", (batch[-1].index,))
        return await public_digest(connection)
