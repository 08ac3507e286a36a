"""Passwords: bcrypt over a SHA-256 prehash, off the event loop, never many at once."""

from __future__ import annotations

import asyncio
import base64
import unicodedata
from hashlib import sha256

import bcrypt

from .problems import Refused

MIN_LENGTH, MAX_LENGTH = 8, 1024
AT_ONCE = 2


def check_strength(password: str) -> None:
    """Raises Refused(WeakPassword). Length is all that is asked for (NIST SP 800-63B, section 5.1.1.2)."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Refused("WeakPassword", f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")


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
