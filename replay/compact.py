"""A map from random keys to small numbers, in a tenth of a dictionary's memory: an auditor keeps one entry a voter."""

from __future__ import annotations

from array import array

FIRST_SLOTS = 256
_WORD = 2**64 - 1


class Compact:
    """Open addressing in three arrays: a mark, the key's last eight bytes, the value, from 0 to 2^64 - 1.

    The mark is Python's own hash of the whole key, 64 bits under a secret of this process: nobody can make a log in
    which two keys are taken for one another, or in which all fall into one place. Keys cannot be listed.
    """

    def __init__(self) -> None:
        self._count = 0
        self._clear(FIRST_SLOTS)

    def _clear(self, slots: int) -> None:
        self._mask = slots - 1
        self._marks, self._ends, self._values = (array("Q", bytes(8 * slots)) for _ in range(3))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> int | None:
        mark, end, marks = hash(key) & _WORD or 1, int.from_bytes(key[-8:], "big"), self._marks
        slot = mark & self._mask
        while found := marks[slot]:
            if found == mark and self._ends[slot] == end:
                return self._values[slot]
            slot = slot + 1 & self._mask
        return None

    def add(self, key: bytes) -> None:
        """Makes `key` a member, for those that use this as a set."""
        self.put(key, 0)

    def put(self, key: bytes, value: int) -> None:
        self._put(hash(key) & _WORD or 1, int.from_bytes(key[-8:], "big"), value)
        if 5 * self._count > 3 * self._mask:
            self._grow()

    def _put(self, mark: int, end: int, value: int) -> None:
        marks, slot = self._marks, mark & self._mask
        while found := marks[slot]:
            if found == mark and self._ends[slot] == end:
                self._values[slot] = value
                return
            slot = slot + 1 & self._mask
        marks[slot], self._ends[slot], self._values[slot] = mark, end, value
        self._count += 1

    def _grow(self) -> None:
        kept = zip(self._marks, self._ends, self._values, strict=True)
        self._count = 0
        self._clear(2 * (self._mask + 1))
        for mark, end, value in kept:
            if mark:
                self._put(mark, end, value)
