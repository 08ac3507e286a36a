"""The Redis lock around recording a vote or issuing a credential.

It spares consensus needless conflicts. It is never what makes double voting impossible: the leader's queue is. So
whatever goes wrong with Redis is logged and the block goes on without the lock.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger("ballot.mutex")

RETRY_S = 0.05

# KEYS: locks. ARGV: for each, who asks and for how many ms; 0 gives it back, if it is still theirs. Gives 1 where that
# was done and 0 where not.
_STEPS = """
local done = {}
for place, name in ipairs(KEYS) do
    local token, hold = ARGV[2 * place - 1], ARGV[2 * place]
    if hold ~= '0' then
        done[place] = redis.call('SET', name, token, 'NX', 'PX', hold) and 1 or 0
    elseif redis.call('GET', name) == token then
        done[place] = redis.call('DEL', name)
    else
        done[place] = 0
    end
end
return done
"""


class LockHeld(Exception):
    """Somebody else held the lock all the while: ask again."""


class _Step(NamedTuple):
    name: str
    token: str
    hold_ms: int
    done: asyncio.Future[bool]


class _Steps:
    """Locks taken and given back in one round trip for all who ask while the one before is under way."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_STEPS)
        self._waiting: list[_Step] = []
        self._running: asyncio.Task[None] | None = None

    def ask(self, name: str, token: str, hold_ms: int) -> asyncio.Future[bool]:
        """Whether that was done. The future raises RedisError, OSError, TimeoutError."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Step(name, token, hold_ms, done))
        if self._running is None:
            self._running = asyncio.ensure_future(self._run())
        return done

    async def ended(self) -> None:
        """Returns when everything that was asked has an answer."""
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        try:
            while self._waiting:
                steps, self._waiting = self._waiting, []
                await self._carry_out(steps)
        finally:
            self._running = None

    async def _carry_out(self, steps: list[_Step]) -> None:
        keys = [step.name for step in steps]
        arguments = [value for step in steps for value in (step.token, step.hold_ms)]
        try:
            answers = await self._script(keys=keys, args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            # Who asked meanwhile would wait as long again, and for the same answer.
            steps, self._waiting = steps + self._waiting, []
            for step in steps:
                if not step.done.done():
                    step.done.set_exception(error)
            return
        for step, answer in zip(steps, answers, strict=True):
            if not step.done.done():
                step.done.set_result(answer == 1)


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
        self._wait_s, self._hold_ms, self._rest_s = wait_s, int(hold_s * 1000), rest_s
        self._steps = _Steps(redis)
        self._failing = False
        self._rest_until = 0.0

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Runs the block with the lock, or without it when Redis cannot be reached. Raises LockHeld.

        Nobody waits for the lock to be given back: what it kept apart is recorded by then.
        """
        key, token = f"lock:{name}", f"{self._node}:{secrets.token_hex(16)}"
        taken = await self._take(key, token)
        try:
            yield
        finally:
            if taken:
                self._steps.ask(key, token, 0).add_done_callback(self._released)

    async def _take(self, key: str, token: str) -> bool:
        """False where it goes on without the lock."""
        if not self._enabled or not self._may_try():
            return False
        until = monotonic() + self._wait_s
        try:
            while True:
                taken = await self._steps.ask(key, token, self._hold_ms)
                if taken or monotonic() + RETRY_S >= until:
                    break
                await asyncio.sleep(RETRY_S)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed("lock not taken", error)
            return False
        self._failing = False
        if not taken:
            log.info("lock held by another")
            raise LockHeld("the same request is being carried out elsewhere")
        log.info("lock taken")
        return True

    def _may_try(self) -> bool:
        if not self._failing:
            return True
        if monotonic() < self._rest_until:
            return False
        self._rest_until = monotonic() + self._rest_s
        return True

    def _failed(self, event: str, error: BaseException) -> None:
        if not self._failing:
            log.warning(event, extra={"reason": f"Redis: {error!r}"})
        self._failing, self._rest_until = True, monotonic() + self._rest_s

    def _released(self, done: asyncio.Future[bool]) -> None:
        if error := done.exception():
            self._failed("lock not released", error)
        elif done.result():
            log.info("lock released")
        else:
            # It ran out: another may have held it meanwhile, which consensus settles as it always does.
            log.warning("lock lost before its block ended")

    async def close(self) -> None:
        """Returns when every lock that is not held any more was given back."""
        await self._steps.ended()

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
