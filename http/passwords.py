"""Passwords: what is taken for one, and bcrypt over a SHA-256 prehash, off the event loop, never many at once."""

from __future__ import annotations

import asyncio
import base64
import unicodedata
from functools import cache
from hashlib import sha256
from itertools import pairwise

import bcrypt
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from .problems import Refused

MIN_LENGTH, MAX_LENGTH = 8, 1024
AT_ONCE = 2

# What somebody in a hurry would take; a password is refused when too little is left without them.
OBVIOUS = ["password", "passwort", "ballot", "ledger", "election", "voting", "voter", "vote"]
MIN_REST = 4


def check_strength(password: str, address: str = "") -> None:
    """Raises Refused(WeakPassword): too short, among the common ones, one pattern that goes on, or little besides the
    address or our own name.

    Any characters will do, and none are asked for (NIST SP 800-63B, section 5.1.1.2).
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Refused("WeakPassword", f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    folded = password.casefold()
    if folded in _common():
        raise Refused("WeakPassword", "this is one of the passwords that are tried first")
    if _is_one_pattern(folded):
        raise Refused("WeakPassword", "this password repeats a few characters, or counts them up or down")
    if _is_little_more_than(folded, [*_parts(address), *OBVIOUS]):
        raise Refused("WeakPassword", "this password is little more than the address or the name of this service")


@cache
def _common() -> frozenset[str]:
    """Some 12,000 passwords, the most frequent of those that leaked elsewhere and are long enough."""
    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_LENGTH)


def _is_one_pattern(password: str) -> bool:
    """One to three characters over and over; or hardly one that is not the same as, or next to, the one before it."""
    if any(password[step:] == password[:-step] for step in range(1, MIN_REST)):
        return True
    jumps = sum(abs(ord(late) - ord(early)) > 1 for early, late in pairwise(password))
    return 1 + jumps < MIN_REST


def _parts(address: str) -> list[str]:
    """The address, what stands before its @ and the names in its domain, the longest first."""
    name, _, domain = address.casefold().partition("@")
    words = {address.casefold(), name, domain, *domain.split(".")}
    return sorted((word for word in words if len(word) >= MIN_REST), key=len, reverse=True)


def _is_little_more_than(password: str, words: list[str]) -> bool:
    rest = password
    for word in words:
        rest = rest.replace(word, "")
    return len(rest) < len(password) and len(rest.strip(" .-_@!?#0123456789")) < MIN_REST


def prehash(password: str) -> bytes:
    """44 bytes without zeros, because bcrypt takes 72 bytes and stops at a zero. One spelling a password (NFC)."""
    spelled = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return base64.b64encode(sha256(spelled).digest())


class Passwords:
    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._turn = asyncio.Semaphore(AT_ONCE)
        # Of the right form, and the hash of nothing: checking against it takes as long as against a real one.
        self._nobody = bcrypt.gensalt(cost) + b"." * 31

    async def hash(self, password: str) -> bytes:
        """A salted hash, to be stored."""
        async with self._turn:
            return await asyncio.to_thread(self._hash, prehash(password))

    def _hash(self, prehashed: bytes) -> bytes:
        return bcrypt.hashpw(prehashed, bcrypt.gensalt(self._cost))

    async def check(self, password: str, stored: bytes | None) -> bool:
        """Whether it is the password of `stored`; None, for an unknown account, takes the same time and is False."""
        async with self._turn:
            right = await asyncio.to_thread(bcrypt.checkpw, prehash(password), stored or self._nobody)
        return right and stored is not None
