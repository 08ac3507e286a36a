"""One-time codes: few tries, one use, one purpose, nothing readable in Redis, and nobody locked out."""

import asyncio
import re
from collections.abc import Collection, Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ballot.embedded import EmbeddedRedis
from ballot.http.codes import ENTER, RESET, SENDS, TRIES, Codes, Pending, Use
from ballot.http.limits import Limit
from ballot.http.problems import Refused
from ballot.ledger.vault import Vault
from ballot.ports import free_port
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


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; without it a test could begin in one ten minutes and end in the next."""
    now = [1_000_000_000.0]
    monkeypatch.setattr("ballot.http.codes.time", lambda: now[0])
    return now


def codes_on(redis: Redis, *, lifetime_s: int = 60, wrong: int = 20) -> Codes:
    return Codes(redis, b"k" * 32, Vault(bytes(32)), lifetime_s, Limit(wrong, 3600))


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


async def outcome(codes: Codes, challenge: bytes, code: str, uses: Collection[Use] = ENTER) -> str:
    try:
        return (await codes.check(uses, challenge, code)).pending.what
    except Refused as refused:
        return refused.refusal


def test_the_right_code_confirms_once(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code, mail = await codes.open("login", PENDING)
        assert re.fullmatch("[0-9]{6}", code) and mail
        assert (await codes.check(ENTER, challenge, code)).pending == PENDING
        assert await outcome(codes, challenge, code) == "CodeExpired"

    with_redis(server.url, work)


def test_codes_differ(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        made = {(await codes.open("login", Pending("login", "a", bytes([n]) * 32))).code for n in range(50)}
        assert len(made) > 45

    with_redis(server.url, work)


def test_a_challenge_stands_five_wrong_codes(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code, _ = await codes.open("login", PENDING)
        for _ in range(TRIES):
            assert await outcome(codes, challenge, other_than(code)) == "WrongCode"
        assert await outcome(codes, challenge, code) == "CodeExpired"

    with_redis(server.url, work)


def test_guesses_at_once_get_no_more_tries(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code, _ = await codes.open("login", PENDING)
        guesses = [other_than(code)] * 12
        said = await asyncio.gather(*(outcome(codes, challenge, guess) for guess in guesses))
        assert said.count("WrongCode") == TRIES
        assert await outcome(codes, challenge, code) == "CodeExpired"

    with_redis(server.url, work)


def test_a_code_sent_again_is_the_same_and_sent_only_so_often(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code, _ = await codes.open("login", PENDING)
        for _ in range(SENDS - 1):
            pending, again, left_s = await codes.renew(challenge)
            assert (pending, again) == (PENDING, code) and 0 < left_s <= 60
        with pytest.raises(Refused, match="try again in"):
            await codes.renew(challenge)
        assert await outcome(codes, challenge, code) == "login"

    with_redis(server.url, work)


def test_a_code_to_log_in_resets_no_password(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code, _ = await codes.open("login", PENDING)
        assert await outcome(codes, challenge, code, RESET) == "WrongCode"
        assert await outcome(codes, challenge, code) == "login"

    with_redis(server.url, work)


def test_a_code_ends_by_itself(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis, lifetime_s=1)
        challenge, code, _ = await codes.open("login", PENDING)
        await asyncio.sleep(1.1)
        assert await outcome(codes, challenge, code) == "CodeExpired"
        with pytest.raises(Refused):
            await codes.renew(challenge)

    with_redis(server.url, work)


# -- what a stranger can do to a voter


def test_a_stranger_who_opens_challenges_neither_floods_a_mailbox_nor_spoils_the_code_in_it(
    server: EmbeddedRedis,
) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        strangers = [await codes.open("register", PENDING) for _ in range(50)]
        assert sum(opened.mail for opened in strangers) == SENDS
        voter = await codes.open("register", PENDING)
        # Not mailed again, but it is the very code that lies in the mailbox.
        assert voter.code == strangers[0].code
        assert await outcome(codes, voter.challenge, voter.code) == "login"
        # One use, for everybody.
        assert await outcome(codes, strangers[0].challenge, voter.code) == "CodeExpired"

    with_redis(server.url, work)


def test_a_voter_in_the_next_ten_minutes_is_mailed_again(server: EmbeddedRedis, noon: list[float]) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        strangers = [await codes.open("register", PENDING) for _ in range(50)]
        noon[0] += 60
        voter = await codes.open("register", PENDING)
        assert voter.mail and voter.code != strangers[0].code
        assert await outcome(codes, voter.challenge, voter.code) == "login"

    with_redis(server.url, work)


def test_wrong_codes_lock_nobody_out_but_make_the_codes_longer(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis, wrong=3)
        for _ in range(2):
            opened = await codes.open("register", PENDING)
            for _ in range(TRIES):
                await outcome(codes, opened.challenge, other_than(opened.code))
        voter = await codes.open("register", PENDING)
        assert re.fullmatch("[0-9]{12}", voter.code) and voter.mail
        assert await outcome(codes, voter.challenge, voter.code) == "login"
        # Whoever reads the mailbox has shown to be no stranger: back to six.
        assert len((await codes.open("register", PENDING)).code) == 6

    with_redis(server.url, work)


def test_a_short_code_is_worth_nothing_once_too_many_were_wrong(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis, wrong=3)
        short = await codes.open("login", PENDING)
        stranger = await codes.open("login", PENDING)
        for _ in range(3):
            await outcome(codes, stranger.challenge, other_than(stranger.code))
        assert await outcome(codes, short.challenge, short.code) == "CodeExpired"

    with_redis(server.url, work)


def test_wrong_codes_of_one_purpose_or_address_are_nothing_to_another(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis, wrong=1)
        opened = await codes.open("register", PENDING)
        await outcome(codes, opened.challenge, other_than(opened.code))
        assert len((await codes.open("register", PENDING)).code) == 12
        assert len((await codes.open("login", PENDING)).code) == 6
        assert len((await codes.open("register", Pending("login", "other", b"o" * 32))).code) == 6

    with_redis(server.url, work)


# --


def test_a_code_given_back_is_good_again(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code, _ = await codes.open("login", PENDING)
        taken = await codes.check(ENTER, challenge, code)
        await codes.restore(taken)
        assert await outcome(codes, challenge, code) == "login"

    with_redis(server.url, work)


def test_redis_holds_neither_the_code_nor_the_address(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        _, code, _ = await codes_on(redis).open("login", PENDING)
        kept = [(key, await redis.hgetall(key)) for key in await redis.keys("*")]
        assert len(kept) == 2
        assert "voter" not in repr(kept) and PENDING.user.decode() not in repr(kept)
        assert code not in repr(kept)

    with_redis(server.url, work)


def test_everything_in_redis_ends_by_itself(server: EmbeddedRedis) -> None:
    async def work(redis: Redis) -> None:
        codes = codes_on(redis)
        challenge, code, _ = await codes.open("login", PENDING)
        await outcome(codes, challenge, other_than(code))
        keys = await redis.keys("*")
        assert len(keys) == 3
        assert all([await redis.pttl(key) > 0 for key in keys])

    with_redis(server.url, work)


def test_without_redis_no_code_is_taken() -> None:
    async def work(redis: Redis) -> None:
        with pytest.raises(RedisError):
            await codes_on(redis).check(ENTER, bytes(16), "123456")

    with_redis(f"redis://127.0.0.1:{free_port()}/0", work)
