"""Rebuild: the log folded into fresh tables in memory, to be compared with those that live nodes have."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..ledger.entry import Entry, check_link, parse
from .answer import SourceError, node_digest, read_entries
from .export import EntryRecord, Record
from .state import PublicState

SAME, DIFFERENT, ELSEWHERE = "same", "DIFFERENT", "at another entry"
PATIENCE_S = 15.0
POLL_S = 0.2
PAGE = 500


class TooShort(SourceError):
    """The export has fewer entries than were asked for."""


@dataclass(frozen=True)
class Compared:
    """A node's own digest at entry `index`, and whether the log leads to it: `verdict`: SAME, DIFFERENT, ELSEWHERE."""

    node: str
    index: int
    digest: str
    verdict: str


def entries_of(records: Iterable[Record], at: int | None = None) -> Iterator[Entry]:
    """The entries of an export, or the first `at`, each linked to the one before.

    Raises EntryError, ExportError, TooShort.
    """
    before: Entry | None = None
    for record in records:
        if isinstance(record, EntryRecord):
            entry = parse(record.header, record.public)
            check_link(before, entry)
            before = entry
            yield entry
            if entry.index == at:
                return
    if at is not None:
        raise TooShort(f"the export ends at entry {before.index if before else 0}, before {at}")


def rebuild_in_memory(records: Iterable[Record], at: int | None = None) -> tuple[int, str]:
    """(index, public state digest) of an export or its first `at` entries. Raises EntryError, ExportError, TooShort."""
    rebuilt = Rebuilt()
    rebuilt.take(records, at)
    return rebuilt.state.index, rebuilt.state.digest()


class Rebuilt:
    """A state that knows which entry it stands at, so that it can go on."""

    def __init__(self) -> None:
        self.state = PublicState()
        self._last: Entry | None = None

    def take(self, records: Iterable[Record], at: int | None = None) -> None:
        for entry in entries_of(records, at):
            self.state.apply(entry)
            self._last = entry

    def go_on(self, node: str, index: int) -> None:
        """Folds what follows, up to entry `index`, as a node shows it. Raises EntryError, SourceError."""
        while self.state.index < index:
            for header, public in read_entries(node, self.state.index + 1, min(index, self.state.index + PAGE)):
                entry = parse(header, public)
                check_link(self._last, entry)
                self.state.apply(entry)
                self._last = entry


def compare_nodes(rebuilt: Rebuilt, nodes: Sequence[str]) -> list[Compared]:
    """Each node's digest beside that of the log, at the entry where the node stands; the log is followed there.

    Raises EntryError, SourceError.
    """
    base = rebuilt.state.index
    stand = sorted(((*_digest_from(node, base), node) for node in nodes), key=lambda found: found[0])
    compared = []
    for index, digest, node in stand:
        if index < base:
            compared.append(Compared(node, index, digest, ELSEWHERE))
            continue
        rebuilt.go_on(node, index)
        compared.append(Compared(node, index, digest, SAME if rebuilt.state.digest() == digest else DIFFERENT))
    return compared


def compare_at(node: str, index: int, digest: str) -> Compared:
    """The node's digest beside this one, if it stands at `index`. Raises SourceError."""
    at, theirs = _digest_from(node, index)
    return Compared(node, at, theirs, (SAME if theirs == digest else DIFFERENT) if at == index else ELSEWHERE)


def _digest_from(node: str, index: int) -> tuple[int, str]:
    """The node's digest once it has reached `index`, or where it is when that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = node_digest(node)
        if found[0] >= index or time.monotonic() > deadline:
            return found
        time.sleep(POLL_S)
