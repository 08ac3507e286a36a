"""The state the leader decides on: what is applied, plus what is in flight (rule R9).

Rows are loaded from this node's tables in one query a table and batch, and kept; every applied entry is merged into the
rows that are kept, so they never go stale. A row knows the newest entry in it, which makes merging twice harmless: a
query may well see a batch that is about to be reported as applied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection, sql

from ..ledger.entry import Entry
from ..voting.fold import fold
from ..voting.tables import TABLES, Change, Clear, Key, Put, Row, merge

KEEP_ROWS = 50_000

Place = tuple[str, Key]


class Facts:
    def __init__(self) -> None:
        self._kept: OrderedDict[Place, Row | None] = OrderedDict()
        self._in_flight: dict[Place, list[tuple[int, Put]]] = {}
        self._clears: list[tuple[int, Clear]] = []
        self._missed: list[tuple[int, list[Change]]] | None = None

    def get(self, table: str, *key: Any) -> Row | None:
        """The row as it will be once everything in flight is committed. KeyError when it was not loaded: our bug."""
        place = (table, key)
        row = self._kept[place]
        changes: list[tuple[int, Change]] = [*self._in_flight.get(place, ())]
        if clears := [clear for clear in self._clears if clear[1].table == table]:
            changes = sorted([*changes, *clears], key=lambda change: change[0])
        for index, change in changes:
            if isinstance(change, Put):
                row = merge(row, change, index)
            elif row is not None and row.get(change.column) == change.value and row["at"] <= index:
                row = None
        return row

    async def load(self, connection: AsyncConnection[Any], places: Iterable[Place]) -> None:
        """Makes `get` work for `places`."""
        wanted: dict[str, list[Key]] = {}
        for place in dict.fromkeys(places):
            if place in self._kept:
                self._kept.move_to_end(place)
            else:
                wanted.setdefault(place[0], []).append(place[1])
        if not wanted:
            return
        self._missed = []
        for table, keys in wanted.items():
            for key, row in (await _select(connection, table, keys)).items():
                self._kept[table, key] = row
            # At once: what is applied while the next table is read would otherwise be merged before what was missed.
            for index, changes in self._missed:
                self._merge(index, changes)
        self._missed = None

    def trim(self) -> None:
        """Forgets the rows that were used longest ago."""
        while len(self._kept) > KEEP_ROWS:
            self._kept.popitem(last=False)

    def proposed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for change in fold(entry):
                if isinstance(change, Put):
                    place = (change.table, change.key)
                    self._in_flight.setdefault(place, []).append((entry.index, change))
                else:
                    self._clears.append((entry.index, change))

    def rewind(self) -> None:
        self._in_flight.clear()
        self._clears.clear()

    def applied(self, index: int, changes: list[Change]) -> None:
        """Entry `index` is applied in the tables."""
        if self._missed is not None:
            self._missed.append((index, changes))
        self._merge(index, changes)

    def _merge(self, index: int, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Clear):
                self._clears = [clear for clear in self._clears if clear[0] > index]
                self._clear(index, change)
                continue
            place = (change.table, change.key)
            if place in self._kept:
                self._kept[place] = merge(self._kept[place], change, index)
            flying = self._in_flight.get(place)
            if flying is not None:
                flying[:] = [other for other in flying if other[0] > index]
                if not flying:
                    del self._in_flight[place]

    def _clear(self, index: int, change: Clear) -> None:
        """Rows that are gone stay known as gone: a batch may wait that counts on every row it asked for."""
        for place, row in self._kept.items():
            if place[0] == change.table and row is not None and row.get(change.column) == change.value:
                self._kept[place] = row if row["at"] > index else None


async def _select(connection: AsyncConnection[Any], name: str, keys: Sequence[Key]) -> dict[Key, Row | None]:
    """Rows of one table by key; a key without a row gives None."""
    table = TABLES[name]
    arrays = [sql.SQL("%b::{}").format(sql.SQL(f"{table.types[column]}[]")) for column in table.key]
    query = sql.SQL("select {columns}, at from {table} where ({key}) in (select * from unnest({arrays}))").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, table.columns)),
        table=sql.Identifier(name),
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        arrays=sql.SQL(", ").join(arrays),
    )
    values = [[key[place] for key in keys] for place in range(len(table.key))]
    cursor = await connection.execute(query, values, binary=True)
    found: dict[Key, Row | None] = dict.fromkeys(keys)
    names = (*table.columns, "at")
    for values_read in await cursor.fetchall():
        row = dict(zip(names, values_read, strict=True))
        found[tuple(row[column] for column in table.key)] = row
    return found
