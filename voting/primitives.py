"""The parts of RFC 8017 that the blind signature and the envelope share.

`cryptography` takes neither a blinded message nor an OAEP seed, so the padding's mask and the public
operation are needed by themselves. GMP does the arithmetic: Python's own `pow` is some twenty times slower.
"""

from functools import lru_cache
from hashlib import new as new_hash

import gmpy2

from ..ledger.rsa import PUBLIC_EXPONENT


def public_operation(modulus: bytes, value: int) -> bytes:
    """value^65537 mod n, as long as the modulus (RSAEP and RSAVP1, RFC 8017 sections 5.1.1 and 5.2.2)."""
    return int(gmpy2.powmod(value, PUBLIC_EXPONENT, _number(modulus))).to_bytes(len(modulus), "big")


@lru_cache(maxsize=64)
def _number(modulus: bytes) -> gmpy2.mpz:
    return gmpy2.mpz(int.from_bytes(modulus, "big"))


def mgf1(hash_name: str, seed: bytes, length: int) -> bytes:
    """`length` bytes of mask from `seed` (RFC 8017, appendix B.2.1). `hash_name` is hashlib's."""
    seeded = new_hash(hash_name, seed)
    blocks = []
    for counter in range(-(-length // seeded.digest_size)):
        block = seeded.copy()
        block.update(counter.to_bytes(4, "big"))
        blocks.append(block.digest())
    return b"".join(blocks)[:length]


def xor(left: bytes, right: bytes) -> bytes:
    """Bytewise exclusive or of two strings of one length."""
    assert len(left) == len(right)
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
