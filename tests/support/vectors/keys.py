"""RSA keys, sound and weak, and signatures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gmpy2

from ballot.ledger import rsa
from ballot.voting.keycheck import WeakKey, check_long_lived_key, check_one_use_key
from tests.support.attacks.voters import close_primes, roca_modulus
from tests.support.log_builder import key, modulus


def octets(n: int, bits: int) -> bytes:
    return int(n).to_bytes(bits // 8, "big")


def moduli() -> Iterator[tuple[str, int, bool, bytes]]:
    """(name, bits, whether it is to be long-lived, modulus)."""
    sound = modulus("ballot0")
    prime = int(gmpy2.next_prime(1 << 3071))
    yield "a ballot key", 2048, False, sound
    yield "a trustee's key", 3072, True, modulus("trustee")
    yield "a node's key", 3072, True, modulus("node1")
    yield "a ballot key as a trustee's", 3072, True, sound
    yield "a leading zero byte", 2048, False, b"\0" + sound[1:]
    yield "a byte too many", 2048, False, b"\0" + sound
    yield "top bit clear", 2048, False, bytes([sound[0] & 0x7F]) + sound[1:]
    yield "even", 2048, False, sound[:-1] + bytes([sound[-1] & 0xFE])
    for factor in (3, 9973):
        yield (
            f"a multiple of {factor}",
            2048,
            False,
            octets(factor * int(gmpy2.next_prime((1 << 2047) // factor)), 2048),
        )
    yield (
        "no factor below 10,000, but one above",
        2048,
        False,
        octets(10_007 * int(gmpy2.next_prime((1 << 2047) // 10_007)), 2048),
    )
    yield "ROCA", 3072, True, roca_modulus()
    yield "ROCA, used once", 3072, False, roca_modulus()
    yield "prime", 3072, True, octets(prime, 3072)
    yield "prime, used once", 3072, False, octets(prime, 3072)
    yield "a square", 3072, True, octets(int(gmpy2.next_prime(gmpy2.isqrt(gmpy2.mpz(3) << 3070))) ** 2, 3072)
    yield "a cube", 3072, True, octets(int(gmpy2.next_prime(gmpy2.iroot(gmpy2.mpz(3) << 3070, 3)[0])) ** 3, 3072)
    yield "neighbouring primes", 3072, True, close_primes()
    yield "neighbouring primes, used once", 3072, False, close_primes()


def weak_and_sound() -> dict[str, Any]:
    cases = []
    for name, bits, long_lived, n in moduli():
        flaw = ""
        try:
            (check_long_lived_key if long_lived else check_one_use_key)(n, bits)
        except WeakKey as error:
            flaw = str(error)
        cases.append({"name": name, "bits": bits, "long_lived": long_lived, "modulus": n.hex(), "valid": not flaw})
    return {
        "about": "whether `modulus` passes the checks of a key of `bits`, used once or `long_lived`",
        "cases": cases,
    }


def signatures() -> dict[str, Any]:
    message = b"a message"
    cases = []
    for name in ("ballot0", "trustee"):
        n, good = modulus(name), rsa.sign(key(name), message)
        for what, m, signature, valid in (
            ("good", message, good, True),
            ("another message", b"A message", good, False),
            ("a bit flipped", message, good[:-1] + bytes([good[-1] ^ 1]), False),
            ("a byte less", message, good[1:], False),
            ("plus the modulus", message, b"\0" + good, False),
            ("a salt of 32 bytes", message, short_salt(name, message), False),
        ):
            cases.append(
                {"name": what, "modulus": n.hex(), "message": m.hex(), "signature": signature.hex(), "valid": valid}
            )
    return {"about": "RSASSA-PSS with SHA-384, MGF1-SHA-384, a salt of 48 bytes, exponent 65537", "cases": cases}


def short_salt(name: str, message: bytes) -> bytes:
    """A good signature, but for the length of its salt."""
    from ballot.voting.blind import _encode_pss

    numbers = key(name).private_numbers()
    encoded = _encode_pss(message, bytes(32), key(name).key_size - 1)
    value = gmpy2.powmod(int.from_bytes(encoded, "big"), numbers.d, numbers.public_numbers.n)
    return octets(int(value), key(name).key_size)
