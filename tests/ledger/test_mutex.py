"""The lock keeps two apart where it can, and never stops anybody where it cannot."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from time import monotonic

import pytest
from redis.asyncio import Redis

from ballot.embedded import EmbeddedRedis
from ballot.http.deps import REDIS_TIMEOUT_S
from ballot.ledger.mutex import LockHeld, Mutex
from ballot.ports import free_port
from tests.support.services import running_redis, with_redis

pytestmark = pytest.mark.cluster

HOLD_S = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    yield from running_redis()


def test_two_blocks_of_one_name_run_one_after_the_other(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        inside, most = 0, 0

        async def block(mutex: Mutex) -> None:
            nonlocal inside, most
            async with mutex.hold("one"):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.03)
                inside -= 1
            await mutex.close()

        await asyncio.gather(*(block(Mutex(redis, wait_s=60)) for _ in range(5)))
        assert most == 1

    with_redis(server.url, work)


def test_blocks_of_different_names_do_not_wait(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        mutex = Mutex(redis, wait_s=0.2)
        async with mutex.hold("one"), mutex.hold("two"):
            pass
        await mutex.close()

    with_redis(server.url, work)


def test_a_lock_held_by_another_is_refused_by_name_after_a_while(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        mutex = Mutex(redis, wait_s=0.3, hold_s=HOLD_S)
        async with mutex.hold("one"):
            began = monotonic()
            with pytest.raises(LockHeld):
                async with mutex.hold("one"):
                    pass
            assert 0.15 < monotonic() - began < HOLD_S, "it does not wait until the other's time is over"
        async with mutex.hold("one"):
            pass
        await mutex.close()

    with_redis(server.url, work)


def test_an_error_in_the_block_comes_out_and_the_lock_is_free_again(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        mutex = Mutex(redis, wait_s=0.2)
        with pytest.raises(ZeroDivisionError):
            async with mutex.hold("one"):
                raise ZeroDivisionError
        async with mutex.hold("one"):
            pass
        await mutex.close()

    with_redis(server.url, work)


def test_a_lock_that_runs_out_is_logged_and_no_error(server: EmbeddedRedis, caplog: pytest.LogCaptureFixture) -> None:
    async def work(redis: Redis) -> None:
        mutex = Mutex(redis, hold_s=0.1)
        async with mutex.hold("one"):
            await asyncio.sleep(0.2)
            other = Mutex(redis, wait_s=0.1)
            async with other.hold("one"):
                pass
            await other.close()
        await mutex.close()

    with_redis(server.url, work)
    assert "lock lost before its block ended" in caplog.text


def test_without_redis_the_block_goes_on_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def work(redis: Redis) -> None:
        ran = 0
        mutex = Mutex(redis)
        for _ in range(100):
            async with mutex.hold("one"):
                ran += 1
        assert ran == 100
        assert mutex.state() == {"enabled": True, "failing": True}

    with_redis(f"redis://127.0.0.1:{free_port()}/0", work)
    assert len([line for line in caplog.messages if line == "lock not taken"]) == 1


def test_a_redis_that_hangs_costs_few_short_waits_and_is_found_again() -> None:
    """Not one for every vote, which fifty of them would take fifteen seconds for."""

    async def work(server: EmbeddedRedis, redis: Redis) -> None:
        mutex = Mutex(redis, rest_s=0.5)
        await finds_redis(mutex)
        os.kill(server.pid, signal.SIGSTOP)
        began = monotonic()
        try:
            for number in range(50):
                async with mutex.hold(f"vote {number}"):
                    pass
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert 0.1 < monotonic() - began < 50 * REDIS_TIMEOUT_S / 2
        assert mutex.state()["failing"]
        await finds_redis(mutex)

    async def finds_redis(mutex: Mutex) -> None:
        async with asyncio.timeout(60):
            async with mutex.hold("one"):
                pass
            while mutex.state()["failing"]:
                await asyncio.sleep(0.1)
                async with mutex.hold("one"):
                    pass
        await mutex.close()

    for server in running_redis():
        with_redis(server.url, partial(work, server), REDIS_TIMEOUT_S)


def test_switched_off_it_asks_nobody(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        mutex = Mutex(redis, enabled=False)
        async with mutex.hold("one"), mutex.hold("one"):
            assert await redis.keys("lock:*") == []

    with_redis(server.url, work)


def test_locks_are_told_by_kind_and_node_and_never_by_name(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        first, second = Mutex(redis, node=1), Mutex(redis, node=2)
        async with first.hold("cast:election:ballot"), second.hold("credential:election:voter"):
            held = sorted(await first.held(10))
            assert [(kind, node) for kind, node, _ in held] == [("cast", 1), ("credential", 2)]
            assert all(0 < left <= 15_000 for _, _, left in held)
            assert len(await first.held(1)) == 1
        await first.close()
        await second.close()
        assert await first.held(10) == []

    with_redis(server.url, work)


def test_locks_asked_for_at_once_share_round_trips(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        mutex = Mutex(redis)
        async with mutex.hold("warm"):
            pass
        await mutex.close()
        before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]

        all_inside = asyncio.Barrier(50)

        async def block(number: int) -> None:
            async with mutex.hold(f"vote {number}"):
                await all_inside.wait()

        await asyncio.gather(*map(block, range(50)))
        await mutex.close()
        assert await redis.keys("lock:*") == []
        calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
        assert calls < 50, "two round trips a vote would be a hundred"

    with_redis(server.url, work)
