"""A closed-loop load: N clients, each sending its next request when it has its last answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Append = Callable[[int], Awaitable[None]]
"""Appends 1 KiB durably on behalf of client number i."""


@dataclass(frozen=True)
class Figures:
    """`rate` in appends a second, latencies in milliseconds."""

    clients: int
    rate: float
    p50: float
    p99: float


async def run_load(append: Append, clients: int, seconds: float) -> Figures:
    latencies: list[float] = []
    begin = time.monotonic()
    end = begin + seconds

    async def client(number: int) -> None:
        while (sent := time.monotonic()) < end:
            await append(number)
            latencies.append(time.monotonic() - sent)

    await asyncio.gather(*(client(number) for number in range(clients)))
    took = time.monotonic() - begin
    latencies.sort()
    return Figures(clients, len(latencies) / took, _at(latencies, 0.5), _at(latencies, 0.99))


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000
