"""Where an export comes from: a file, a folder of parts, or a node that is running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from .export import Readable, Record, read_export

EXPORT_PATH = "/api/ledger/export"
DIGEST_PATH = "/api/ledger/digest"
TIMEOUT_S = 60
MAX_DIGEST_BYTES = 4096
READ_AHEAD = 1 << 18


class SourceError(Exception):
    """The source cannot be read; the message says why."""


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def open_source(source: str | Path) -> Iterator[Record]:
    """The records of the export at `source`, read as they are asked for.

    A folder is the export cut into files, put together again in the order of their names. A URL is a node's address,
    such as http://127.0.0.1:8001. Raises SourceError, and ExportError for bytes that are no export.
    """
    name = str(source)
    with ExitStack() as opened:
        stream = opened.enter_context(open_url(name)) if is_url(name) else _open_path(Path(name), opened)
        yield from read_export(stream)


def open_url(node: str) -> Answer:
    """The export of a running node as a stream of bytes. Raises SourceError, also while it is read."""
    return Answer(node.rstrip("/") + EXPORT_PATH)


def node_digest(node: str) -> tuple[int, str]:
    """(applied index, public state digest) of a running node. Raises SourceError."""
    with Answer(node.rstrip("/") + DIGEST_PATH) as answer:
        data = answer.read(MAX_DIGEST_BYTES)
    try:
        value = json.loads(data)
        return int(value["index"]), str(value["digest"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise SourceError(f"{node} does not answer with a digest") from error


class Answer:
    """The body of an answer to GET. Raises SourceError when there is none or it breaks off."""

    def __init__(self, url: str) -> None:
        # Imported here, so that an audit of a file needs nothing that can open a connection.
        from http.client import HTTPException
        from urllib.request import urlopen

        self._url = url
        self._broken = (OSError, HTTPException, ValueError)
        if not is_url(url):  # urlopen would read local files, too.
            raise SourceError(f"{url} is not an address of http or https")
        try:
            self._answer = urlopen(url, timeout=TIMEOUT_S)
        except self._broken as error:
            raise SourceError(f"{url}: {error}") from error

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._answer.read(size)
        except self._broken as error:
            raise SourceError(f"{self._url} breaks off: {error}") from error
        return data

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()


def _open_path(path: Path, opened: ExitStack) -> Readable:
    try:
        if not path.is_dir():
            return opened.enter_context(path.open("rb", buffering=READ_AHEAD))
        parts = sorted(part for part in path.iterdir() if part.is_file() and not part.name.startswith("."))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    if not parts:
        raise SourceError(f"{path} is a folder without files")
    return _Parts(parts, opened)


class _Parts:
    """Several files read as one."""

    def __init__(self, parts: list[Path], opened: ExitStack) -> None:
        self._waiting = parts
        self._opened = opened
        self._current = opened.enter_context(parts[0].open("rb"))
        self._next = 1

    def read(self, size: int, /) -> bytes:
        while True:
            data = self._current.read(size)
            if data or self._next == len(self._waiting):
                return data
            self._current.close()
            self._current = self._opened.enter_context(self._waiting[self._next].open("rb"))
            self._next += 1
