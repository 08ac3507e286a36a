"""Access tokens are pinned to one key, algorithm and purpose; refresh tokens are used once."""

import base64
import json
from collections.abc import Iterator
from time import time
from typing import Any

import jwt
import pytest
from redis.asyncio import Redis

from ballot.embedded import EmbeddedRedis
from ballot.http import tokens as tokens_module
from ballot.http.parse import b64
from ballot.http.problems import Refused
from ballot.http.tokens import AccessTokens, RefreshTokens, TokenKey
from ballot.ledger import rsa
from tests.support.services import jwt_key, running_redis, with_redis

USER = bytes(range(16))


def access_tokens(**changes: Any) -> AccessTokens:
    options: dict[str, Any] = {"issuer": "ballot.test", "audience": "ballot", "lifetime_s": 60, **changes}
    return AccessTokens([TokenKey(jwt_key())], **options)


# Right in whatever else is wrong, so that no token is refused for this.
KID = {"kid": access_tokens().jwks[0]["kid"]}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time())
    fields = {"iss": "ballot.test", "aud": "ballot", "sub": b64(USER), "iat": now, "exp": now + 60, "jti": "1"}
    return {name: value for name, value in {**fields, "typ": "access", **changes}.items() if value is not None}


def signed(**changes: Any) -> str:
    return jwt.encode(claims(**changes), jwt_key(), algorithm="RS256", headers=KID)


def refused(token: str) -> bool:
    with pytest.raises(Refused) as caught:
        access_tokens().user(token)
    return caught.value.refusal == "InvalidToken"


def unsigned(header: dict[str, str], signature: bytes = b"") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims())]
    return ".".join([*parts, b64(signature)])


def test_a_token_names_its_user() -> None:
    tokens = access_tokens()
    assert tokens.user(tokens.issue(USER)) == USER


def test_a_token_made_by_hand_as_we_make_them_is_taken() -> None:
    assert access_tokens().user(signed()) == USER


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody.else"},
        {"aud": "another"},
        {"exp": int(time()) - 1},
        {"iat": int(time()) + 3600},
        {"typ": "refresh"},
        {"sub": b64(bytes(15))},
        {"sub": "not base64url!"},
        *({name: None} for name in ("iss", "aud", "sub", "iat", "exp", "jti", "typ")),
    ],
)
def test_a_token_with_another_claim_or_without_one_is_refused(changes: dict[str, Any]) -> None:
    assert refused(signed(**changes))


def test_a_token_of_another_key_is_refused() -> None:
    assert refused(jwt.encode(claims(), rsa.generate(2048), algorithm="RS256", headers=KID))


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
def test_a_token_of_another_algorithm_is_refused(algorithm: str) -> None:
    assert refused(jwt.encode(claims(), jwt_key(), algorithm=algorithm, headers=KID))


def test_an_unsigned_token_is_refused() -> None:
    assert refused(unsigned({"alg": "none", "typ": "JWT", **KID}))


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused() -> None:
    assert refused(unsigned({"alg": "HS256", "typ": "JWT", **KID}, bytes(32)))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.b.c"])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refused(token)


def test_the_published_key_verifies_what_is_issued() -> None:
    tokens = access_tokens()
    token = tokens.issue(USER)
    [published] = tokens.jwks
    key = jwt.PyJWK(published)
    assert jwt.get_unverified_header(token)["kid"] == published["kid"]
    assert jwt.decode(token, key, algorithms=["RS256"], audience="ballot")["sub"] == b64(USER)


def test_a_token_that_names_no_key_of_ours_is_refused() -> None:
    for headers in ({}, {"kid": "another"}, {"jku": "https://example.org/keys", "kid": "x"}):
        assert refused(jwt.encode(claims(), jwt_key(), algorithm="RS256", headers=headers))


def test_a_new_key_is_published_before_it_signs_and_the_old_one_stays_good() -> None:
    old, new, now = jwt_key(), rsa.generate(2048), time()
    options: dict[str, Any] = {"issuer": "ballot.test", "audience": "ballot", "lifetime_s": 60}
    before = AccessTokens([TokenKey(old), TokenKey(new, now + 3600)], **options)
    after = AccessTokens([TokenKey(old), TokenKey(new, now - 1)], **options)
    first, second = before.issue(USER), after.issue(USER)
    assert [jwt.get_unverified_header(token)["kid"] for token in (first, second)] == [key["kid"] for key in before.jwks]
    for tokens in (before, after):
        assert tokens.user(first) == tokens.user(second) == USER
    with pytest.raises(Refused):
        AccessTokens([TokenKey(new)], **options).user(first)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    yield from running_redis()


async def is_refused(tokens: RefreshTokens, token: str) -> bool:
    try:
        await tokens.rotate(token)
    except Refused as refusal:
        return refusal.refusal == "InvalidToken"
    return False


@pytest.mark.cluster
def test_a_refresh_token_gives_the_user_and_the_next_one(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        tokens = RefreshTokens(redis, 60)
        user, second = await tokens.rotate(await tokens.issue(USER))
        assert user == USER
        assert (await tokens.rotate(second))[0] == USER

    with_redis(server.url, work)


@pytest.mark.cluster
def test_a_refresh_token_used_twice_ends_the_login(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        tokens = RefreshTokens(redis, 60)
        first, other = await tokens.issue(USER), await tokens.issue(USER)
        _, second = await tokens.rotate(first)
        assert await is_refused(tokens, first)
        assert await is_refused(tokens, second)
        assert (await tokens.rotate(other))[0] == USER

    with_redis(server.url, work)


@pytest.mark.cluster
def test_a_logout_ends_one_login_and_a_new_password_all(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        tokens = RefreshTokens(redis, 60)
        one, two, three = [await tokens.issue(USER) for _ in range(3)]
        someone_else = await tokens.issue(bytes(16))
        await tokens.revoke(one)
        assert await is_refused(tokens, one)
        _, two = await tokens.rotate(two)
        await tokens.revoke_all(USER)
        assert await is_refused(tokens, two) and await is_refused(tokens, three)
        assert (await tokens.rotate(someone_else))[0] == bytes(16)

    with_redis(server.url, work)


@pytest.mark.cluster
def test_a_login_ends_at_last_however_often_it_is_renewed(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_ms = 86_400_000

    async def work(redis: Redis) -> None:
        tokens = RefreshTokens(redis, 14 * 86_400)
        token = await tokens.issue(USER)
        for day in (10, 20, 29):
            monkeypatch.setattr(tokens_module, "_now_ms", lambda day=day: int(time() * 1000) + day * day_ms)
            _, token = await tokens.rotate(token)
        family = f"session:{base64.urlsafe_b64decode(token)[:16].hex()}"
        assert 0 < await redis.pttl(family) <= day_ms
        monkeypatch.setattr(tokens_module, "_now_ms", lambda: int(time() * 1000) + 30 * day_ms)
        assert await is_refused(tokens, token)
        await tokens.revoke_all(USER)

    with_redis(server.url, work)


@pytest.mark.cluster
def test_redis_holds_no_refresh_token(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        token = await RefreshTokens(redis, 60).issue(USER)
        secret = base64.urlsafe_b64decode(token)[16:]
        for key in await redis.keys("session:*"):
            assert secret not in (await redis.hgetall(key)).values()
            assert 0 < await redis.pttl(key) <= 60_000

    with_redis(server.url, work)


@pytest.mark.cluster
def test_what_is_no_refresh_token_is_refused(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        tokens = RefreshTokens(redis, 60)
        for token in ("", "x", b64(bytes(48)), b64(bytes(47))):
            assert await is_refused(tokens, token)

    with_redis(server.url, work)
