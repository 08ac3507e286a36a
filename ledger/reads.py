"""Reads that are linearizable: an index that a majority confirmed after the read was asked for (Ongaro 2014, 6.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .raft.core import RaftCore
from .raft.messages import NotLeader, ReadId

CONFIRM_S = 1.0


class SafeReads:
    """`wake()` makes the driver look at the core."""

    def __init__(self, core: RaftCore, wake: Callable[[], None]) -> None:
        self._core, self._wake = core, wake
        self._asked: dict[ReadId, asyncio.Future[int]] = {}

    def answered(self, reads: Sequence[tuple[ReadId, int]]) -> None:
        for read, index in reads:
            if (future := self._asked.pop(read, None)) is not None and not future.done():
                future.set_result(index)

    async def index(self, timeout_s: float) -> int:
        """An index from which a read is linearizable, applied here or not. Raises NotLeader, TimeoutError."""
        read = self._core.read_index()
        future = self._asked[read] = asyncio.get_running_loop().create_future()
        self._wake()
        try:
            async with asyncio.timeout(timeout_s):
                index: int = await future
        finally:
            self._asked.pop(read, None)
        return index

    async def confirm_leading(self) -> None:
        """Returns when a majority has said, after now, that this node leads. Raises NotLeader."""
        if self._core.leadership is None:
            raise NotLeader(self._core.leader)
        try:
            # A node deposed meanwhile never gets this read answered: it was the old leadership's.
            await self.index(CONFIRM_S)
        except TimeoutError as error:
            raise NotLeader(0) from error
