"""One-time codes: digits by e-mail, with few tries and one use, and without a way to lock anybody out.

A challenge stands for what its code confirms. What that is (an address, perhaps a password hash) is sealed under the
cluster's data key. The code itself is nowhere: it is derived, when it is needed, from a nonce that Redis keeps and a
key that Redis does not have. A challenge whose code nobody gets looks the same.

Challenges for one address and purpose opened within the same ten minutes share one code. So a stranger who opens many
neither floods the mailbox nor puts the voter's own code out of use. Wrong codes end the challenge they were tried on,
and never an address: after twenty in a day its codes get twelve digits instead of six, which nobody guesses.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from time import time
from typing import Any, Literal, NamedTuple, cast

import msgspec
from redis.asyncio import Redis

from ..ledger.frame import frame, u32
from ..ledger.vault import Vault
from .limits import Limit, too_many
from .problems import Refused

TRIES = 5
SENDS = 3
AGAIN_S = 60
"""For so long a request that was carried out may be sent again under its Idempotency-Key."""
SHORT, LONG = 6, 12

Use = Literal["register", "login", "reset"]
ENTER: Collection[Use] = frozenset[Use](("register", "login"))
RESET: Collection[Use] = frozenset[Use](("reset",))

# KEYS: challenge, code, wrong codes of the address. ARGV: use, sealed, nonce of a new code, wrong codes it stands,
# digits of a short and a long code, lifetime in ms.
_OPEN = """
local wrong = tonumber(redis.call('GET', KEYS[3]) or '0')
local digits = redis.call('HGET', KEYS[2], 'digits')
if not digits or (digits == ARGV[5] and wrong >= tonumber(ARGV[4])) then
    digits = wrong >= tonumber(ARGV[4]) and ARGV[6] or ARGV[5]
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[2], 'nonce', ARGV[3], 'digits', digits)
    redis.call('PEXPIRE', KEYS[2], 2 * ARGV[7])
end
redis.call('HSET', KEYS[1], 'use', ARGV[1], 'sealed', ARGV[2], 'code', KEYS[2], 'wrong', KEYS[3])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return {redis.call('HGET', KEYS[2], 'nonce'), digits, redis.call('HINCRBY', KEYS[2], 'mails', 1)}
"""

# KEYS: challenge, code. Gives the nonce, the digits, how often the code was mailed, the challenge's lifetime in ms.
_RENEW = """
if redis.call('EXISTS', KEYS[1], KEYS[2]) < 2 then return {} end
local code = redis.call('HMGET', KEYS[2], 'nonce', 'digits')
return {code[1], code[2], redis.call('HINCRBY', KEYS[2], 'mails', 1), redis.call('PTTL', KEYS[1])}
"""

# KEYS: challenge, code, wrong codes. ARGV: 1 if the code was right, the nonce it was compared by, tries of a challenge,
# wrong codes an address stands with a short code, digits of a short code, their window in ms.
_SETTLE = """
local code = redis.call('HMGET', KEYS[2], 'nonce', 'digits')
if redis.call('EXISTS', KEYS[1]) == 0 or code[1] ~= ARGV[2] then return 'expired' end
local stood = tonumber(redis.call('GET', KEYS[3]) or '0')
if code[2] == ARGV[5] and stood >= tonumber(ARGV[4]) then return 'expired' end
if ARGV[1] == '1' then
    redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
    return 'right'
end
if redis.call('INCR', KEYS[3]) == 1 then redis.call('PEXPIRE', KEYS[3], ARGV[6]) end
if redis.call('HINCRBY', KEYS[1], 'tries', 1) >= tonumber(ARGV[3]) then redis.call('DEL', KEYS[1]) end
return 'wrong'
"""


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """What a code confirms. `what` is register, login or reset, or taken or nobody, which no code confirms.

    `password_at` is the entry of the password then in force: a newer one makes the challenge void.
    """

    what: str
    address: str
    tag: bytes
    user: bytes = b""
    password_hash: bytes = b""
    command: bytes = b""
    password_at: int = 0

    def __repr__(self) -> str:
        return f"Pending({self.what})"


class Opened(NamedTuple):
    """A challenge (16 bytes), its code, and whether to mail it: a code is mailed only a few times."""

    challenge: bytes
    code: str
    mail: bool


@dataclass(frozen=True)
class Taken:
    """A code that was right and is used up; `restore` makes it good again."""

    pending: Pending
    use: Use
    challenge: bytes
    nonce: bytes
    digits: int


class Asked(NamedTuple):
    """A request that gives a code under an Idempotency-Key; `body` is what else it says."""

    challenge: bytes
    code: str
    key: str
    body: bytes = b""


class Codes:
    """All methods raise redis.RedisError when Redis cannot be reached: no code is taken on trust."""

    def __init__(self, redis: Redis, key: bytes, vault: Vault, lifetime_s: int, wrong: Limit) -> None:
        self._redis, self._key, self._vault = redis, key, vault
        self._lifetime_s, self._wrong = lifetime_s, wrong
        self._open, self._renew = redis.register_script(_OPEN), redis.register_script(_RENEW)
        self._settle = redis.register_script(_SETTLE)

    @property
    def _stands(self) -> int:
        return self._wrong.count or 1 << 30

    async def open(self, use: Use, pending: Pending) -> Opened:
        """A new challenge, and its code."""
        challenge = secrets.token_bytes(16)
        nonce, digits, mails = await self._keep(use, challenge, pending, secrets.token_bytes(16))
        return Opened(challenge, self._code(nonce, digits), mails <= SENDS)

    async def _keep(self, use: Use, challenge: bytes, pending: Pending, nonce: bytes) -> tuple[bytes, int, int]:
        keys = [_challenge(challenge), self._code_name(use, pending.tag), f"wrong:{use}:{pending.tag.hex()}"]
        sealed = self._vault.seal(msgspec.msgpack.encode(pending), b"challenge" + challenge)
        arguments: list[Any] = [use, sealed, nonce, self._stands, SHORT, LONG, self._lifetime_s * 1000]
        kept, digits, mails = await self._open(keys=keys, args=arguments)
        return kept, int(digits), int(mails)

    async def restore(self, taken: Taken) -> None:
        """Makes a code that was used up good again, because what it confirmed could not be carried out."""
        await self._keep(taken.use, taken.challenge, taken.pending, taken.nonce)

    async def renew(self, challenge: bytes) -> tuple[Pending, str, int]:
        """The code once more, and for how many seconds it is good. Raises Refused(CodeExpired, TooManyRequests)."""
        _, sealed, code, _ = await self._find(challenge)
        found = await self._renew(keys=[_challenge(challenge), code])
        if not found:
            raise _expired()
        nonce, digits, mails, left_ms = found
        if int(mails) > SENDS:
            raise too_many(SENDS, str(self._lifetime_s))
        return self._unseal(challenge, sealed), self._code(nonce, int(digits)), int(left_ms) // 1000

    async def check(self, uses: Collection[Use], challenge: bytes, code: str) -> Taken:
        """What the code confirms; it is used up, for every challenge. Raises Refused(WrongCode, CodeExpired)."""
        use, sealed, name, wrong = await self._find(challenge)
        nonce, digits = await self._redis.hmget(name, ["nonce", "digits"])
        if not isinstance(nonce, bytes) or not isinstance(digits, bytes):
            raise _expired()
        # Compared also for a use it was not mailed for: a code to log in never resets a password.
        right = hmac.compare_digest(code, self._code(nonce, int(digits))) and use in uses
        keys = [_challenge(challenge), name, wrong]
        arguments: list[Any] = [int(right), nonce, TRIES, self._stands, SHORT, self._wrong.seconds * 1000]
        outcome = await self._settle(keys=keys, args=arguments)
        if outcome == b"expired":
            raise _expired()
        if outcome != b"right":
            raise wrong_code()
        return Taken(self._unseal(challenge, sealed), use, challenge, nonce, int(digits))

    async def remember(self, asked: Asked, user: bytes) -> None:
        """That this request was carried out, for whoever sends it again because the answer was lost."""
        await self._redis.set(self._asked_name(asked), hmac.digest(self._key, asked.body, "sha256") + user, ex=AGAIN_S)

    async def remembered(self, asked: Asked) -> bytes | None:
        """For whom this request was carried out already, a moment ago. Raises Refused(IdempotencyKeyReused)."""
        found = await self._redis.get(self._asked_name(asked))
        if not isinstance(found, bytes):
            return None
        if not hmac.compare_digest(found[:32], hmac.digest(self._key, asked.body, "sha256")):
            raise Refused("IdempotencyKeyReused", "another request came under this Idempotency-Key")
        return found[32:]

    def _asked_name(self, asked: Asked) -> str:
        """Nobody finds it who does not have challenge, code and key."""
        fields = (asked.challenge, asked.code.encode(), asked.key.encode())
        return f"done:{hmac.digest(self._key, frame('done', *fields), 'sha256').hex()}"

    async def _find(self, challenge: bytes) -> tuple[Use, bytes, str, str]:
        """(use, sealed, name of the code, name of the wrong ones). Raises Refused(CodeExpired)."""
        fields = await self._redis.hmget(_challenge(challenge), ["use", "sealed", "code", "wrong"])
        if None in fields:
            raise _expired()
        use, sealed, code, wrong = cast(list[bytes], fields)
        return msgspec.convert(use.decode(), Use), sealed, code.decode(), wrong.decode()

    def _unseal(self, challenge: bytes, sealed: bytes) -> Pending:
        data = self._vault.open(sealed, b"challenge" + challenge)
        return msgspec.msgpack.decode(data, type=Pending)

    def _code_name(self, use: Use, tag: bytes) -> str:
        return f"code:{use}:{tag.hex()}:{int(time()) // self._lifetime_s}"

    def _code(self, nonce: bytes, digits: int) -> str:
        derived = hmac.digest(self._key, frame("one-time-code", u32(digits), nonce), "sha256")
        return f"{int.from_bytes(derived, 'big') % 10**digits:0{digits}}"


def _challenge(challenge: bytes) -> str:
    return f"challenge:{challenge.hex()}"


def wrong_code() -> Refused:
    return Refused("WrongCode", "the code is wrong")


def _expired() -> Refused:
    return Refused("CodeExpired", "the code is used up, too old, or was tried too often")
