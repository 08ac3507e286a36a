"""What an audit must look at again and cannot keep in memory: byte strings in an unnamed temporary file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile

IN_MEMORY = 16 << 20
_LENGTH_BYTES = 4


class Spool:
    """Append-only. The first 16 MiB stay in memory; the file has no name and goes with the process."""

    def __init__(self) -> None:
        with ExitStack() as opening:
            self._file = opening.enter_context(SpooledTemporaryFile(IN_MEMORY))
            self._open = opening.pop_all()
        self._end = 0
        self.count = 0

    def append(self, data: bytes) -> int:
        """Keeps `data`; the place to `read` it from."""
        place = self._end
        if self._file.tell() != place:
            self._file.seek(place)
        self._file.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        self._end = place + _LENGTH_BYTES + len(data)
        self.count += 1
        return place

    def read(self, place: int) -> bytes:
        """What `append` kept at `place`."""
        self._file.seek(place)
        return self._file.read(int.from_bytes(self._file.read(_LENGTH_BYTES), "big"))

    def __iter__(self) -> Iterator[bytes]:
        place = 0
        while place < self._end:
            data = self.read(place)
            place += _LENGTH_BYTES + len(data)
            yield data

    def close(self) -> None:
        self._open.close()
