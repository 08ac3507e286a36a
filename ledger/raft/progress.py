"""What a leader knows of each peer, and how fast it may append so that a peer that lags can catch up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .config import Config

UNLIMITED = 1 << 62


@dataclass(slots=True)
class Progress:
    """What the leader knows of one peer. While `probing`, one append at a time is out and `next` is a guess.

    `told` is the commit index that the peer was last told, in an append or a heartbeat. `still` counts the ticks since
    `match` last rose; a peer that never answered in this term has been still for ever.
    """

    next: int
    match: int = 0
    told: int = 0
    probing: bool = True
    inflight: int = 0
    silent: int = 0
    still: int = UNLIMITED
    active: bool = False
    fetching: bool = False
    round: int = 0

    def probe(self) -> None:
        """Goes back to what is proven, or keeps the guess; whatever was in flight is taken for lost."""
        if not self.probing:
            self.next = self.match + 1
        self.probing, self.inflight, self.fetching, self.silent = True, 0, False, 0


class Pace:
    """Slows the leader down for a peer that lags but moves, so that it catches up even under full load (trap 27).

    While the furthest behind of such peers lacks more than `max_lag_entries`, the leader may append one entry for every
    two that this peer stores, and one a tick in any case: the peer gains on it, and a peer that is sick cannot stop the
    cluster. One that stores nothing for `patience_ticks` is not waited for.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._credit = 0
        self.waits_for = 0

    @property
    def room(self) -> int:
        """How many entries may be appended now."""
        return max(0, self._credit) if self.waits_for else UNLIMITED

    def tick(self, last_index: int, peers: Mapping[int, Progress]) -> None:
        for progress in peers.values():
            progress.still += 1
        enough = last_index - self._config.max_lag_entries
        lagging = [
            peer
            for peer, progress in peers.items()
            if progress.match < enough and progress.still <= self._config.patience_ticks
        ]
        behind = min(lagging, key=lambda peer: peers[peer].match, default=0)
        self._credit = min(self._credit + 1, self._config.max_write_entries) if behind and self.waits_for else 0
        self.waits_for = behind

    def stored(self, peer: int, count: int) -> None:
        """`peer` has stored `count` entries more."""
        if peer == self.waits_for:
            self._credit = min(self._credit + count // 2, self._config.max_write_entries)

    def spend(self, count: int) -> None:
        self._credit -= count
