"""The accounting of one election over time, small enough to be kept for a log of any length."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain

COLUMNS = ("size", "roll", "issued", "cast", "published", "valid", "invalid", "unused", "silent")
BLOCK_ROWS = 1024
_ROW = struct.Struct(f">{len(COLUMNS)}q")

Row = tuple[int, ...]
"""One integer a column of COLUMNS. `size` is the checkpoint's."""


class Series:
    """Rows in order, only where something changed. A million take some megabytes: whole blocks are kept packed, each
    row as its difference from the one before.
    """

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._rows: list[Row] = []
        self._last: Row = ()

    def note(self, row: Row) -> None:
        if row[1:] == self._last[1:]:
            return
        self._last = row
        self._rows.append(row)
        if len(self._rows) == BLOCK_ROWS:
            self._blocks.append(zlib.compress(b"".join(map(_pack, _differences(self._rows)))))
            self._rows = []

    def __iter__(self) -> Iterator[Row]:
        return chain(chain.from_iterable(map(_unpack, self._blocks)), self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and (self._blocks, self._rows) == (other._blocks, other._rows)

    def __hash__(self) -> int:
        return hash(self._last)


def _pack(row: Row) -> bytes:
    return _ROW.pack(*row)


def _differences(rows: Sequence[Row]) -> Iterator[Row]:
    before: Row = (0,) * len(COLUMNS)
    for row in rows:
        yield tuple(now - then for now, then in zip(row, before, strict=True))
        before = row


def _unpack(block: bytes) -> Iterator[Row]:
    row: Row = (0,) * len(COLUMNS)
    for difference in _ROW.iter_unpack(zlib.decompress(block)):
        row = tuple(now + more for now, more in zip(row, difference, strict=True))
        yield row
