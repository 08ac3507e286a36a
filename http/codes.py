"""One-time codes: six digits by e-mail, kept in Redis as a keyed hash, with few tries and one use.

A challenge stands for what its code confirms. What that is (an address, perhaps a password hash) is sealed under the
cluster's data key, so Redis holds neither a code nor a person. A challenge whose code nobody gets looks the same.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

import msgspec
from redis.asyncio import Redis

from ..ledger.frame import frame
from ..ledger.vault import Vault
from .limits import Limit, too_many
from .problems import Refused

TRIES = 5
SENDS = 4

ENTER, RESET = "enter", "reset"

# KEYS: challenge. ARGV: hash of the code, tries, wrong codes a subject stands, their window in ms.
_CHECK = """
local kept = redis.call('HMGET', KEYS[1], 'code', 'subject', 'sealed')
if not kept[1] then return {'expired'} end
local wrong = 'wrong:' .. kept[2]
if tonumber(redis.call('GET', wrong) or '0') >= tonumber(ARGV[3]) then return {'limited', redis.call('PTTL', wrong)} end
if kept[1] == ARGV[1] then
    redis.call('DEL', KEYS[1])
    return {'right', kept[3]}
end
if redis.call('INCR', wrong) == 1 then redis.call('PEXPIRE', wrong, ARGV[4]) end
if redis.call('HINCRBY', KEYS[1], 'tries', 1) >= tonumber(ARGV[2]) then redis.call('DEL', KEYS[1]) end
return {'wrong'}
"""

# KEYS: challenge. ARGV: hash of the new code, sends, lifetime in ms. The tries go on counting.
_RENEW = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {'expired'} end
if redis.call('HINCRBY', KEYS[1], 'sends', 1) >= tonumber(ARGV[2]) then return {'limited'} end
redis.call('HSET', KEYS[1], 'code', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'renewed'}
"""


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """What a code confirms. `what` is register, login or reset, or taken or nobody, which no code confirms."""

    what: str
    address: str
    tag: bytes
    user: bytes = b""
    password_hash: bytes = b""
    command: bytes = b""

    def __repr__(self) -> str:
        return f"Pending({self.what})"


class Codes:
    """All methods raise redis.RedisError when Redis cannot be reached: no code is taken on trust."""

    def __init__(self, redis: Redis, key: bytes, vault: Vault, lifetime_s: int, wrong: Limit) -> None:
        self._redis, self._key, self._vault = redis, key, vault
        self._lifetime_ms, self._wrong = lifetime_s * 1000, wrong
        self._check, self._renew = redis.register_script(_CHECK), redis.register_script(_RENEW)

    async def open(self, use: str, pending: Pending) -> tuple[bytes, str]:
        """A new challenge (16 bytes) and its code."""
        challenge, code = secrets.token_bytes(16), _new_code()
        await self._keep(use, challenge, code, pending)
        return challenge, code

    async def restore(self, use: str, challenge: bytes, code: str, pending: Pending) -> None:
        """Makes a code that was used up valid again, because what it confirmed could not be carried out."""
        await self._keep(use, challenge, code, pending)

    async def renew(self, challenge: bytes) -> tuple[Pending, str]:
        """Another code for the same challenge. Raises Refused(CodeExpired, TooManyRequests)."""
        use, sealed = await self._redis.hmget(_name(challenge), ["use", "sealed"])
        if not isinstance(use, bytes) or not isinstance(sealed, bytes):
            raise _expired()
        code = _new_code()
        arguments: list[bytes | int] = [self._hash(use.decode(), challenge, code), SENDS, self._lifetime_ms]
        outcome = (await self._renew(keys=[_name(challenge)], args=arguments))[0]
        if outcome == b"limited":
            raise too_many(SENDS, str(self._lifetime_ms // 1000))
        if outcome != b"renewed":
            raise _expired()
        return self._open(challenge, sealed), code

    async def check(self, use: str, challenge: bytes, code: str) -> Pending:
        """What the code confirms; it is used up. Raises Refused(WrongCode, CodeExpired, TooManyRequests)."""
        window_ms = self._wrong.seconds * 1000
        stands = self._wrong.count or 1 << 30
        arguments: list[bytes | int] = [self._hash(use, challenge, code), TRIES, stands, window_ms]
        outcome, *rest = await self._check(keys=[_name(challenge)], args=arguments)
        if outcome == b"limited":
            raise too_many(stands, str(max(1, int(rest[0]) // 1000)))
        if outcome == b"expired":
            raise _expired()
        if outcome != b"right":
            raise wrong_code()
        return self._open(challenge, rest[0])

    async def _keep(self, use: str, challenge: bytes, code: str, pending: Pending) -> None:
        fields: dict[Any, Any] = {
            "use": use,
            "code": self._hash(use, challenge, code),
            "subject": f"{use}:{pending.tag.hex()}",
            "sealed": self._vault.seal(msgspec.msgpack.encode(pending), b"challenge" + challenge),
        }
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(_name(challenge), mapping=fields)
            pipe.pexpire(_name(challenge), self._lifetime_ms)
            await pipe.execute()

    def _open(self, challenge: bytes, sealed: bytes) -> Pending:
        data = self._vault.open(sealed, b"challenge" + challenge)
        return msgspec.msgpack.decode(data, type=Pending)

    def _hash(self, use: str, challenge: bytes, code: str) -> bytes:
        """The use is hashed along: a code mailed to log in never resets a password."""
        return hmac.digest(self._key, frame("one-time-code", use.encode(), challenge, code.encode()), "sha256")


def _new_code() -> str:
    return f"{secrets.randbelow(1_000_000):06}"


def _name(challenge: bytes) -> str:
    return f"challenge:{challenge.hex()}"


def wrong_code() -> Refused:
    return Refused("WrongCode", "the code is wrong")


def _expired() -> Refused:
    return Refused("CodeExpired", "the code is used up, too old, or was tried too often")
