"""What a modulus sent by a client must withstand before it is accepted.

Nobody can prove from outside that an RSA key is good, but the ways in which real keys have been bad are
known: tiny factors, primes of a faulty chip (ROCA), one prime instead of two, a power, primes next to each
other. A key that fails may be factored by anybody, who could then act as its holder.
"""

import gmpy2

_SMALL_PRIME_LIMIT = 10_000
_SMALL_PRIMES = gmpy2.primorial(_SMALL_PRIME_LIMIT)
_FERMAT_ROUNDS = 100

# The odd primes that divide the constant of every key size that the faulty library makes.
_ROCA_PRIMES = tuple(p for p in range(3, 168) if gmpy2.is_prime(p))
_ROCA_PRODUCT = gmpy2.primorial(167) // 2


class WeakKey(ValueError):
    """The modulus is refused; the first argument says which check it failed."""


def check_at_a_glance(modulus: bytes, bits: int) -> None:
    """What of the checks below can be seen in two microseconds, for an audit of millions of keys. Raises WeakKey."""
    residue = _odd_number(modulus, bits) % _ROCA_PRODUCT
    if gmpy2.gcd(residue, _ROCA_PRODUCT) != 1:
        raise WeakKey("a prime factor below 168")
    if _has_roca_fingerprint(int(residue)):
        raise WeakKey("ROCA fingerprint")


def check_one_use_key(modulus: bytes, bits: int = 2048) -> None:
    """The checks for a ballot key, which signs once and is checked in a dozen microseconds. Raises WeakKey."""
    n = _odd_number(modulus, bits)
    if gmpy2.gcd(n, _SMALL_PRIMES) != 1:
        raise WeakKey(f"a prime factor below {_SMALL_PRIME_LIMIT}")
    if _has_roca_fingerprint(int(n % _ROCA_PRODUCT)):
        raise WeakKey("ROCA fingerprint")


def check_long_lived_key(modulus: bytes, bits: int = 3072) -> None:
    """The checks for identity, trustee and node keys: those above and the costlier ones. Raises WeakKey."""
    check_one_use_key(modulus, bits)
    n = gmpy2.mpz(int.from_bytes(modulus, "big"))
    if gmpy2.is_prime(n):
        raise WeakKey("prime")
    if gmpy2.is_power(n):
        raise WeakKey("perfect power")
    if _primes_are_close(n):
        raise WeakKey("primes too close")


def _odd_number(modulus: bytes, bits: int) -> gmpy2.mpz:
    if len(modulus) * 8 != bits:
        raise WeakKey(f"not {bits} bits")
    if not modulus[0] & 0x80:
        raise WeakKey("top bit clear")
    if not modulus[-1] & 1:
        raise WeakKey("even")
    return gmpy2.mpz(int.from_bytes(modulus, "big"))


def _powers_of_65537(p: int) -> frozenset[int]:
    """The subgroup of the integers modulo p that 65537 generates."""
    members, power = set(), 1
    while power not in members:
        members.add(power)
        power = power * 65537 % p
    return frozenset(members)


_ROCA_SUBGROUPS = tuple((p, _powers_of_65537(p)) for p in _ROCA_PRIMES)


def _has_roca_fingerprint(residue: int) -> bool:
    """Nemec et al., The Return of Coppersmith's Attack, CCS 2017.

    The faulty primes are k·M + (65537^a mod M) with M the product of the first primes, so their product is a
    power of 65537 modulo every prime in M. A sound modulus passes for one by chance once in 2^27. `residue` is
    the modulus' own modulo those primes.
    """
    return all(residue % p in subgroup for p, subgroup in _ROCA_SUBGROUPS)


def _primes_are_close(n: gmpy2.mpz) -> bool:
    """Fermat's factoring: n = a² - b² is found within a few steps from √n when both primes are near it."""
    a = gmpy2.isqrt(n) + 1
    return any(gmpy2.is_square((a + step) ** 2 - n) for step in range(_FERMAT_ROUNDS))
