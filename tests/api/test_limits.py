"""Limits: windows that Redis counts, and the bucket for casts."""

import asyncio
from collections.abc import Iterator

import pytest
from falcon.asgi import Response
from redis.asyncio import Redis

from ballot.embedded import EmbeddedRedis
from ballot.http.limits import Bucket, Limit, Limits
from ballot.http.problems import Refused
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
