import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric import rsa as stock_rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())
MESSAGE = b"one message"


def pem_of(key: stock_rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return rsa.load_private(VECTORS["ballot_key"].encode())


@pytest.fixture(scope="module")
def other_key() -> RSAPrivateKey:
    return rsa.generate(1024)


def test_a_generated_key_has_the_size_and_exponent(other_key: RSAPrivateKey) -> None:
    assert other_key.key_size == 1024
    assert other_key.public_key().public_numbers().e == 65537
    assert len(rsa.modulus(other_key)) == 128


def test_a_size_that_is_no_whole_number_of_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        rsa.generate(2049)


def test_the_modulus_of_both_halves_is_one(key: RSAPrivateKey) -> None:
    n = key.private_numbers().public_numbers.n
    assert rsa.modulus(key) == rsa.modulus(key.public_key()) == n.to_bytes(256, "big")


def test_a_signature_verifies(key: RSAPrivateKey) -> None:
    signature = rsa.sign(key, MESSAGE)
    assert len(signature) == 256
    rsa.verify(rsa.modulus(key), signature, MESSAGE)


def test_another_message_is_refused(key: RSAPrivateKey) -> None:
    with pytest.raises(rsa.BadSignature):
        rsa.verify(rsa.modulus(key), rsa.sign(key, MESSAGE), MESSAGE + b"\0")


def test_a_changed_byte_is_refused(key: RSAPrivateKey) -> None:
    signature = rsa.sign(key, MESSAGE)
    for position in (0, 100, 255):
        changed = bytearray(signature)
        changed[position] ^= 1
        with pytest.raises(rsa.BadSignature):
            rsa.verify(rsa.modulus(key), bytes(changed), MESSAGE)


def test_another_key_is_refused(key: RSAPrivateKey, other_key: RSAPrivateKey) -> None:
    with pytest.raises(rsa.BadSignature):
        rsa.verify(rsa.modulus(other_key), rsa.sign(key, MESSAGE)[:128], MESSAGE)


def test_a_signature_of_another_length_is_refused(key: RSAPrivateKey) -> None:
    signature = rsa.sign(key, MESSAGE)
    for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature):
        with pytest.raises(rsa.BadSignature):
            rsa.verify(rsa.modulus(key), wrong, MESSAGE)


def test_a_signature_not_below_the_modulus_is_refused(key: RSAPrivateKey) -> None:
    n = int.from_bytes(rsa.modulus(key), "big")
    signature = rsa.sign(key, MESSAGE)
    while int.from_bytes(signature, "big") + n >= 2**2048:
        signature = rsa.sign(key, MESSAGE)
    with pytest.raises(rsa.BadSignature):
        rsa.verify(rsa.modulus(key), (int.from_bytes(signature, "big") + n).to_bytes(256, "big"), MESSAGE)


@pytest.mark.parametrize("salt_length", [0, 32, 47, 49])
def test_another_salt_length_is_refused(key: RSAPrivateKey, salt_length: int) -> None:
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=salt_length)
    with pytest.raises(rsa.BadSignature):
        rsa.verify(rsa.modulus(key), key.sign(MESSAGE, scheme, hashes.SHA384()), MESSAGE)


def test_another_hash_or_padding_is_refused(key: RSAPrivateKey) -> None:
    sha256, sha384 = hashes.SHA256(), hashes.SHA384()
    for signature in (
        key.sign(MESSAGE, padding.PSS(mgf=padding.MGF1(sha256), salt_length=48), sha256),
        key.sign(MESSAGE, padding.PSS(mgf=padding.MGF1(sha256), salt_length=48), sha384),
        key.sign(MESSAGE, padding.PKCS1v15(), sha384),
    ):
        with pytest.raises(rsa.BadSignature):
            rsa.verify(rsa.modulus(key), signature, MESSAGE)


@pytest.mark.parametrize("modulus", [b"", bytes(256), b"\x81", bytes(1) + b"\xff" * 255])
def test_what_is_no_modulus_verifies_nothing(modulus: bytes) -> None:
    with pytest.raises(rsa.BadSignature):
        rsa.verify(modulus, modulus, MESSAGE)


def test_a_public_key_is_kept(key: RSAPrivateKey) -> None:
    assert rsa.public_key(rsa.modulus(key)) is rsa.public_key(rsa.modulus(key))


def test_a_leading_zero_byte_makes_no_second_name_for_a_key(key: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="does not fill"):
        rsa.public_key(b"\0" + rsa.modulus(key))


def test_a_dumped_key_loads(key: RSAPrivateKey) -> None:
    assert rsa.load_private(rsa.dump_private(key)).private_numbers() == key.private_numbers()


def test_only_rsa_keys_with_the_one_exponent_load() -> None:
    with pytest.raises(ValueError, match="not an RSA private key"):
        rsa.load_private(pem_of(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ValueError, match="65537"):
        rsa.load_private(pem_of(stock_rsa.generate_private_key(public_exponent=3, key_size=1024)))


def test_the_primes_give_the_key_in_either_order(key: RSAPrivateKey) -> None:
    numbers = key.private_numbers()
    signature = rsa.sign(rsa.private_from_primes(numbers.p, numbers.q), MESSAGE)
    rsa.verify(rsa.modulus(key), signature, MESSAGE)
    assert rsa.modulus(rsa.private_from_primes(numbers.q, numbers.p)) == rsa.modulus(key)


def test_what_are_no_two_primes_give_no_key(key: RSAPrivateKey) -> None:
    p, q = key.private_numbers().p, key.private_numbers().q
    for bad_p, bad_q in [(p, p), (p, 1), (p * q, 1), (p, q + 2), (p, -q), (0, 0), (p, 2), (p, p * 3)]:
        with pytest.raises(ValueError):
            rsa.private_from_primes(bad_p, bad_q)


def test_a_prime_that_leaves_the_exponent_without_inverse_gives_no_key(key: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="not invertible"):
        rsa.private_from_primes(key.private_numbers().p, 1 + 14 * 65537)
