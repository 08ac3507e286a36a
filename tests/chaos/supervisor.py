"""Starts again what has ended, after a pause, as an orchestrator would."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from ballot.embedded import EmbeddedError

from .machines import HurtCluster, HurtNode, pid_of

POLL_S = 0.1
PAUSE_S = (0.1, 1.5)


class Supervisor:
    def __init__(self, cluster: HurtCluster, rng: random.Random) -> None:
        self._cluster, self._rng = cluster, rng
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []
        self.restarts = 0

    def start(self) -> None:
        redis = self._cluster.redis
        self._watch(lambda: bool(pid_of(redis)), redis.start)
        for node in self._cluster.hurt_nodes:
            self._watch_node(node)

    def _watch_node(self, node: HurtNode) -> None:
        self._watch(lambda: bool(node.postgres_pid), node.postgres.start)
        # Without its database a ledger process would only end again.
        self._watch(lambda: bool(node.ledger_pid) or not node.postgres_pid, node.start_ledger)
        self._watch(lambda: bool(node.http_pid), node.start_http)

    def _watch(self, is_fine: Callable[[], bool], start: Callable[[], None]) -> None:
        self._tasks.append(asyncio.create_task(self._keep(is_fine, start)))

    async def _keep(self, is_fine: Callable[[], bool], start: Callable[[], None]) -> None:
        while not self._ending:
            await asyncio.sleep(POLL_S)
            if is_fine():
                continue
            await asyncio.sleep(self._rng.uniform(*PAUSE_S))
            if not is_fine() and not self._ending:
                # A full disk keeps PostgreSQL from starting: the next round tries again.
                with suppress(EmbeddedError):
                    await asyncio.to_thread(start)
                    self.restarts += 1

    async def stop(self) -> None:
        """Returns when nothing will be started any more."""
        self._ending = True
        await asyncio.gather(*self._tasks)
