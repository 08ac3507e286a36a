"""What a trustee signs, how many are needed, and when the key that a trustee released is one that opens ballots.

The worker asks before a release is recorded; every node before it counts, and every auditor, ask again of what is in
the log: a key that fails counts as withheld, alike for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import gmpy2

from ..ledger.frame import frame, u64
from ..ledger.rsa import PUBLIC_EXPONENT
from . import document

PRIME_BYTES = 192

Factors = tuple[bytes, bytes]
"""p and q, big-endian, p the larger."""


def enrolment_message(election: bytes, name: str, n: bytes) -> bytes:
    """F(trustee-key, election, name, n): its signature proves that whoever enrols `n` holds the private key."""
    return frame("trustee-key", election, name.encode(), n)


def release_message(eid: bytes, size: int, root: bytes) -> bytes:
    """F(release, eid, size, root): the tree in which the trustee saw the whole board."""
    return frame("release", eid, u64(size), root)


def threshold(asked: int, trustees: int) -> int:
    """How many of so many trustees open the ballots: as many as were asked for, and for 0 more than half of them.

    The cluster alone counts as one.
    """
    return asked or max(trustees, 1) // 2 + 1


def asked_threshold(draft: bytes) -> int:
    """The `k` of a draft's document; 0 if it has none, or is no document."""
    try:
        value = document.decode(draft)
    except document.DocumentError:
        return 0
    k = value.get("k") if isinstance(value, dict) else None
    return k if type(k) is int and k > 0 else 0


def product(p: bytes, q: bytes) -> bytes:
    """p·q, big-endian, as long as both together: for the factors of a trustee's modulus that very modulus."""
    value = gmpy2.mpz(int.from_bytes(p, "big")) * int.from_bytes(q, "big")
    return int(value).to_bytes(len(p) + len(q), "big")


@lru_cache(maxsize=1024)
def key_problem(n: bytes, p: bytes, q: bytes) -> str:
    """Why these are not the factors of the private key for modulus `n`; empty when they are."""
    larger, smaller = gmpy2.mpz(int.from_bytes(p, "big")), gmpy2.mpz(int.from_bytes(q, "big"))
    if larger * smaller != int.from_bytes(n, "big"):
        return "p and q are not the factors of the modulus"
    if not (gmpy2.is_prime(larger) and gmpy2.is_prime(smaller)):
        return "a factor is not prime"
    if larger <= smaller:
        return "p is not the larger factor"
    if gmpy2.gcd(PUBLIC_EXPONENT, (larger - 1) * (smaller - 1)) != 1:
        return "65537 has no inverse"
    return ""


def usable(released: Iterable[tuple[int, bytes, bytes, bytes]]) -> dict[int, Factors]:
    """The keys that open ballots, by trustee number, of (number, n, p, q)."""
    return {number: (p, q) for number, n, p, q in released if not key_problem(n, p, q)}
