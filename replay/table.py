"""A map from random keys to numbers, of any size in little memory: an auditor keeps some entries for each voter."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from .scratch import Scratch

MEMORY_KEYS = 1 << 15
FIRST_SLOTS = 256
BLOCK_SLOTS = 1024
_SLOT = struct.Struct("=QQQ")  # mark, the key's last eight bytes, value
_SLOT_BYTES = _SLOT.size
_AT_ONCE = 4 * _SLOT_BYTES
_WORD = 2**64 - 1

Slot = tuple[int, int, int]


class Table:
    """In memory while it has no more than MEMORY_KEYS keys, then in the scratch file.

    Values are from 0 to 2^64 - 1. Keys have at least eight bytes and cannot be listed.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._memory: dict[bytes, int] | None = {}
        self._file = _Slots(scratch)

    def __len__(self) -> int:
        return self._file.count if self._memory is None else len(self._memory)

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> int | None:
        return self._file.get(key) if self._memory is None else self._memory.get(key)

    def add(self, key: bytes) -> bool:
        """For those that use this as a set: whether `key` was no member before."""
        return self.put(key, 0) is None

    def put(self, key: bytes, value: int) -> int | None:
        """The value before, None for a new key."""
        memory = self._memory
        if memory is None:
            return self._file.put(key, value)
        before = memory.get(key)
        memory[key] = value
        if before is None and len(memory) > MEMORY_KEYS:
            self.spill()
        return before

    def spill(self) -> None:
        """Frees the memory, of a table that has become large or is hardly used from now on."""
        if self._memory:
            self._file.fill(self._memory)
            self._memory = None


class _Slots:
    """Open addressing in the scratch file, which the kernel caches as long as it has memory to spare.

    The mark is Python's own hash of the whole key, 64 bits under a secret of this process: nobody can make a log in
    which two keys are taken for one another, or in which all fall into one place.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self.count = self._slots = self._start = 0

    def get(self, key: bytes) -> int | None:
        return self._find(*_mark(key))[1] if self.count else None

    def put(self, key: bytes, value: int) -> int | None:
        if 5 * self.count >= 3 * self._slots:
            self._grow()
        mark, end = _mark(key)
        slot, before = self._find(mark, end)
        if before != value:
            self._write(slot, _SLOT.pack(mark, end, value))
        self.count += before is None
        return before

    def fill(self, known: Mapping[bytes, int]) -> None:
        """Takes all of these, the first ones."""
        while 5 * len(known) > 3 * self._slots:
            self._slots = 2 * self._slots or FIRST_SLOTS
        self._start = self._scratch.reserve(self._slots * _SLOT_BYTES)
        whole, displaced, mask = _Block(0, self._slots), list[Slot](), self._slots - 1
        for key, value in known.items():
            mark, end = _mark(key)
            if not whole.put(mark & mask, mark, end, value):
                displaced.append((mark, end, value))
        self._write(0, whole.data)
        self._put_all(displaced)
        self.count = len(known)

    def _find(self, mark: int, end: int) -> tuple[int, int | None]:
        """The key's slot and value, or the free slot that it would get and None."""
        slot = mark & self._slots - 1
        while True:
            for found, other, value in _SLOT.iter_unpack(self._read(slot, _AT_ONCE)):
                if not found:
                    return slot, None
                if found == mark and other == end:
                    return slot, value
                slot += 1
            slot &= self._slots - 1

    def _read(self, slot: int, size: int) -> bytes:
        """From the slot on; less than `size` where the table ends."""
        place = slot * _SLOT_BYTES
        return self._scratch.read(self._start + place, min(size, self._slots * _SLOT_BYTES - place))

    def _write(self, slot: int, data: bytes | bytearray) -> None:
        self._scratch.write(self._start + slot * _SLOT_BYTES, data)

    def _grow(self) -> None:
        """Twice the slots, block by block: what was in one block goes into two, some way apart."""
        old = _Slots(self._scratch)
        old._slots, old._start = self._slots, self._start
        self._slots = 2 * old._slots or FIRST_SLOTS
        self._start = self._scratch.reserve(self._slots * _SLOT_BYTES)
        displaced = list[Slot]()
        for first in range(0, old._slots, BLOCK_SLOTS):
            block = old._read(first, BLOCK_SLOTS * _SLOT_BYTES)
            size = len(block) // _SLOT_BYTES
            halves = _Block(first, size), _Block(old._slots + first, size)
            for one in _SLOT.iter_unpack(block):
                home = one[0] & self._slots - 1
                if one[0] and not halves[home - first >= old._slots].put(home, *one):
                    displaced.append(one)
            for half in halves:
                self._write(half.first, half.data)
        self._put_all(displaced)

    def _put_all(self, displaced: list[Slot]) -> None:
        """Those whose place in their own block was taken."""
        for mark, end, value in displaced:
            self._write(self._find(mark, end)[0], _SLOT.pack(mark, end, value))


class _Block:
    """Neighbouring slots from slot `first` on, filled in memory."""

    def __init__(self, first: int, size: int) -> None:
        self.first = first
        self.data = bytearray(size * _SLOT_BYTES)
        self._taken = bytearray(size)

    def put(self, home: int, mark: int, end: int, value: int) -> bool:
        """Into the first free slot from `home` on; False when that is not in this block."""
        slot = home - self.first
        free = self._taken.find(0, slot) if slot >= 0 else -1
        if free < 0:
            return False
        self._taken[free] = 1
        _SLOT.pack_into(self.data, free * _SLOT_BYTES, mark, end, value)
        return True


def _mark(key: bytes) -> tuple[int, int]:
    """A mark of 0 is that of a free slot."""
    return hash(key) & _WORD or 1, int.from_bytes(key[-8:], "big")
