"""One-time codes: six digits, few tries, one use, one purpose, and nothing readable in Redis."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ballot.embedded import EmbeddedRedis, free_port
from ballot.http.codes import ENTER, RESET, SENDS, TRIES, Codes, Pending
from ballot.http.limits import Limit
from ballot.http.problems import Refused
from ballot.ledger.vault import Vault
from tests.support.services import running_redis, with_redis

pytestmark = pytest.mark.cluster

PENDING = Pending("login", "voter@example.org", b"t" * 32, b"u" * 16)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    yield from running_redis()


@pytest.fixture(autouse=True)
def empty(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        await redis.flushall()

    with_redis(server.url, work)


def codes_on(redis: Redis, *, lifetime_s: int = 60, wrong: int = 20) -> Codes:
    return Codes(redis, b"k" * 32, Vault(bytes(32)), lifetime_s, Limit(wrong, 3600))


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def outcome(codes: Codes, challenge: bytes, code: str, use: str = ENTER) -> str:
    try:
        return (await codes.check(use, challenge, code)).what
    except Refused as refused:
        return refused.refusal


def test_the_right_code_confirms_once(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code = await codes.open(ENTER, PENDING)
        assert re.fullmatch("[0-9]{6}", code)
        assert await codes.check(ENTER, challenge, code) == PENDING
        assert await outcome(codes, challenge, code) == "CodeExpired"

    with_redis(server.url, work)


def test_of_many_who_send_the_right_code_at_once_one_is_let_in(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code = await codes.open(ENTER, PENDING)
        outcomes = await asyncio.gather(*(outcome(codes, challenge, code) for _ in range(20)))
        assert sorted(outcomes) == ["CodeExpired"] * 19 + ["login"]

    with_redis(server.url, work)


def test_after_so_many_tries_the_right_code_comes_too_late(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code = await codes.open(ENTER, PENDING)
        for _ in range(TRIES):
            assert await outcome(codes, challenge, other_than(code)) == "WrongCode"
        assert await outcome(codes, challenge, code) == "CodeExpired"

    with_redis(server.url, work)


def test_asking_for_another_code_gives_no_more_tries(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code = await codes.open(ENTER, PENDING)
        for _ in range(TRIES - 1):
            await outcome(codes, challenge, other_than(code))
        _, code = await codes.renew(challenge)
        assert await outcome(codes, challenge, other_than(code)) == "WrongCode"
        assert await outcome(codes, challenge, code) == "CodeExpired"

    with_redis(server.url, work)


def test_a_new_code_replaces_the_old_one_and_only_a_few_are_sent(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, old = await codes.open(ENTER, PENDING)
        new = old
        for _ in range(SENDS - 1):
            pending, new = await codes.renew(challenge)
            assert pending == PENDING
        with pytest.raises(Refused, match="slow down"):
            await codes.renew(challenge)
        assert old == new or await outcome(codes, challenge, old) == "WrongCode"
        assert await outcome(codes, challenge, new) == "login"

    with_redis(server.url, work)


def test_a_code_to_log_in_resets_no_password(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code = await codes.open(ENTER, PENDING)
        assert await outcome(codes, challenge, code, RESET) == "WrongCode"
        assert await outcome(codes, challenge, code) == "login"

    with_redis(server.url, work)


def test_a_code_ends_by_itself(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis, lifetime_s=1)
        challenge, code = await codes.open(ENTER, PENDING)
        await asyncio.sleep(1.1)
        assert await outcome(codes, challenge, code) == "CodeExpired"
        with pytest.raises(Refused):
            await codes.renew(challenge)

    with_redis(server.url, work)


def test_an_address_stands_only_so_many_wrong_codes_over_all_its_challenges(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis, wrong=3)
        for _ in range(3):
            challenge, code = await codes.open(ENTER, PENDING)
            assert await outcome(codes, challenge, other_than(code)) == "WrongCode"
        challenge, code = await codes.open(ENTER, PENDING)
        assert await outcome(codes, challenge, code) == "TooManyRequests"
        challenge, code = await codes.open(ENTER, Pending("login", "other@example.org", b"o" * 32))
        assert await outcome(codes, challenge, code) == "login"

    with_redis(server.url, work)


def test_a_code_given_back_is_good_again(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code = await codes.open(ENTER, PENDING)
        pending = await codes.check(ENTER, challenge, code)
        await codes.restore(ENTER, challenge, code, pending)
        assert await outcome(codes, challenge, code) == "login"

    with_redis(server.url, work)


def test_redis_holds_neither_the_code_nor_the_address(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        challenge, code = await codes_on(redis).open(ENTER, PENDING)
        kept = await redis.hgetall(f"challenge:{challenge.hex()}")
        assert kept.keys() == {b"use", b"code", b"subject", b"sealed"}
        assert "voter" not in repr(kept) and PENDING.user.decode() not in repr(kept)
        assert kept[b"code"] != code.encode() and len(kept[b"code"]) == 32

    with_redis(server.url, work)


def test_without_redis_no_code_is_taken() -> None:
    async def work(redis: Redis) -> None:
        with pytest.raises(RedisError):
            await codes_on(redis).check(ENTER, bytes(16), "123456")

    with_redis(f"redis://127.0.0.1:{free_port()}/0", work)
