"""Waiting for what shall happen, never for a moment: how fast a machine is decides no test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

PATIENCE_S = 120.0
"""Longer than anything takes on the slowest machine; only what never happens takes so long."""
POLL_S = 0.02


async def until(holds: Callable[[], bool | Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Returns once it holds. Raises TimeoutError."""
    async with asyncio.timeout(patience_s):
        while True:
            found = holds()
            if await found if isawaitable(found) else found:
                return
            await asyncio.sleep(POLL_S)
