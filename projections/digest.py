"""The public state digest: one hash over everything that header and public payloads alone lead to.

    digest = SHA-256( F(state-row, table, row) for every row of every public table )   in hex

Tables come in the order of their names, rows in the order of their keys (bytea by its bytes, text by its UTF-8
bytes, bigint by its value). `row` is a msgpack map from the names of columns to their values, in the order of
`voting.tables.TABLES` and `at` last; a column without a value is left out, so that a column added later changes no
digest of what went before. Equal digests at equal indexes: equal states. A node computes it from its tables with
`public_digest`, an auditor from an export with `replay.state`; both feed `digest_rows`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from ..ledger.frame import frame
from ..voting.tables import TABLES, Key, Table

if TYPE_CHECKING:  # An auditor has no database: it uses this module without the driver.
    from psycopg import AsyncConnection

FETCH_ROWS = 1000

PUBLIC_TABLES: tuple[Table, ...] = tuple(TABLES[name] for name in sorted(TABLES) if TABLES[name].public)

RowValues = Sequence[Any]
"""A row's columns in the order of its table's `types`, then `at`."""


class StateHash:
    """Takes rows in the order of the definition."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, table: str, row: RowValues) -> None:
        columns = (*TABLES[table].columns, "at")
        values = {column: value for column, value in zip(columns, row, strict=True) if value is not None}
        self._hash.update(frame("state-row", table.encode(), msgpack.packb(values, use_bin_type=True)))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def digest_rows(tables: Iterable[tuple[str, Iterable[RowValues]]]) -> str:
    """The digest of these public tables, given in name order with their rows in key order."""
    state = StateHash()
    for name, rows in tables:
        for row in rows:
            state.add(name, row)
    return state.hexdigest()


def row_order(key: Key) -> tuple[Any, ...]:
    """What to sort rows by, in Python as PostgreSQL sorts them with the collation C."""
    return tuple(part.encode() if isinstance(part, str) else part for part in key)


async def public_digest(connection: AsyncConnection[Any]) -> tuple[int, str]:
    """(applied index, digest) of one consistent moment. `connection` must not be inside a transaction.

    Reads every public row: for large states not a thing to ask for often. Raises psycopg.Error.
    """
    state = StateHash()
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        row = await (await connection.execute("select index from ledger_applied")).fetchone()
        assert row is not None
        for table in PUBLIC_TABLES:
            await _add_table(connection, table, state)
    return int(row[0]), state.hexdigest()


async def _add_table(connection: AsyncConnection[Any], table: Table, state: StateHash) -> None:
    async with connection.cursor(name=f"digest_{table.name}") as cursor:
        cursor.itersize = FETCH_ROWS
        await cursor.execute(_select(table), binary=True)
        async for row in cursor:
            state.add(table.name, row)


def _select(table: Table) -> bytes:
    columns = ", ".join(f'"{column}"' for column in (*table.columns, "at"))
    order = ", ".join(
        f'"{column}" collate "C"' if table.types[column] == "text" else f'"{column}"' for column in table.key
    )
    return f'select {columns} from "{table.name}" order by {order}'.encode()
