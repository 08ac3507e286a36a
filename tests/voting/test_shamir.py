from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.voting.shamir import combine, share

SIZE = 4


def slow_times(left: int, right: int) -> int:
    """Multiplication in GF(2^8) by shifting and adding, to test the tables against."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left <<= 1
        if left & 0x100:
            left ^= 0x11B
        right >>= 1
    return product


def slow_share(secret: bytes, coefficients: bytes, x: int) -> bytes:
    size = len(secret)
    value, power = bytearray(secret), 1
    for start in range(0, len(coefficients), size):
        power = slow_times(power, x)
        for at in range(size):
            value[at] ^= slow_times(coefficients[start + at], power)
    return bytes(value)


@st.composite
def sharings(draw: st.DrawFn) -> tuple[bytes, bytes, int, int]:
    """A secret, coefficients, k and n."""
    n = draw(st.one_of(st.integers(1, 7), st.just(255)))
    k = draw(st.integers(1, min(n, 7)))
    secret = draw(st.binary(min_size=SIZE, max_size=SIZE))
    return secret, draw(st.binary(min_size=SIZE * (k - 1), max_size=SIZE * (k - 1))), k, n


def test_the_product_that_the_standard_of_aes_works_out() -> None:
    assert slow_times(0x57, 0x83) == 0xC1  # FIPS 197, section 4.2
    assert share(b"\x00", b"\x57", 0x83)[-1] == b"\xc1"


def test_every_product_is_the_slow_one() -> None:
    for factor in range(256):
        products = share(b"\x00", bytes([factor]), 255)
        assert products == [bytes([slow_times(factor, x)]) for x in range(1, 256)]


@given(sharings())
def test_every_share_is_the_slow_one(sharing: tuple[bytes, bytes, int, int]) -> None:
    secret, coefficients, _, n = sharing
    assert share(secret, coefficients, n) == [slow_share(secret, coefficients, x) for x in range(1, n + 1)]


@given(sharings(), st.randoms(use_true_random=False))
def test_any_k_shares_give_the_secret(sharing: tuple[bytes, bytes, int, int], random: Random) -> None:
    secret, coefficients, k, n = sharing
    shares = share(secret, coefficients, n)
    indexes = random.sample(range(1, n + 1), k)
    assert combine({index: shares[index - 1] for index in indexes}) == secret


def test_every_subset_of_the_smaller_schemes_gives_the_secret() -> None:
    secret = bytes(range(32))
    for n in range(1, 6):
        for k in range(1, n + 1):
            shares = share(secret, bytes((7 * at + k) % 256 for at in range(32 * (k - 1))), n)
            for indexes in combinations(range(1, n + 1), k):
                assert combine({index: shares[index - 1] for index in indexes}) == secret


def test_with_a_threshold_of_one_every_share_is_the_secret() -> None:
    assert share(b"secret", b"", 3) == [b"secret"] * 3


def test_one_share_of_two_fits_every_secret() -> None:
    seen = {share(bytes([secret]), bytes([c]), 2)[1] for secret in (0, 91, 255) for c in range(256)}
    assert len(seen) == 256
    for secret in range(256):
        assert len({share(bytes([secret]), bytes([c]), 2)[1] for c in range(256)}) == 256


@given(sharings(), st.integers(1, 255))
def test_a_changed_share_gives_another_secret(sharing: tuple[bytes, bytes, int, int], difference: int) -> None:
    secret, coefficients, k, n = sharing
    shares = dict(enumerate(share(secret, coefficients, n)[:k], start=1))
    shares[1] = bytes([shares[1][0] ^ difference]) + shares[1][1:]
    assert combine(shares) != secret


@pytest.mark.parametrize(
    ("secret", "coefficients", "n"),
    [(b"ab", b"c", 3), (b"", b"", 3), (b"ab", b"cdef", 2), (b"ab", b"", 0), (b"ab", b"", 256)],
)
def test_impossible_sharings_are_refused(secret: bytes, coefficients: bytes, n: int) -> None:
    with pytest.raises(ValueError):
        share(secret, coefficients, n)


@pytest.mark.parametrize("shares", [{}, {0: b"a"}, {256: b"a"}, {1: b"a", 2: b"ab"}])
def test_impossible_shares_are_refused(shares: dict[int, bytes]) -> None:
    with pytest.raises(ValueError):
        combine(shares)
