"""The log as the core holds it: terms of all entries in a few numbers, the newest entries in memory.

Three marks run through it: `durable` (COMMIT returned), `written` (handed to the writer) and `last_index`.
Entries at or below commit never change; a truncation above it is remembered until the writer has carried it out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from .messages import Conf, Halt, HardState, Record


@dataclass(frozen=True, slots=True)
class Durable:
    """What the log table says at start. `terms`: (first index, term) of every run of equal terms, rising.

    `confs`: every configuration entry as (index, Conf), rising. `tail`: the entries from the commit index on (or the
    last entry where that is lower), so that conflicts can be judged without reading the table.
    """

    hard: HardState
    terms: Sequence[tuple[int, int]]
    confs: Sequence[tuple[int, Conf]]
    tail: Sequence[Record]


class RaftLog:
    def __init__(self, durable: Durable) -> None:
        if not durable.tail or not durable.confs:
            raise Halt("the log has no genesis entry")
        self._starts = [first for first, _ in durable.terms]
        self._terms = [term for _, term in durable.terms]
        self._confs = list(durable.confs)
        self._tail = list(durable.tail)
        self._bytes = sum(entry.size for entry in self._tail)
        self.durable = self.written = self.last_index
        self.truncated_from = 0

    @property
    def first_in_memory(self) -> int:
        return self._tail[0].index

    @property
    def last_index(self) -> int:
        return self._tail[-1].index

    @property
    def last_term(self) -> int:
        return self._tail[-1].term

    @property
    def last(self) -> Record:
        return self._tail[-1]

    @property
    def conf(self) -> Conf:
        """The configuration in force: the newest appended one, committed or not (Ongaro 2014, section 4.1)."""
        return self._confs[-1][1]

    @property
    def conf_index(self) -> int:
        return self._confs[-1][0]

    @property
    def conf_indexes(self) -> list[int]:
        """Where the configuration entries stand, the one in force last."""
        return [index for index, _ in self._confs]

    def may_lead(self, node: int, commit: int) -> bool:
        """Whether `node` votes in the newest configuration or, until that is committed, in the one before it.

        A leader that removes itself may be the only one to hold the entry that says so; nobody with a shorter log
        could win a vote against it, so it must still be able to stand (Ongaro 2014, section 4.2.2).
        """
        in_doubt = self._confs[-2:] if self.conf_index > commit else self._confs[-1:]
        return any(node in conf.voters for _, conf in in_doubt)

    def term(self, index: int) -> int:
        """The term of the entry at `index`; 0 before the first entry, -1 after the last."""
        if index <= 0:
            return 0
        if index > self.last_index:
            return -1
        return self._terms[bisect_right(self._starts, index) - 1]

    def first_of_term(self, index: int) -> int:
        """The first index of the run of equal terms that `index` belongs to."""
        return self._starts[bisect_right(self._starts, index) - 1]

    def last_of_term(self, index: int, term: int, above: int) -> int:
        """The last place from `above` to `index` whose term is at most `term`: where two logs may still agree."""
        while index > above and self.term(index) > term:
            index = self.first_of_term(index) - 1
        return index

    def entry(self, index: int) -> Record:
        return self._tail[index - self.first_in_memory]

    def slice(self, first: int, max_bytes: int, last: int | None = None) -> list[Record] | None:
        """Entries from `first` on, at least one, at most `max_bytes`; None when they are no longer in memory."""
        if first < self.first_in_memory:
            return None
        taken: list[Record] = []
        size = 0
        stop = None if last is None else last - self.first_in_memory + 1
        for entry in self._tail[first - self.first_in_memory : stop]:
            size += entry.size
            if taken and size > max_bytes:
                break
            taken.append(entry)
        return taken

    def append(self, entries: Sequence[Record]) -> None:
        for entry in entries:
            if entry.index != self.last_index + 1:
                raise Halt(f"index gap: entry {entry.index} after {self.last_index}")
            if entry.term != self.last_term:
                self._starts.append(entry.index)
                self._terms.append(entry.term)
            if entry.conf is not None:
                self._confs.append((entry.index, entry.conf))
            self._tail.append(entry)
            self._bytes += entry.size

    def truncate(self, first: int, commit: int) -> list[Record]:
        """Forgets every entry from `first` on and returns them. Raises Halt at or below `commit` (rule R6)."""
        if first <= commit:
            raise Halt(f"conflict at {first}, at or below commit {commit}")
        dropped = self._tail[first - self.first_in_memory :]
        del self._tail[first - self.first_in_memory :]
        self._bytes -= sum(entry.size for entry in dropped)
        while self._starts[-1] >= first:
            self._starts.pop()
            self._terms.pop()
        while self._confs[-1][0] >= first:
            self._confs.pop()
        if self.written >= first:
            self.truncated_from = min(self.truncated_from or first, first)
            self.written = first - 1
            self.durable = min(self.durable, first - 1)
        return dropped

    def take_unwritten(self, max_bytes: int, max_entries: int) -> tuple[int, list[Record]]:
        """The next write: (first index to delete or 0, entries to insert); moves the `written` mark."""
        truncate_from, self.truncated_from = self.truncated_from, 0
        if self.written == self.last_index:
            return truncate_from, []
        entries = self.slice(self.written + 1, max_bytes, self.written + max_entries)
        assert entries, "unwritten entries are always in memory"
        self.written = entries[-1].index
        return truncate_from, entries

    def wrote(self, last: int) -> None:
        """COMMIT returned for a write that ended at `last`; what was truncated meanwhile does not count."""
        self.durable = max(self.durable, min(last, self.written))

    def trim(self, keep_from: int, max_bytes: int) -> None:
        """Drops the oldest entries from memory while more than `max_bytes` are held, never from `keep_from` on."""
        count = 0
        while self._bytes > max_bytes and self._tail[count].index < min(keep_from, self.durable):
            self._bytes -= self._tail[count].size
            count += 1
        del self._tail[:count]
