"""The core's settings and the one thing it must be given: randomness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Random(Protocol):
    def randrange(self, start: int, stop: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Config:
    """Ticks are the driver's; bytes are entry sizes."""

    node: int
    incarnation: int = 0
    election_ticks: int = 10
    heartbeat_ticks: int = 2
    max_append_bytes: int = 1 << 20
    max_write_bytes: int = 4 << 20
    max_write_entries: int = 1000
    max_inflight: int = 2
    max_uncommitted_bytes: int = 32 << 20
    tail_bytes: int = 32 << 20
