"""Where an export comes from: a file, a folder of parts, or a node that is running."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from .answer import SourceError, is_url
from .download import Progress, Told, records_of
from .export import Readable, Record, read_export

READ_AHEAD = 1 << 18
TELL_BYTES = 1 << 18


def open_source(source: str | Path, told: Told | None = None) -> Iterator[Record]:
    """The records of the export at `source`, read as they are asked for.

    A folder is the export cut into files, put together again in the order of their names. A URL is a node's address,
    such as http://127.0.0.1:8001; when the connection breaks, it is made anew and goes on. Raises SourceError, and
    ExportError for bytes that are no export.
    """
    name = str(source)
    if is_url(name):
        yield from records_of(name, Progress(), told)
        return
    with ExitStack() as opened:
        paths = _paths(Path(name))
        stream: Readable = _Parts(paths, opened)
        yield from read_export(stream if told is None else _Counted(stream, _size(paths), told))


def _paths(path: Path) -> list[Path]:
    """The files that an export is in."""
    try:
        if not path.is_dir():
            return [path]
        parts = sorted(part for part in path.iterdir() if part.is_file() and not part.name.startswith("."))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    if not parts:
        raise SourceError(f"{path} is a folder without files")
    return parts


def _size(paths: list[Path]) -> int:
    """Bytes in all; 0 where that cannot be known, as of a pipe."""
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return 0
    return sum(one.st_size for one in found) if all(stat.S_ISREG(one.st_mode) for one in found) else 0


class _Counted:
    """Tells how much was read, every quarter of a megabyte."""

    def __init__(self, stream: Readable, total: int, told: Told) -> None:
        self._stream, self._total, self._told = stream, total, told
        self._done = self._said = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._done += len(data)
        if self._done - self._said >= TELL_BYTES or not data:
            self._told(self._done, self._total)
            self._said = self._done
        return data


class _Parts:
    """Several files, or one, read as one."""

    def __init__(self, parts: list[Path], opened: ExitStack) -> None:
        self._waiting = parts
        self._opened = opened
        self._current = self._opening(parts[0])
        self._next = 1

    def _opening(self, part: Path) -> BinaryIO:
        try:
            return self._opened.enter_context(part.open("rb", buffering=READ_AHEAD))
        except OSError as error:
            raise SourceError(f"{part}: {error.strerror}") from error

    def read(self, size: int, /) -> bytes:
        while True:
            data = self._current.read(size)
            if data or self._next == len(self._waiting):
                return data
            self._current.close()
            self._current = self._opening(self._waiting[self._next])
            self._next += 1
