"""Passwords: whole, salted, and as slow for nobody as for somebody."""

import asyncio
from time import perf_counter

import pytest

from ballot.http.passwords import Passwords, check_strength, prehash
from ballot.http.problems import Refused

PASSWORD = "correct horse"  # noqa: S105
QUICK = 4


def test_a_password_checks_against_its_own_hash_only() -> None:
    async def run() -> list[bool]:
        passwords = Passwords(QUICK)
        stored = await passwords.hash(PASSWORD)
        return [await passwords.check(guess, stored) for guess in (PASSWORD, "correct horsf", "")]

    assert asyncio.run(run()) == [True, False, False]


def test_the_same_password_is_hashed_differently_each_time() -> None:
    async def run() -> set[bytes]:
        passwords = Passwords(QUICK)
        return {await passwords.hash(PASSWORD) for _ in range(3)}

    assert len(asyncio.run(run())) == 3


def test_what_comes_after_72_bytes_counts_too() -> None:
    async def run() -> bool:
        passwords = Passwords(QUICK)
        return await passwords.check("x" * 100 + "b", await passwords.hash("x" * 100 + "a"))

    assert not asyncio.run(run())


def test_a_zero_byte_does_not_end_a_password() -> None:
    assert prehash("a\0b") != prehash("a\0c")
    assert b"\0" not in prehash("a\0b")


def test_two_spellings_of_the_same_letters_are_one_password() -> None:
    assert prehash("caf\u00e9") == prehash("cafe\u0301")


def test_nobody_has_no_password_and_it_takes_as_long_to_say_so() -> None:
    async def run() -> tuple[list[bool], float, float]:
        passwords = Passwords(9)
        stored = await passwords.hash(PASSWORD)
        began = perf_counter()
        known = await passwords.check("wrong password", stored)
        between = perf_counter()
        unknown = await passwords.check("wrong password", None)
        return [known, unknown], between - began, perf_counter() - between

    answers, known, unknown = asyncio.run(run())
    assert answers == [False, False]
    assert 0.2 < unknown / known < 5


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025])
def test_a_password_of_the_wrong_length_is_refused(password: str) -> None:
    with pytest.raises(Refused, match="characters"):
        check_strength(password)


def test_a_passphrase_is_taken() -> None:
    check_strength("eight888")
    check_strength("x" * 1024)
