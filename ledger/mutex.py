"""The Redis lock around recording a vote or issuing a credential.

It spares consensus needless conflicts. It is never what makes double voting impossible: the leader's queue is. So
whatever goes wrong with Redis is logged and the block goes on without the lock.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

log = logging.getLogger("ballot.mutex")

RETRY_S = 0.05


class LockHeld(Exception):
    """Somebody else held the lock all the while: ask again."""


class Mutex:
    """Locks by name, for at most `hold_s`, in the name of `node`; waits `wait_s` for one that is held.

    `redis` must give up within a fraction of a second by itself. After a failure it is left alone for `rest_s`, then
    one caller tries it, so a dead Redis does not cost every vote a timeout.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        node: int = 0,
        enabled: bool = True,
        wait_s: float = 2.0,
        hold_s: float = 15.0,
        rest_s: float = 1.0,
    ) -> None:
        self._redis, self._node, self._enabled = redis, node, enabled
        self._wait_s, self._hold_s, self._rest_s = wait_s, hold_s, rest_s
        self._failing = False
        self._rest_until = 0.0

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Runs the block with the lock, or without it when Redis cannot be reached. Raises LockHeld."""
        lock = await self._take(name)
        try:
            yield
        finally:
            if lock is not None:
                await self._release(lock)

    async def _take(self, name: str) -> Lock | None:
        if not self._enabled or not self._may_try():
            return None
        lock = Lock(self._redis, f"lock:{name}", timeout=self._hold_s, sleep=RETRY_S, thread_local=False)
        try:
            token = f"{self._node}:{secrets.token_hex(16)}"
            taken = await lock.acquire(blocking_timeout=self._wait_s, token=token)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed("lock not taken", error)
            return None
        self._failing = False
        if not taken:
            log.info("lock held by another")
            raise LockHeld("the same request is being carried out elsewhere")
        log.info("lock taken")
        return lock

    def _may_try(self) -> bool:
        if not self._failing:
            return True
        if monotonic() < self._rest_until:
            return False
        self._rest_until = monotonic() + self._rest_s
        return True

    def _failed(self, event: str, error: Exception) -> None:
        self._failing, self._rest_until = True, monotonic() + self._rest_s
        log.warning(event, extra={"reason": f"Redis: {error!r}"})

    async def _release(self, lock: Lock) -> None:
        try:
            await lock.release()
        except LockError:
            # It ran out: another may have held it meanwhile, which consensus settles as it always does.
            log.warning("lock lost before its block ended")
        except (RedisError, OSError, TimeoutError) as error:
            self._failed("lock not released", error)
        else:
            log.info("lock released")

    async def held(self, most: int) -> list[tuple[str, int, int]]:
        """(kind, node, milliseconds left) of locks that are held. Raises RedisError.

        A name's first part is its kind; the rest is told to nobody: it would say when which ballot is being cast.
        """
        found = []
        async for name in self._redis.scan_iter("lock:*", count=1000):
            token, left = await self._redis.get(name), await self._redis.pttl(name)
            if isinstance(token, bytes) and left > 0:
                node = token.partition(b":")[0]
                found.append((name.split(b":")[1].decode(), int(node) if node.isdigit() else 0, int(left)))
            if len(found) == most:
                break
        return found

    def state(self) -> dict[str, Any]:
        """For diagnosis: whether locks are in use, and whether Redis fails just now."""
        return {"enabled": self._enabled, "failing": self._failing}
