"""Limits: windows that Redis counts, and the bucket for casts."""

import asyncio
from collections.abc import Iterator

import pytest
from falcon.asgi import Response
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ballot.embedded import EmbeddedRedis
from ballot.http.accounts import network_of
from ballot.http.limits import Bucket, Guesses, Limit, Limits
from ballot.http.problems import Refused
from ballot.ports import free_port
from tests.support.services import running_redis, with_redis


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    yield from running_redis()


@pytest.mark.cluster
def test_so_many_requests_are_taken_and_the_headers_say_what_is_left(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        limits, left = Limits(redis, b"k"), []
        for _ in range(3):
            resp = Response()
            await limits.take(resp, Limit(3, 60), "client", "192.0.2.1")
            left.append(resp.get_header("RateLimit-Remaining"))
        assert left == ["2", "1", "0"]
        resp = Response()
        with pytest.raises(Refused) as caught:
            await limits.take(resp, Limit(3, 60), "client", "192.0.2.1")
        assert caught.value.status == 429
        assert 0 < int(caught.value.headers["Retry-After"]) <= 60
        await limits.take(resp, Limit(3, 60), "client", "192.0.2.2")
        await limits.take(resp, Limit(3, 60), "address", "192.0.2.1")

    with_redis(server.url, work)


@pytest.mark.cluster
def test_a_window_ends(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        limits = Limits(redis, b"k")
        await limits.take(Response(), Limit(1, 1), "client", "192.0.2.9")
        await asyncio.sleep(1.1)
        await limits.take(Response(), Limit(1, 1), "client", "192.0.2.9")

    with_redis(server.url, work)


@pytest.mark.cluster
def test_redis_does_not_learn_who_is_counted(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        await Limits(redis, b"k").take(Response(), Limit(9, 60), "address", "voter@example.org")
        assert not [key for key in await redis.keys("*") if b"voter" in key]

    with_redis(server.url, work)


def test_a_count_of_zero_is_no_limit() -> None:
    async def work(redis: Redis) -> None:
        await Limits(redis, b"k").take(Response(), Limit(0, 60), "client", "192.0.2.1")

    with_redis("redis://127.0.0.1:1/0", work)


def test_the_bucket_takes_a_second_s_worth_and_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("ballot.http.limits.monotonic", lambda: now[0])
    bucket = Bucket(2)
    bucket.take()
    bucket.take()
    with pytest.raises(Refused):
        bucket.take()
    now[0] += 0.5
    bucket.take()
    with pytest.raises(Refused):
        bucket.take()


def test_a_bucket_of_rate_zero_never_refuses() -> None:
    bucket = Bucket(0)
    for _ in range(1000):
        bucket.take()


# -- guesses at a password

LIMITS = {"guess-client": Limit(3, 60), "guess-account": Limit(5, 60), "guess-device": Limit(2, 60)}


async def guesses_left(guesses: Guesses, account: str, client: str, device: str = "") -> int:
    """How many wrong ones are taken from now on."""
    for count in range(100):
        try:
            await guesses.begin(account, client, device)
        except Refused as refused:
            assert refused.status == 429 and 0 < int(refused.headers["Retry-After"]) <= 60
            return count
    raise AssertionError("there is no limit")


@pytest.mark.cluster
def test_a_client_an_account_and_a_device_stand_so_many_wrong_passwords(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        guesses = Guesses(redis, b"k", LIMITS)
        assert await guesses_left(guesses, "ada", "one") == 3
        assert await guesses_left(guesses, "ada", "two") == 2, "all strangers together"
        assert await guesses_left(guesses, "ada", "three") == 0
        assert await guesses_left(guesses, "ada", "one", "laptop") == 2, "a device is no stranger"
        assert await guesses_left(guesses, "ada", "one", "phone") == 2
        assert await guesses_left(guesses, "bo", "one") == 3, "another account"

    with_redis(server.url, work)


@pytest.mark.cluster
def test_a_guess_too_many_is_told_which_limit_it_met(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        guesses = Guesses(redis, b"k", LIMITS)
        for client, limit in (("one", "3"), ("two", "5")):
            await guesses_left(guesses, "eve", client)
            with pytest.raises(Refused) as caught:
                await guesses.begin("eve", client)
            assert caught.value.headers["RateLimit-Limit"] == limit
            assert caught.value.headers["RateLimit-Remaining"] == "0"
            assert caught.value.headers["RateLimit-Reset"] == caught.value.headers["Retry-After"]

    with_redis(server.url, work)


@pytest.mark.cluster
def test_a_right_password_is_no_guess(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        guesses = Guesses(redis, b"k", LIMITS)
        for _ in range(20):
            await guesses.right(await guesses.begin("cy", "one"))
        assert await guesses_left(guesses, "cy", "one") == 3
        assert await guesses_left(guesses, "cy", "two") == 2

    with_redis(server.url, work)


@pytest.mark.cluster
def test_guesses_at_once_are_counted_before_they_are_judged(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        guesses = Guesses(redis, b"k", LIMITS)
        begun = await asyncio.gather(*(guesses.begin("di", "one") for _ in range(12)), return_exceptions=True)
        assert sum(isinstance(one, list) for one in begun) == 3

    with_redis(server.url, work)


@pytest.mark.cluster
def test_no_password_is_looked_at_without_redis() -> None:
    async def work(redis: Redis) -> None:
        with pytest.raises(RedisError):
            await Guesses(redis, b"k", LIMITS).begin("ada", "one")

    with_redis(f"redis://127.0.0.1:{free_port()}/0", work)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_a_client_is_an_address_or_what_one_holder_of_ipv6_has(address: str, network: str) -> None:
    assert network_of(address) == network
