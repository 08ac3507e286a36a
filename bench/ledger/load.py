"""Loads: N clients in a closed loop, and a log filled as fast as it can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from .figures import Figures, figures_of

Append = Callable[[int], Awaitable[None]]
"""Appends 1 KiB durably on behalf of client number i."""
Advance = Callable[[float], None]
"""Shows how far a part of the run is, of the total that was said."""

IN_FLIGHT = 768


async def run_load(append: Append, clients: int, seconds: float) -> Figures:
    """Each client sends its next request when it has its last answer."""
    latencies: list[float] = []
    begin = time.monotonic()
    end = begin + seconds

    async def client(number: int) -> None:
        while (sent := time.monotonic()) < end:
            await append(number)
            latencies.append(time.monotonic() - sent)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return figures_of(clients, latencies, time.monotonic() - begin)


async def fill(append: Append, count: int, advance: Advance) -> float:
    """Appends `count` entries with many commands in flight; the seconds it took."""
    left = count
    begin = time.monotonic()

    async def client(number: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await append(number)
            advance(count - left)

    await asyncio.gather(*(client(number) for number in range(min(IN_FLIGHT, count))))
    return time.monotonic() - begin
