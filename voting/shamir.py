"""Shamir's secret sharing over GF(2^8), each byte of the secret for itself (Shamir, CACM 22(11), 1979).

The field is that of AES: polynomials modulo x^8 + x^4 + x^3 + x + 1 (0x11b). Share i is the value at i of the
polynomial whose constant term is the secret, for i from 1 to at most 255.
"""

from collections.abc import Mapping
from functools import lru_cache

from .primitives import xor

_FIELD_POLYNOMIAL = 0x11B


def share(secret: bytes, coefficients: bytes, n: int) -> list[bytes]:
    """The `n` shares, each as long as the secret; share i is at position i - 1.

    `coefficients` are c_1 ‖ … ‖ c_(k-1), each as long as the secret, so their length decides k: none at all
    gives every holder the secret itself. Raises ValueError unless 1 <= k <= n <= 255.
    """
    size = len(secret)
    if not size or len(coefficients) % size:
        raise ValueError("the coefficients are not a whole number of secrets long")
    if not len(coefficients) // size < n <= 255:
        raise ValueError(f"{n} shares for a threshold of {len(coefficients) // size + 1}")
    polynomial = [coefficients[at : at + size] for at in range(0, len(coefficients), size)]
    return [_evaluate([secret, *polynomial], x) for x in range(1, n + 1)]


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The secret from shares keyed by their index, which must be exactly k of them.

    Nothing here can tell a wrong share: the answer is then another secret. Raises ValueError when there is no
    share, an index is not in 1..255, or the lengths differ.
    """
    if not shares or not all(1 <= index <= 255 for index in shares):
        raise ValueError("shares are numbered from 1 to 255, and at least one is needed")
    if len({len(value) for value in shares.values()}) != 1:
        raise ValueError("shares of different lengths")
    secret = bytes(len(next(iter(shares.values()))))
    for index, value in shares.items():
        secret = xor(secret, _times(_weight_at_zero(index, shares), value))
    return secret


def _evaluate(polynomial: list[bytes], x: int) -> bytes:
    """Horner's rule, constant term first in the list."""
    value = polynomial[-1]
    for coefficient in reversed(polynomial[:-1]):
        value = xor(_times(x, value), coefficient)
    return value


def _weight_at_zero(index: int, indexes: Mapping[int, bytes]) -> int:
    """Lagrange's coefficient at 0: the product of j / (j - i) over the others; minus is exclusive or."""
    logarithm = sum(_LOG[j] - _LOG[j ^ index] for j in indexes if j != index)
    return _EXP[logarithm % 255]


def _times(factor: int, values: bytes) -> bytes:
    return values.translate(_multiples(factor))


@lru_cache(maxsize=256)
def _multiples(factor: int) -> bytes:
    """The row of the multiplication table for a factor in 1..255, as a table for `bytes.translate`."""
    return bytes([0, *(_EXP[(_LOG[factor] + _LOG[value]) % 255] for value in range(1, 256))])


def _powers_of_three() -> tuple[int, ...]:
    """3^0 to 3^254: 3 generates every element but 0."""
    powers, power = [], 1
    for _ in range(255):
        powers.append(power)
        double = power << 1
        power ^= double ^ (_FIELD_POLYNOMIAL if double & 0x100 else 0)
    return tuple(powers)


_EXP = _powers_of_three()
_LOG = {power: exponent for exponent, power in enumerate(_EXP)}
