"""Where an export comes from: a file, a folder of parts, or a node that is running."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from ..ledger.checkpoint import MAX_NOTE_BYTES
from .export import Readable, Record, read_export

EXPORT_PATH = "/api/ledger/export"
CHECKPOINT_PATH = "/api/ledger/checkpoint"
DIGEST_PATH = "/api/ledger/digest"
ENTRIES_PATH = "/api/ledger/entries"
MAX_ENTRIES_BYTES = 64 << 20
TIMEOUT_S = 60
MAX_DIGEST_BYTES = 4096
READ_AHEAD = 1 << 18
TELL_BYTES = 1 << 18

Told = Callable[[int, int], None]
"""`told(done, total)` while a source is read: bytes of a file or folder, entries of a node. 0: not known."""


class SourceError(Exception):
    """The source cannot be read; the message says why."""


class Gone(SourceError):
    """A node that gives no answer now, or not to the end; another time or another node may."""


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def open_source(source: str | Path, told: Told | None = None) -> Iterator[Record]:
    """The records of the export at `source`, read as they are asked for.

    A folder is the export cut into files, put together again in the order of their names. A URL is a node's address,
    such as http://127.0.0.1:8001; when the connection breaks, it is made anew and goes on. Raises SourceError, and
    ExportError for bytes that are no export.
    """
    name = str(source)
    if is_url(name):
        from .download import Progress, records_of

        yield from records_of(name, Progress(), told)
        return
    with ExitStack() as opened:
        paths = _paths(Path(name))
        stream: Readable = _Parts(paths, opened)
        yield from read_export(stream if told is None else _Counted(stream, _size(paths), told))


def open_url(node: str, first: int = 1) -> Answer:
    """The export of a running node from entry `first` on, as bytes. Raises SourceError, Gone, also while it is read."""
    return Answer(node.rstrip("/") + EXPORT_PATH + (f"?from={first}" if first > 1 else ""))


def read_checkpoint(node: str) -> bytes:
    """The newest checkpoint of a running node, unverified. Raises SourceError, Gone."""
    with Answer(node.rstrip("/") + CHECKPOINT_PATH) as answer:
        return answer.read(MAX_NOTE_BYTES)


def node_digest(node: str) -> tuple[int, str]:
    """(applied index, public state digest) of a running node. Raises SourceError."""
    with Answer(node.rstrip("/") + DIGEST_PATH) as answer:
        data = answer.read(MAX_DIGEST_BYTES)
    try:
        value = json.loads(data)
        return int(value["index"]), str(value["digest"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise SourceError(f"{node} does not answer with a digest") from error


def read_entries(node: str, first: int, last: int) -> list[tuple[bytes, bytes]]:
    """(header, public payload) of entries from `first` on: at least one, not beyond `last`. Raises SourceError."""
    with Answer(f"{node.rstrip('/')}{ENTRIES_PATH}?from={first}&to={last}") as answer:
        data = answer.read(MAX_ENTRIES_BYTES)
    try:
        entries = json.loads(data)["entries"]
        found = [(_unb64(entry["header"]), _unb64(entry["public"])) for entry in entries]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(f"{node} does not answer with entries") from error
    if not found or len(found) > last - first + 1:
        raise SourceError(f"{node} does not show entry {first}")
    return found


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class Answer:
    """The body of an answer to GET. Raises SourceError when it is refused, Gone when there is none or it breaks off."""

    def __init__(self, url: str) -> None:
        # Imported here, so that an audit of a file needs nothing that can open a connection.
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import urlopen

        self._url = url
        self._broken = (OSError, HTTPException, ValueError)
        if not is_url(url):  # urlopen would read local files, too.
            raise SourceError(f"{url} is not an address of http or https")
        try:
            self._answer = urlopen(url, timeout=TIMEOUT_S)
        except HTTPError as error:
            error.close()
            # 422: this node is not as far yet. What else is below 500 stays as it is.
            kind = Gone if error.code >= 500 or error.code in (422, 429) else SourceError
            raise kind(f"{url}: {error}") from error
        except self._broken as error:
            raise Gone(f"{url}: {error}") from error

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._answer.read(size)
        except self._broken as error:
            raise Gone(f"{self._url} breaks off: {error}") from error
        return data

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()


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
