"""What a running node answers: its export, its checkpoint, its digest, its entries."""

from __future__ import annotations

import base64
import json

from ..ledger.checkpoint import MAX_NOTE_BYTES

EXPORT_PATH = "/api/ledger/export"
CHECKPOINT_PATH = "/api/ledger/checkpoint"
DIGEST_PATH = "/api/ledger/digest"
ENTRIES_PATH = "/api/ledger/entries"
MAX_ENTRIES_BYTES = 64 << 20
TIMEOUT_S = 60
MAX_DIGEST_BYTES = 4096


class SourceError(Exception):
    """The source cannot be read; the message says why."""


class Gone(SourceError):
    """A node that gives no answer now, or not to the end; another time or another node may."""


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _base(node: str) -> str:
    """A node's address, which may also be given as that of its API."""
    return node.rstrip("/").removesuffix("/api")


def open_url(node: str, first: int = 1) -> Answer:
    """The export of a running node from entry `first` on, as bytes. Raises SourceError, Gone, also while it is read."""
    return Answer(_base(node) + EXPORT_PATH + (f"?from={first}" if first > 1 else ""))


def read_checkpoint(node: str) -> bytes:
    """The newest checkpoint of a running node, unverified. Raises SourceError, Gone."""
    with Answer(_base(node) + CHECKPOINT_PATH) as answer:
        return answer.read(MAX_NOTE_BYTES)


def node_digest(node: str) -> tuple[int, str]:
    """(applied index, public state digest) of a running node. Raises SourceError."""
    with Answer(_base(node) + DIGEST_PATH) as answer:
        data = answer.read(MAX_DIGEST_BYTES)
    try:
        value = json.loads(data)
        return int(value["index"]), str(value["digest"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise SourceError(f"{node} does not answer with a digest") from error


def read_entries(node: str, first: int, last: int) -> list[tuple[bytes, bytes]]:
    """(header, public payload) of entries from `first` on: at least one, not beyond `last`. Raises SourceError."""
    with Answer(f"{_base(node)}{ENTRIES_PATH}?from={first}&to={last}") as answer:
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
            raise Gone(f"{url}: {getattr(error, 'reason', error)}") from error

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
