"""Many rightly signed ballots for an open election, faster than voters make them.

The bench holds the registrar's key, so credentials are signed outright; and the ballot keys share primes, so that a
thousand keys cost a few dozen. To whoever takes the ballots they are like any other.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations, islice
from math import isqrt

from cryptography.hazmat.primitives.asymmetric import rsa as keys
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.ledger.frame import frame
from ballot.voting.ballot import cast_frame, credential_message
from ballot.voting.blind import prepare
from ballot.voting.envelope import Context, ballot_id, seal

BITS = 2048
CHOICE = b'{"answers":[[0]]}'


@dataclass(frozen=True)
class Booth:
    """What a ballot of one election is made with."""

    eid: bytes
    registrar: bytes
    trustees: tuple[bytes, ...]
    k: int
    pad_len: int


def make_ballots(booth: Booth, count: int) -> list[bytes]:
    """So many different ballots, made by all cores."""
    primes = _primes(isqrt(2 * count) + 3)
    pairs = list(islice(combinations(primes, 2), count))
    with ProcessPoolExecutor(initializer=_start, initargs=(booth,)) as pool:
        return list(pool.map(_ballot, pairs, chunksize=50))


def _primes(count: int) -> list[int]:
    """Primes of half a ballot key's length, every product of two of which has the full length."""
    with ProcessPoolExecutor() as pool:
        found = [prime for pair in pool.map(_two_primes, range((count + 1) // 2)) for prime in pair]
    return found[:count]


def _two_primes(_: int) -> tuple[int, int]:
    numbers = keys.generate_private_key(65537, BITS).private_numbers()
    return numbers.p, numbers.q


_booth: Booth
_registrar: RSAPrivateKey


def _start(booth: Booth) -> None:
    global _booth, _registrar
    _booth, _registrar = booth, rsa.load_private(booth.registrar)


def _ballot(primes: tuple[int, int]) -> bytes:
    key = _key(*primes)
    bpk = rsa.modulus(key)
    prepared = prepare(credential_message(_booth.eid, bpk))
    context = Context(_booth.eid, ballot_id(bpk), _booth.k, _booth.trustees, _booth.pad_len)
    credential = rsa.sign(_registrar, prepared)
    cast = cast_frame(_booth.eid, bpk, prepared[:32], credential, seal(context, CHOICE))
    return frame("ballot", cast, rsa.sign(key, cast))


def _key(p: int, q: int) -> RSAPrivateKey:
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = keys.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), keys.RSAPublicNumbers(65537, p * q)
    )
    # Made of known primes: checking each would cost more than all the rest.
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)
