"""The public state in memory: the fold of the nodes, over what an export holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..ledger.entry import Entry
from ..projections.digest import PUBLIC_TABLES, RowValues, digest_rows, row_order
from ..voting.fold import fold
from ..voting.tables import Clear, Key, Row, Table, merge


class PublicState:
    """Feed it every entry in order. `index` is the last entry applied."""

    def __init__(self) -> None:
        self.index = 0
        self._tables: dict[str, dict[Key, Row]] = {table.name: {} for table in PUBLIC_TABLES}

    def apply(self, entry: Entry) -> None:
        """Raises EntryError, or KeyError, TypeError or ValueError when the payload is not what its kind says."""
        for change in fold(entry):
            rows = self._tables.get(change.table)
            if rows is None:
                continue  # Follows from private parts.
            if isinstance(change, Clear):
                for key in [key for key, row in rows.items() if row.get(change.column) == change.value]:
                    del rows[key]
            else:
                rows[change.key] = merge(rows.get(change.key), change, entry.index)
        self.index = entry.index

    def get(self, table: str, *key: Any) -> Row | None:
        """One row of a public table."""
        return self._tables[table].get(key)

    def digest(self) -> str:
        """The public state digest, see `projections.digest`."""
        return digest_rows((table.name, self._rows(table)) for table in PUBLIC_TABLES)

    def _rows(self, table: Table) -> Iterator[RowValues]:
        rows = self._tables[table.name]
        for key in sorted(rows, key=row_order):
            yield [rows[key].get(column) for column in (*table.columns, "at")]
