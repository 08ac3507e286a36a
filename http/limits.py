"""How often: windows in Redis per client and per address, and a bucket in memory for casts from everybody together."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType

from falcon.asgi import Response
from redis.asyncio import Redis

from ..ledger.frame import frame
from .problems import Refused

RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

# KEYS: the window. ARGV: its length in ms. Gives (requests so far, ms until it ends).
_COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


@dataclass(frozen=True)
class Limit:
    """At most `count` in `seconds`; a count of 0 is no limit."""

    count: int
    seconds: int


class Limits:
    """Fixed windows in Redis. `key` hides who is counted. Raises redis.RedisError: what is limited fails closed."""

    def __init__(self, redis: Redis, key: bytes) -> None:
        self._key = key
        self._count = redis.register_script(_COUNT)

    async def take(self, resp: Response, limit: Limit, what: str, who: str) -> None:
        """Counts one request of `who` and says in the headers what is left. Raises Refused(TooManyRequests)."""
        if not limit.count:
            return
        name = hmac.digest(self._key, f"{what}\0{who}".encode(), "sha256").hex()
        count, left_ms = await self._count(keys=[f"limit:{name}"], args=[limit.seconds * 1000])
        reset = str(max(1, -(-int(left_ms) // 1000)))
        values = (str(limit.count), str(max(0, limit.count - int(count))), reset)
        resp.set_headers(dict(zip(RATE_HEADERS, values, strict=True)))
        if int(count) > limit.count:
            raise too_many(limit.count, reset)


# KEYS: counters. ARGV: for each, the count it stands and its window in ms. Counts one guess on all, or on none. Gives
# (the count that is reached, ms until its window ends), or zeros.
_GUESS = """
for place, name in ipairs(KEYS) do
    if tonumber(redis.call('GET', name) or '0') >= tonumber(ARGV[2 * place - 1]) then
        return {ARGV[2 * place - 1], redis.call('PTTL', name)}
    end
end
for place, name in ipairs(KEYS) do
    if redis.call('INCR', name) == 1 then redis.call('PEXPIRE', name, ARGV[2 * place]) end
end
return {0, 0}
"""

# KEYS: counters, of which the first is forgotten; the others get the one guess back.
_RIGHT = """
redis.call('DEL', KEYS[1])
for place = 2, #KEYS do
    if tonumber(redis.call('GET', KEYS[place]) or '0') > 0 then redis.call('DECR', KEYS[place]) end
end
"""


class Guesses:
    """How many wrong passwords an account stands, from whom.

    A client address stands a few, so that one stranger cannot use up what all strangers together have. A device that
    has confirmed a code of the account is counted by itself: no stranger can lock it out. `begin` counts before the
    password is looked at, so that many guesses at once are no way around it. Raises redis.RedisError: no password is
    then taken.
    """

    def __init__(self, redis: Redis, key: bytes, limits: Mapping[str, Limit]) -> None:
        self._key, self._limits = key, limits
        self._guess, self._right = redis.register_script(_GUESS), redis.register_script(_RIGHT)

    async def begin(self, account: str, client: str, device: str = "") -> list[str]:
        """What to give to `right`. Raises Refused(TooManyRequests)."""
        counted = {"guess-device": device} if device else {"guess-client": client, "guess-account": ""}
        limited = {what: who for what, who in counted.items() if self._limits[what].count}
        names = [self._name(what, account, who) for what, who in limited.items()]
        if not names:
            return names
        arguments = [number for what in limited for number in _numbers(self._limits[what])]
        reached, left_ms = map(int, await self._guess(keys=names, args=arguments))
        if reached:
            raise too_many(reached, str(max(1, -(-left_ms // 1000))))
        return names

    async def right(self, names: list[str]) -> None:
        """The password was right: that was no guess."""
        if names:
            await self._right(keys=names)

    def _name(self, what: str, account: str, who: str) -> str:
        fields = (what.encode(), account.encode(), who.encode())
        return f"guess:{hmac.digest(self._key, frame('guess', *fields), 'sha256').hex()}"


def _numbers(limit: Limit) -> tuple[int, int]:
    return limit.count, limit.seconds * 1000


def too_many(limit: int, retry_after: str) -> Refused:
    """The refusal of one request too many, where `limit` are allowed."""
    values = dict(zip(RATE_HEADERS, (str(limit), "0", retry_after), strict=True))
    return Refused(
        "TooManyRequests",
        f"too many of these: try again in {retry_after} s",
        headers={"Retry-After": retry_after, **values},
    )


class Bucket:
    """`rate` a second on average, up to one second's worth at once; in this process only. A rate of 0 is no limit.

    What is left is told only to those who are turned away: to everybody else it would tell when others cast.
    """

    def __init__(self, rate: int) -> None:
        self._rate, self._level, self._at = rate, float(rate), monotonic()

    def take(self) -> None:
        """Raises Refused(TooManyRequests)."""
        if not self._rate:
            return
        now = monotonic()
        self._level = min(self._rate, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            raise too_many(self._rate, "1")
        self._level -= 1


class Gate:
    """At most `most` are let in at once, in this process. One more is turned away: a queue would only make all wait."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most

    def __enter__(self) -> None:
        """Raises Refused(Overloaded)."""
        if not self._free:
            raise Refused("Overloaded", f"{self._most} requests are under way here already")
        self._free -= 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._free += 1
