"""Clock synchronisation: offsets measured on heartbeats (four timestamps, RFC 5905 section 8), a quorum median.

Times are microseconds since the Unix epoch, UTC. The log's order is its index, never the time; this module only sees
to it that the time the leader stamps is one that most of the cluster would agree with.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

SAMPLES = 16


def system_time_us() -> int:
    return time.time_ns() // 1000


def steady_time_us() -> int:
    return time.monotonic_ns() // 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """`offset_us`: the peer's clock minus ours; `round_trip_us` bounds the error to half of itself."""

    offset_us: int
    round_trip_us: int


def measure(sent: int, received: int, replied: int, returned: int) -> Sample:
    """One exchange: we send and get back by our clock, the peer receives and replies by its own."""
    return Sample(((received - sent) + (replied - returned)) // 2, (returned - sent) - (replied - received))


class Clock:
    """One node's clock, corrected towards the quorum's median."""

    def __init__(
        self,
        voters: int,
        source: Callable[[], int] = system_time_us,
        bound_us: int = 1_000_000,
        steady: Callable[[], int] | None = None,
    ) -> None:
        """`source` is the machine's wall clock; `steady`, where given, one that never jumps, to catch it jumping.

        `voters` 0: not known yet, `follow` will say.
        """
        self._source, self._voters, self.bound_us, self._steady = source, voters, bound_us, steady
        self._samples: dict[int, deque[Sample]] = {}
        self._correction_us = 0
        self._synchronised = voters == 1
        self._lead_us = self._lead()
        self._counted: frozenset[int] | None = None

    def follow(self, node: int, voters: Collection[int]) -> None:
        """Members changed: from now on the quorum is that of `voters` and this `node`; learners are only measured."""
        self._counted = frozenset(voters) - {node}
        self._voters = len(self._counted) + 1
        if self._voters == 1:
            self._agree()

    @property
    def synchronised(self) -> bool:
        """The quorum agreed on this clock's correction, and it has not jumped since."""
        if self._voters > 1 and abs(self._lead() - self._lead_us) > self.bound_us:
            # Every offset measured before the jump is wrong by as much: nothing is stamped until it is measured anew.
            self._samples.clear()
            self._synchronised, self._lead_us = False, self._lead()
        return self._synchronised

    def _lead(self) -> int:
        """How far the wall clock is ahead of the steady one."""
        return self._source() - self._steady() if self._steady is not None else 0

    def raw_us(self) -> int:
        """This machine's own clock."""
        return self._source()

    def now_us(self) -> int:
        """This machine's clock plus the correction that brings it to the quorum's median."""
        return self._source() + self._correction_us

    def observe(self, peer: int, sample: Sample) -> None:
        """Takes a measured exchange with `peer` (leader's side) and renews the correction."""
        # A jump in the middle of an exchange looks like an absurd round trip.
        if not 0 <= sample.round_trip_us <= self.bound_us:
            return
        self._samples.setdefault(peer, deque(maxlen=SAMPLES)).append(sample)
        self._correct()

    def _correct(self) -> None:
        """Moves the correction no further than the clocks heard so far prove.

        A clock that was not heard could be anything, so the median of all is only known to lie between two of those
        that were: one bad clock must not count for half because it happened to answer first.
        """
        counted = self._samples if self._counted is None else self._counted & self._samples.keys()
        heard = sorted([0, *(self.offset_us(known) for known in counted)])
        missing = self._voters - len(heard)
        lowest, highest = (self._voters - 1) // 2 - missing, self._voters // 2
        if lowest < 0 or highest >= len(heard):
            return
        low, high = heard[lowest], heard[highest]
        self._correction_us = min(max(self._correction_us, low), high)
        if self.synchronised or high - low <= self.bound_us:
            self._agree()

    def _agree(self) -> None:
        self._synchronised, self._lead_us = True, self._lead()

    def offset_us(self, peer: int) -> int:
        """The peer's clock minus ours, from the sample with the shortest round trip among the newest."""
        return min(self._samples[peer], key=lambda sample: sample.round_trip_us).offset_us

    def offsets(self) -> dict[int, Sample]:
        return {peer: min(samples, key=lambda sample: sample.round_trip_us) for peer, samples in self._samples.items()}

    def correction_for(self, peer: int) -> int | None:
        """What `peer` must add to its clock to agree with the quorum; None until it was measured."""
        return self._correction_us - self.offset_us(peer) if peer in self._samples and self.synchronised else None

    def accept_correction(self, correction_us: int) -> None:
        """A follower takes the correction that the leader worked out for it."""
        self._correction_us = correction_us
        self._agree()

    def forget(self) -> None:
        """Leadership changed: old samples say nothing about the peers any more, the last correction stays.

        One beyond the bound is measured anew before anything rests on it: its node would hand over at once, and if the
        clock has long been set right, with it everybody in turn.
        """
        self._samples.clear()
        if self._voters > 1 and abs(self._correction_us) > self.bound_us:
            self._synchronised = False

    @property
    def correction_us(self) -> int:
        return self._correction_us

    @property
    def out_of_bound(self) -> bool:
        """This machine's own clock is further from the quorum's than the bound: it should not lead (rule R8)."""
        return self.synchronised and abs(self._correction_us) > self.bound_us
