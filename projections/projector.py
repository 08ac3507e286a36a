"""Carries the changes of committed entries out in PostgreSQL, a few statements a batch whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from psycopg import AsyncConnection, sql

from ..ledger.entry import Entry
from ..voting.fold import fold
from ..voting.tables import TABLES, Change, Clear, Key, Put

Shape = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Table, columns set, counters added to: changes of one shape go into one statement."""


async def apply_changes(connection: AsyncConnection[Any], entries: Iterable[Entry]) -> list[tuple[int, list[Change]]]:
    """Folds `entries` and writes the result, in the caller's transaction. Returns the changes, entry by entry."""
    folded = [(entry.index, fold(entry)) for entry in entries]
    pending: dict[tuple[str, Key], tuple[int, Put]] = {}
    for index, changes in folded:
        for change in changes:
            if isinstance(change, Clear):
                await _flush(connection, pending)
                await _clear(connection, change)
            else:
                place = (change.table, change.key)
                pending[place] = (index, _combine(pending.get(place), change))
    await _flush(connection, pending)
    return folded


def _combine(earlier: tuple[int, Put] | None, change: Put) -> Put:
    """Two changes of one row in a batch become one."""
    if earlier is None:
        return change
    before = earlier[1]
    add = dict(before.add)
    for column, amount in change.add.items():
        add[column] = add.get(column, 0) + amount
    return Put(change.table, change.key, {**before.values, **change.values}, add)


async def _flush(connection: AsyncConnection[Any], pending: dict[tuple[str, Key], tuple[int, Put]]) -> None:
    groups: dict[Shape, list[tuple[int, Put]]] = {}
    for index, change in pending.values():
        shape = (change.table, tuple(change.values), tuple(change.add))
        groups.setdefault(shape, []).append((index, change))
    for shape, changes in groups.items():
        await connection.execute(_upsert(shape), _arrays(shape, changes))
    pending.clear()


def _arrays(shape: Shape, changes: Sequence[tuple[int, Put]]) -> list[list[Any]]:
    _, values, counters = shape
    keys = zip(*(change.key for _, change in changes), strict=True)
    columns: list[list[Any]] = [list(column) for column in keys]
    columns += [[change.values[name] for _, change in changes] for name in values]
    columns += [[change.add[name] for _, change in changes] for name in counters]
    columns.append([index for index, _ in changes])
    return columns


@lru_cache(maxsize=256)
def _upsert(shape: Shape) -> sql.Composed:
    name, values, counters = shape
    table = TABLES[name]
    columns = (*table.key, *values, *counters, "at")
    types = [table.types.get(column, "bigint") for column in columns]
    sets = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in (*values, "at")]
    sets += [
        sql.SQL("{0} = coalesce({1}.{0}, 0) + excluded.{0}").format(sql.Identifier(column), sql.Identifier(name))
        for column in counters
    ]
    return sql.SQL(
        "insert into {table} ({columns}) select * from unnest({arrays}) on conflict ({key}) do update set {sets}"
    ).format(
        table=sql.Identifier(name),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        arrays=sql.SQL(", ").join(sql.SQL("%b::{}").format(sql.SQL(f"{kind}[]")) for kind in types),
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        sets=sql.SQL(", ").join(sets),
    )


async def _clear(connection: AsyncConnection[Any], change: Clear) -> None:
    query = sql.SQL("delete from {} where {} = %b").format(sql.Identifier(change.table), sql.Identifier(change.column))
    await connection.execute(query, (change.value,))
