"""The views in PostgreSQL, read and written as the node does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from ballot.ledger.entry import Entry
from ballot.projections.projector import apply_changes
from ballot.voting.tables import TABLES, Key, Row

Connection = AsyncConnection[Any]


async def connect(dsn: str) -> Connection:
    """As the applier connects."""
    return await AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=0, options="-c synchronous_commit=off")


async def project(connection: Connection, entries: Sequence[Entry]) -> None:
    """One batch in one transaction, as the applier writes it."""
    async with connection.pipeline(), connection.transaction():
        await apply_changes(connection, entries)


async def rows(connection: Connection) -> dict[str, dict[Key, Row]]:
    """Every row of every table with every column."""
    found: dict[str, dict[Key, Row]] = {}
    for name, table in TABLES.items():
        columns = (*table.columns, "at")
        cursor = await connection.execute(f"select {', '.join(columns)} from {name}".encode(), binary=True)
        read = [dict(zip(columns, values, strict=True)) for values in await cursor.fetchall()]
        found[name] = {tuple(row[column] for column in table.key): row for row in read}
    return found
