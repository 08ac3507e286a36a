"""RSA keys that sign fast, so that a log of a million entries can be made in minutes. For benchmarks alone.

Their moduli have many small factors, which makes the private operation ten times as fast and the key worthless. Whoever
verifies sees an ordinary modulus and does ordinary work.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from functools import cached_property

import gmpy2

from ballot.ledger.rsa import PUBLIC_EXPONENT
from ballot.voting.blind import SALT_BYTES, _encode_pss

PRIME_BITS = 128


@dataclass(frozen=True)
class QuickKey:
    """A key of distinct `primes` (RFC 8017, section 3.2, has more than two)."""

    primes: tuple[int, ...]

    @cached_property
    def n(self) -> int:
        return math.prod(self.primes)

    @cached_property
    def modulus(self) -> bytes:
        return self.n.to_bytes(self.n.bit_length() // 8, "big")

    @cached_property
    def _parts(self) -> list[tuple[gmpy2.mpz, gmpy2.mpz, gmpy2.mpz]]:
        """(prime, private exponent, coefficient) of the Chinese remainder theorem."""
        n = gmpy2.mpz(self.n)
        return [(p, gmpy2.invert(PUBLIC_EXPONENT, p - 1), n // p * gmpy2.invert(n // p, p)) for p in self._factors]

    @cached_property
    def _factors(self) -> list[gmpy2.mpz]:
        return list(map(gmpy2.mpz, self.primes))

    def sign(self, message: bytes) -> bytes:
        """RSASSA-PSS as `ballot.ledger.rsa` verifies it."""
        encoded = _encode_pss(message, secrets.token_bytes(SALT_BYTES), self.n.bit_length() - 1)
        value = gmpy2.mpz(int.from_bytes(encoded, "big"))
        total = sum(coefficient * gmpy2.powmod(value, d, p) for p, d, coefficient in self._parts)
        return int(total % self.n).to_bytes(len(self.modulus), "big")


def make_quick_key(bits: int) -> QuickKey:
    """A fresh one; `bits` is a multiple of 128."""
    while True:
        primes = {_prime() for _ in range(bits // PRIME_BITS)}
        if math.prod(primes).bit_length() == bits:
            return QuickKey(tuple(sorted(primes)))


def _prime() -> int:
    while True:
        # The uppermost bits set: the product of all must not lose one.
        prime = int(gmpy2.next_prime(secrets.randbits(PRIME_BITS) | 0xFF << PRIME_BITS - 8))
        if prime.bit_length() == PRIME_BITS and math.gcd(prime - 1, PUBLIC_EXPONENT) == 1:
            return prime
