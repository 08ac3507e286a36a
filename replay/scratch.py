"""What an audit must look at again and cannot keep in memory, in one unnamed temporary file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import TemporaryFile, gettempdir
from typing import IO

PIECE_BYTES = 64 << 10
READ_BYTES = 2048
_LENGTH_BYTES = 4


class Scratch:
    """Room for spools and tables, as much as they ask for. The file has no name and goes with the process."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._number = -1
        self._size = 0

    def reserve(self, size: int) -> int:
        """The place of `size` bytes that nobody else has, all zero."""
        if self._file is None:
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as this does
            self._number = self._file.fileno()
        place = self._size
        self._size += size
        os.ftruncate(self._number, self._size)
        return place

    def read(self, place: int, size: int) -> bytes:
        """Fewer bytes than `size` only at the end of all that was reserved."""
        return os.pread(self._number, size, place)

    def write(self, place: int, data: bytes | bytearray) -> None:
        """Raises OSError, as when the disk is full."""
        try:
            written = os.pwrite(self._number, data, place)
            while written < len(data):
                written += os.pwrite(self._number, memoryview(data)[written:], place + written)
        except OSError as error:
            raise OSError(error.errno, f"temporary file in {gettempdir()} (TMPDIR): {error.strerror}") from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Spool:
    """Append-only byte strings, in pieces. The piece that is being filled is in memory, 64 KiB at most unless one
    string alone is longer.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._pieces: list[tuple[int, int]] = []  # place, bytes used
        self._place = self._room = 0
        self._filling = bytearray()
        self.count = 0

    def append(self, data: bytes) -> int:
        """Keeps `data`; the place to `read` it from."""
        if len(self._filling) + _LENGTH_BYTES + len(data) > self._room:
            self._write_out(_LENGTH_BYTES + len(data))
        place = self._place + len(self._filling)
        self._filling += len(data).to_bytes(_LENGTH_BYTES, "big") + data
        self.count += 1
        return place

    def _write_out(self, needed: int) -> None:
        """Begins a piece with room for so many bytes."""
        if self._filling:
            self._scratch.write(self._place, self._filling)
            self._pieces.append((self._place, len(self._filling)))
        self._room = max(PIECE_BYTES, needed) if needed else 0
        self._place, self._filling = self._scratch.reserve(self._room), bytearray()

    def spill(self) -> None:
        """Frees the memory, of a spool that is hardly added to from now on."""
        self._write_out(0)

    def read(self, place: int) -> bytes:
        """What `append` kept at `place`."""
        if 0 <= place - self._place < self._room:
            return _string_at(self._filling, place - self._place)
        data = self._scratch.read(place, READ_BYTES)
        length = int.from_bytes(data[:_LENGTH_BYTES], "big")
        missing = _LENGTH_BYTES + length - len(data)
        if missing > 0:
            data += self._scratch.read(place + len(data), missing)
        return data[_LENGTH_BYTES : _LENGTH_BYTES + length]

    def __iter__(self) -> Iterator[bytes]:
        """All strings in order. Nothing is appended meanwhile."""
        for place, used in self._pieces:
            yield from _strings_in(self._scratch.read(place, used))
        yield from _strings_in(self._filling)


def _strings_in(piece: bytes | bytearray) -> Iterator[bytes]:
    start = 0
    while start < len(piece):
        data = _string_at(piece, start)
        start += _LENGTH_BYTES + len(data)
        yield data


def _string_at(piece: bytes | bytearray, start: int) -> bytes:
    begin = start + _LENGTH_BYTES
    return bytes(piece[begin : begin + int.from_bytes(piece[start:begin], "big")])
