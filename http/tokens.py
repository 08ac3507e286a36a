"""Access tokens (JWT, RS256, minutes) and refresh tokens (opaque, rotating, on an allow-list in Redis)."""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import time
from typing import Any, NamedTuple, cast

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from redis.asyncio import Redis

from .parse import b64, unb64
from .problems import Refused

log = logging.getLogger("ballot.auth")

ALGORITHM = "RS256"
USER_BYTES = 16
FAMILY_BYTES, SECRET_BYTES = 16, 32
_CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti", "typ"]


@dataclass(frozen=True)
class TokenKey:
    """A key and since when it signs, in seconds since 1970. What it signed is good while it is held at all."""

    private: RSAPrivateKey = field(repr=False)
    signs_from: float = 0.0


class AccessTokens:
    """Signs and checks access tokens. They name a user and nothing else: roles are looked up where they matter.

    Of several keys, oldest first, all check: a new one is known everywhere before the first token it signs, and the
    one before it for as long as its last token lives.
    """

    def __init__(self, keys: Sequence[TokenKey], *, issuer: str, audience: str, lifetime_s: int) -> None:
        self._issuer, self._audience, self.lifetime_s = issuer, audience, lifetime_s
        self._signing = [(key, _jwk(key.private.public_key())) for key in keys]
        self._public = {jwk["kid"]: key.private.public_key() for key, jwk in self._signing}
        self.jwks = [jwk for _, jwk in self._signing]

    def issue(self, user: bytes) -> str:
        now = int(time())
        key, jwk = next((one for one in reversed(self._signing) if one[0].signs_from <= now), self._signing[0])
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": b64(user),
            "iat": now,
            "exp": now + self.lifetime_s,
            "jti": b64(secrets.token_bytes(16)),
            "typ": "access",
        }
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": jwk["kid"]})

    def user(self, token: str) -> bytes:
        """The 16-byte user id of a valid token. Raises Refused(InvalidToken)."""
        try:
            claims = jwt.decode(
                token,
                self._key_of(token),
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": _CLAIMS},
            )
            if claims["typ"] != "access":
                raise Refused("InvalidToken", "not an access token")
            return unb64(str(claims["sub"]), USER_BYTES)
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Refused("InvalidToken", "the access token is not valid, or no longer") from error

    def _key_of(self, token: str) -> RSAPublicKey:
        """The key that the token names, among our own and nowhere else. Raises jwt.InvalidTokenError."""
        public = self._public.get(str(jwt.get_unverified_header(token).get("kid")))
        if public is None:
            raise jwt.InvalidTokenError("the token names no key of ours")
        return public


def _jwk(public: RSAPublicKey) -> dict[str, str]:
    """The key as a JWK (RFC 7517), named by its thumbprint (RFC 7638)."""
    numbers = public.public_numbers()
    n = base64.urlsafe_b64encode(numbers.n.to_bytes((public.key_size + 7) // 8, "big")).rstrip(b"=").decode()
    core = {"e": b64(numbers.e.to_bytes(3, "big")), "kty": "RSA", "n": n}
    return {**core, "use": "sig", "alg": ALGORITHM, "kid": b64(sha256(msgspec.json.encode(core)).digest())}


# KEYS: family. ARGV: hash of the token shown, hash of the next, lifetime in ms, the time now in ms.
_ROTATE = """
local kept = redis.call('HMGET', KEYS[1], 'token', 'user', 'ends')
local left = tonumber(kept[3] or 0) - tonumber(ARGV[4])
if not kept[1] or left <= 0 then return {'unknown'} end
if kept[1] ~= ARGV[1] then
    redis.call('DEL', KEYS[1])
    return {'reused'}
end
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'used', ARGV[4])
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[3]), left))
return {'rotated', kept[2]}
"""


# KEYS: the user's logins. In one step, so that none begun meanwhile is forgotten.
_REVOKE_ALL = """
for _, family in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('DEL', 'session:' .. family) end
redis.call('DEL', KEYS[1])
"""


class Login(NamedTuple):
    """`family` (16 bytes) names it and opens nothing; when it began and was last refreshed, ms since 1970."""

    family: bytes
    began_ms: int
    used_ms: int


class RefreshTokens:
    """One family a login; only its newest token counts, and an older one shown again ends the family (RFC 9700, 4.14).

    A family unused for `lifetime_s` ends, and in any case `most_s` after its login, used or not. Redis keeps hashes.
    Losing Redis logs everybody out and lets no revoked session back in. All methods raise redis.RedisError when it
    cannot be reached.
    """

    def __init__(self, redis: Redis, lifetime_s: int, most_s: int = 30 * 86_400) -> None:
        self._redis, self._lifetime_ms, self._most_ms = redis, lifetime_s * 1000, most_s * 1000
        self._rotate, self._revoke_all = redis.register_script(_ROTATE), redis.register_script(_REVOKE_ALL)

    async def issue(self, user: bytes) -> str:
        """A token that begins a new family."""
        family, secret = secrets.token_bytes(FAMILY_BYTES), secrets.token_bytes(SECRET_BYTES)
        async with self._redis.pipeline(transaction=True) as pipe:
            now = _now_ms()
            kept: dict[Any, Any] = {"token": sha256(secret).digest(), "user": user, "ends": now + self._most_ms}
            pipe.hset(_family(family), mapping={**kept, "began": now, "used": now})
            pipe.pexpire(_family(family), min(self._lifetime_ms, self._most_ms))
            pipe.sadd(_sessions(user), family.hex())
            pipe.pexpire(_sessions(user), self._lifetime_ms)
            await pipe.execute()
        return b64(family + secret)

    async def rotate(self, token: str) -> tuple[bytes, str]:
        """The user and the next token; the one given is used up. Raises Refused(InvalidToken)."""
        family, secret = _split(token)
        following = secrets.token_bytes(SECRET_BYTES)
        arguments: list[Any] = [sha256(secret).digest(), sha256(following).digest(), self._lifetime_ms, _now_ms()]
        outcome, *rest = await self._rotate(keys=[_family(family)], args=arguments)
        if outcome == b"reused":
            log.warning("a refresh token was used twice: its login has been ended")
            raise Refused("InvalidToken", "the token was used before: this login has been ended")
        if outcome != b"rotated":
            raise Refused("InvalidToken", "the refresh token is not valid, or no longer")
        user = bytes(rest[0])
        await self._redis.pexpire(_sessions(user), self._lifetime_ms)
        return user, b64(family + following)

    async def revoke(self, token: str) -> None:
        """Ends the login that the token belongs to, if it is still on."""
        try:
            family, _ = _split(token)
        except Refused:
            return
        await self._redis.delete(_family(family))

    async def logins(self, user: bytes) -> list[Login]:
        """The user's logins, the one used last first."""
        found = []
        for name in cast(set[bytes], await self._redis.smembers(_sessions(user))):
            family = bytes.fromhex(name.decode())
            began, used = await self._redis.hmget(_family(family), ["began", "used"])
            if began is None or used is None:
                # It ended by itself.
                await self._redis.srem(_sessions(user), name)
            else:
                found.append(Login(family, int(began), int(used)))
        return sorted(found, key=lambda login: login.used_ms, reverse=True)

    async def end(self, user: bytes, family: bytes) -> bool:
        """Ends one login of the user; whether there was such a one."""
        if not await self._redis.srem(_sessions(user), family.hex()):
            return False
        await self._redis.delete(_family(family))
        return True

    async def revoke_all(self, user: bytes) -> None:
        """Ends every login of the user."""
        await self._revoke_all(keys=[_sessions(user)])


def _now_ms() -> int:
    return int(time() * 1000)


def _split(token: str) -> tuple[bytes, bytes]:
    try:
        data = unb64(token, FAMILY_BYTES + SECRET_BYTES)
    except ValueError as error:
        raise Refused("InvalidToken", "not a refresh token") from error
    return data[:FAMILY_BYTES], data[FAMILY_BYTES:]


def _family(family: bytes) -> str:
    return f"session:{family.hex()}"


def _sessions(user: bytes) -> str:
    return f"sessions:{user.hex()}"
