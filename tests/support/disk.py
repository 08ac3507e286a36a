"""The log table as a model: what survives a crash, and what one transaction of `ledger_write` makes of it.

The clusters of the scenario files and of the simulator stand on it, with entries of their own kinds. That it behaves
as PostgreSQL does is what tests/scenarios/store-*.txt prove: they are played on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar, cast

from ballot.ledger.raft.log import Durable
from ballot.ledger.raft.messages import Conf, HardState, Record, Write
from tests.support.invariants import require

R = TypeVar("R", bound=Record)

APPEND_ONLY, FENCED, DUPLICATE, DISK_FULL = "BL001", "BL002", "23505", "53100"


class TableError(Exception):
    """The transaction failed; `sqlstate` is the code that PostgreSQL gives."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Disk(Generic[R]):
    """`synced` is what a power cut leaves of `hard`: a commit index written alone is not synced."""

    __slots__ = ("entries", "epoch", "hard", "synced")

    def __init__(self, entries: Sequence[R], commit: int = 1) -> None:
        self.entries = list(entries)
        self.hard = self.synced = HardState(commit=commit)
        self.epoch = 0

    @property
    def last_index(self) -> int:
        return len(self.entries)

    def item(self, index: int) -> R:
        return self.entries[index - 1]

    def carry_out(self, write: Write, epoch: int = 0) -> None:
        """Does all of the write or, raising TableError, nothing."""
        old, new = self.hard, write.hard
        if epoch != self.epoch:
            raise TableError(FENCED)
        if new.term < old.term or 0 < write.truncate_from <= old.commit:
            raise TableError(APPEND_ONLY)
        last = write.truncate_from - 1 if write.truncate_from else len(self.entries)
        if write.entries:
            first = write.entries[0].index
            if first <= last:
                raise TableError(DUPLICATE)
            require(first == last + 1, f"the write leaves a gap before {first}")
            last = write.entries[-1].index
        require(new.commit <= last, f"durable commit {new.commit} is beyond the log")
        if write.truncate_from:
            del self.entries[write.truncate_from - 1 :]
        self.entries += cast(Sequence[R], write.entries)
        self.hard = new if new.commit >= old.commit else HardState(new.term, new.vote, old.commit)
        if write.sync:
            self.synced = self.hard

    def lose_power(self) -> None:
        self.hard = self.synced

    def read(self) -> Durable:
        """What `LogTable.open` finds."""
        terms: list[tuple[int, int]] = []
        confs: list[tuple[int, Conf]] = []
        for entry in self.entries:
            if not terms or entry.term != terms[-1][1]:
                terms.append((entry.index, entry.term))
            if entry.conf is not None:
                confs.append((entry.index, entry.conf))
        return Durable(self.hard, terms, confs, self.entries[min(self.hard.commit, len(self.entries)) - 1 :])
