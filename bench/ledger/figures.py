"""Figures out of measurements; pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Figures:
    """`rate` in appends a second, latencies in milliseconds."""

    clients: int
    rate: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Spread:
    """Of durations, in milliseconds."""

    count: int
    median: float
    p90: float
    worst: float


def share_of(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the ordered values do not exceed (nearest rank)."""
    rank = -int(-len(ordered) * share // 1)
    return ordered[min(len(ordered), max(1, rank)) - 1]


def figures_of(clients: int, latencies_s: Iterable[float], took_s: float) -> Figures:
    """Raises ValueError when nothing was answered."""
    ordered = sorted(latencies_s)
    if not ordered:
        raise ValueError("not one append was answered")
    return Figures(clients, len(ordered) / took_s, share_of(ordered, 0.5) * 1000, share_of(ordered, 0.99) * 1000)


def spread_of(durations_s: Iterable[float]) -> Spread:
    ordered = sorted(durations_s)
    return Spread(
        len(ordered), statistics.median(ordered) * 1000, share_of(ordered, 0.9) * 1000, share_of(ordered, 1.0) * 1000
    )


def silence(answers_s: Sequence[float], killed_s: float) -> float:
    """The longest time without an answer, counted from the last answer before the kill on. `answers_s` rises.

    The first answer after the kill is no sign of a new leader: the old one may have committed it. So it is the longest
    pause that counts, not the first. Raises ValueError when there was no answer before, or none after.
    """
    after = next((place for place, answer in enumerate(answers_s) if answer > killed_s), 0)
    if not after:
        raise ValueError("no answer before the kill, or none after it")
    around = answers_s[after - 1 :]
    return max(later - earlier for earlier, later in pairwise(around))
