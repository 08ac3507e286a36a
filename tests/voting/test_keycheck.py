import json
from pathlib import Path
from random import Random

import gmpy2
import pytest

from ballot.ledger import rsa
from ballot.voting.keycheck import WeakKey, check_long_lived_key, check_one_use_key

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())


def octets(n: int, bits: int = 2048) -> bytes:
    return int(n).to_bytes(bits // 8, "big")


@pytest.fixture(scope="module")
def ballot_primes() -> tuple[int, int]:
    numbers = rsa.load_private(VECTORS["ballot_key"].encode()).private_numbers()
    return numbers.p, numbers.q


@pytest.fixture(scope="module")
def sound(ballot_primes: tuple[int, int]) -> bytes:
    return octets(ballot_primes[0] * ballot_primes[1])


def faulty_prime(bits: int, random: Random) -> int:
    """A prime as the faulty library makes it: k·M + (65537^a mod M), M the product of the first 126 primes."""
    m = int(gmpy2.primorial(701))
    while True:
        k = random.randrange(3 << (bits - 2), 1 << bits) // m
        candidate = k * m + pow(65537, random.randrange(m), m)
        if candidate.bit_length() == bits and gmpy2.is_prime(candidate):
            return candidate


def with_factor(factor: int) -> bytes:
    """A modulus of 2048 bits that is `factor` times a prime."""
    return octets(factor * int(gmpy2.next_prime((1 << 2047) // factor)))


def test_sound_keys_pass(sound: bytes) -> None:
    check_one_use_key(sound)
    check_long_lived_key(sound, bits=2048)
    for pem in VECTORS["trustees"]:
        check_long_lived_key(rsa.modulus(rsa.load_private(pem.encode())))


def test_another_length_is_refused(sound: bytes) -> None:
    for wrong in (b"", sound[1:], sound + b"\x01", b"\0" + sound):
        with pytest.raises(WeakKey, match="2048 bits"):
            check_one_use_key(wrong)
    with pytest.raises(WeakKey, match="3072 bits"):
        check_long_lived_key(sound)


def test_a_clear_top_bit_is_refused(sound: bytes) -> None:
    with pytest.raises(WeakKey, match="top bit"):
        check_one_use_key(bytes([sound[0] & 0x7F]) + sound[1:])


def test_an_even_modulus_is_refused(sound: bytes) -> None:
    with pytest.raises(WeakKey, match="even"):
        check_one_use_key(sound[:-1] + bytes([sound[-1] & 0xFE]))


@pytest.mark.parametrize("factor", [3, 101, 9973])
def test_a_prime_factor_below_ten_thousand_is_refused(factor: int) -> None:
    multiple = (1 << 2047) + (-(1 << 2047)) % factor
    with pytest.raises(WeakKey, match="prime factor"):
        check_one_use_key(octets(multiple if multiple % 2 else multiple + factor))


def test_a_prime_factor_above_ten_thousand_is_not_looked_for() -> None:
    check_one_use_key(with_factor(10_007))


def test_a_key_of_the_faulty_chip_is_refused() -> None:
    random = Random(2017)
    n = faulty_prime(1024, random) * faulty_prime(1024, random)
    with pytest.raises(WeakKey, match="ROCA"):
        check_one_use_key(octets(n))


def test_one_faulty_prime_with_a_sound_one_is_no_fingerprint(ballot_primes: tuple[int, int]) -> None:
    check_one_use_key(octets(faulty_prime(1024, Random(2017)) * ballot_primes[0]))


def test_a_prime_is_refused() -> None:
    prime = octets(int(gmpy2.next_prime(3 << 2046)))
    check_one_use_key(prime)
    with pytest.raises(WeakKey, match="prime"):
        check_long_lived_key(prime, bits=2048)


def test_a_power_is_refused(ballot_primes: tuple[int, int]) -> None:
    with pytest.raises(WeakKey, match="power"):
        check_long_lived_key(octets(ballot_primes[0] ** 2), bits=2048)


def test_close_primes_are_refused(ballot_primes: tuple[int, int]) -> None:
    p = ballot_primes[0]
    near = int(gmpy2.next_prime(p + (1 << 515)))  # |p - q| near 2·n^(1/4): found within a few steps
    with pytest.raises(WeakKey, match="close"):
        check_long_lived_key(octets(p * near), bits=2048)


def test_the_first_argument_says_what_is_wrong() -> None:
    with pytest.raises(WeakKey) as refusal:
        check_one_use_key(bytes(256))
    assert refusal.value.args == ("top bit clear",)
