"""How hard a run is: drawn from the seed, so that every run has its own mix of faults (swarm testing)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

FAULTS = (
    "crash",
    "crash_all",
    "cut",
    "split",
    "deafen",
    "slow_disk",
    "pause",
    "clock",
    "conf",
    "conf",
    "strand",
    "strand",
    "transfer",
    "break",
    "close",
)


@dataclass(slots=True)
class Profile:
    """Times are in ticks, chances between 0 and 1. A fault goes away after `lasting` on average."""

    nodes: int
    clients: int
    config: dict[str, int] = field(default_factory=dict)
    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.2
    jitter: float = 0.5
    straggle: float = 0.0
    straggle_delay: float = 0.0
    disk_delay: float = 0.1
    disk_error: float = 0.0
    apply_delay: float = 0.1
    lazy_turn: float = 0.0
    think: float = 2.0
    patience: float = 20.0
    fault_every: float = 20.0
    lasting: float = 10.0
    faults: Sequence[str] = FAULTS
    eager_conf: float = 0.0


def draw(rng: random.Random) -> Profile:
    pick = rng.choice
    election = pick((4, 6, 8, 10))
    config = {
        "election_ticks": election,
        "heartbeat_ticks": pick((1, 2, 3)),
        "max_append_bytes": pick((1, 4_000, 1 << 20)),
        "max_write_bytes": pick((1, 6_000, 4 << 20)),
        "max_inflight": pick((1, 2, 2, 4)),
        "max_uncommitted_bytes": pick((8_000, 1 << 20)),
        "tail_bytes": pick((1_500, 10_000, 1 << 20)),
        "max_lag_entries": pick((3, 30, 10_000)),
        "patience_ticks": pick((2, 40)),
        "stall_ticks": pick((2, 10, 40)),
    }
    faults = [fault for fault in FAULTS if rng.random() < 0.6]
    return Profile(
        nodes=pick((1, 2, 3, 3, 3, 3, 3, 4, 5, 5)),
        clients=rng.randint(4, 8),
        config=config,
        drop=pick((0.0, 0.01, 0.05, 0.2)),
        duplicate=pick((0.0, 0.02, 0.1)),
        delay=pick((0.05, 0.2, 0.8)),
        jitter=pick((0.1, 0.5, 2.0)),
        straggle=pick((0.0, 0.02, 0.1)),
        straggle_delay=pick((5.0, 20.0, 60.0)),
        disk_delay=pick((0.05, 0.3, 1.5)),
        disk_error=pick((0.0, 0.0, 0.01, 0.03)),
        apply_delay=pick((0.05, 0.5, 2.0)),
        lazy_turn=pick((0.0, 0.2, 0.5)),
        think=pick((0.3, 1.0, 3.0)),
        patience=pick((10.0, 25.0)),
        fault_every=pick((6.0, 12.0, 25.0, 50.0)),
        lasting=pick((5.0, 10.0, 20.0)),
        faults=faults or FAULTS,
        eager_conf=pick((0.0, 0.3, 0.8)),
    )


def calm(profile: Profile) -> None:
    """No more faults: whatever happens now must come to a good end."""
    profile.drop = profile.duplicate = profile.straggle = profile.disk_error = profile.eager_conf = 0.0
    profile.fault_every = 0.0
    profile.delay, profile.jitter, profile.disk_delay, profile.apply_delay = 0.1, 0.1, 0.1, 0.1
