"""The core's settings and the one thing it must be given: randomness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Random(Protocol):
    def randrange(self, start: int, stop: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Config:
    """Ticks are the driver's; bytes are entry sizes.

    `max_lag_entries` and `patience_ticks`: how far a follower may fall behind before the leader slows down for it, and
    for how long one that stores nothing is waited for (`progress.Pace`). `stall_ticks`: how long a leader's own write
    may take before leadership goes to a node whose disk is faster.
    """

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
    max_lag_entries: int = 10_000
    patience_ticks: int = 120
    stall_ticks: int = 36
