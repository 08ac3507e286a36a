"""What an audit must look at again and cannot keep in memory: byte strings in an unnamed temporary file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO

IN_MEMORY = 1 << 20
READ_BYTES = 2048
_LENGTH_BYTES = 4


class Spool:
    """Append-only. The newest bytes, at most 1 MiB, are in memory; the file has no name and goes with the process."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._written = 0
        self._tail = bytearray()
        self.count = 0

    def append(self, data: bytes) -> int:
        """Keeps `data`; the place to `read` it from."""
        place = self._written + len(self._tail)
        self._tail += len(data).to_bytes(_LENGTH_BYTES, "big") + data
        self.count += 1
        if len(self._tail) > IN_MEMORY:
            self._write_out()
        return place

    def read(self, place: int) -> bytes:
        """What `append` kept at `place`. Nothing lies partly in the file and partly in memory."""
        if self._file is None or place >= self._written:
            start = place - self._written + _LENGTH_BYTES
            length = int.from_bytes(self._tail[start - _LENGTH_BYTES : start], "big")
            return bytes(self._tail[start : start + length])
        number = self._file.fileno()
        data = os.pread(number, READ_BYTES, place)
        length, data = int.from_bytes(data[:_LENGTH_BYTES], "big"), data[_LENGTH_BYTES:]
        if length > len(data):
            data += os.pread(number, length - len(data), place + _LENGTH_BYTES + len(data))
        return data[:length]

    def __iter__(self) -> Iterator[bytes]:
        place = 0
        while place < self._written + len(self._tail):
            data = self.read(place)
            place += _LENGTH_BYTES + len(data)
            yield data

    def _write_out(self) -> None:
        if self._file is None:
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as this does
        rest = memoryview(self._tail)
        while rest:
            rest = rest[os.pwrite(self._file.fileno(), rest, self._written + len(self._tail) - len(rest)) :]
        self._written += len(self._tail)
        self._tail = bytearray()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
