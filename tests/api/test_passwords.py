"""Passwords: whole, salted, and as slow for nobody as for somebody."""

import asyncio
from time import process_time

import pytest

from ballot.http.deps import Settings
from ballot.http.passwords import Passwords, _common, check_strength, prehash
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
    """In time of the processor, and the least of several: others on this machine must not be what is measured."""

    async def cost(passwords: Passwords, stored: bytes | None) -> float:
        began = process_time()
        assert not await passwords.check("wrong password", stored)
        return process_time() - began

    async def run() -> tuple[float, float]:
        passwords = Passwords(9)
        stored = await passwords.hash(PASSWORD)
        pairs = [(await cost(passwords, stored), await cost(passwords, None)) for _ in range(5)]
        return min(known for known, _ in pairs), min(unknown for _, unknown in pairs)

    known, unknown = asyncio.run(run())
    assert 0.2 < unknown / known < 5


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025])
def test_a_password_of_the_wrong_length_is_refused(password: str) -> None:
    with pytest.raises(Refused, match="characters"):
        check_strength(password)


WEAK = {
    "common": "password1",
    "common in capitals": "PassWord1",
    "common, a row of keys": "1qaz2wsx",
    "one character": "aaaaaaaa",
    "one character, in two sizes": "aAaAaAaAaAaA",
    "two in turn": "kqkqkqkqkqkq",
    "three in turn, broken off": "x7!x7!x7!x",
    "counting up": "abcdefghij",
    "counting down": "zyxwvuts",
    "counting twice": "abcdef234567",
    "pairs that count": "hhiijjkkllmm",
    "the address": "ada.lovelace@example.org",
    "the name and a year": "Ada.Lovelace1815",
    "our own name": "BallotLedger!",
    "what it is for": "election-2026",
}
FINE = [
    "correct horse",
    "a7%kQz!8",
    "p\u00e4ssw\u00f6rter und mehr",
    "\U0001f40e\U0001f50b\U0001f4ce\u2702" * 2,
    "\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b",
    "abcdefgh k7Q",
    "banana split",
    "y" * 500 + "correct horse",
]


@pytest.mark.parametrize("password", WEAK.values(), ids=WEAK.keys())
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(Refused) as caught:
        check_strength(password, "ada.lovelace@example.org")
    assert caught.value.refusal == "WeakPassword"
    assert password not in str(caught.value.detail)


@pytest.mark.parametrize("password", FINE, ids=len)
def test_any_other_password_is_taken_whatever_it_is_made_of(password: str) -> None:
    check_strength(password, "ada.lovelace@example.org")


def test_thousands_of_common_passwords_are_known() -> None:
    """At least the 3,000 most frequent that are long enough."""
    assert len(_common()) > 3000
    assert all(len(word) >= 8 and word == word.casefold() for word in _common())


def test_the_cost_of_a_hash_is_what_the_settings_say_and_twelve_unless_told() -> None:
    hashed = asyncio.run(Passwords(QUICK).hash(PASSWORD))
    assert hashed.startswith(b"$2b$%02d$" % QUICK)
    assert Settings(node=1, issuer="ballot.test").bcrypt_cost == 12
