import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.voting import oaep

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())
SEED = bytes(range(32))


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return rsa.load_private(VECTORS["ballot_key"].encode())


@pytest.mark.parametrize("message", [b"", b"share", b"\0" * 32, b"m" * (256 - 66)])
def test_the_stock_implementation_decrypts(key: RSAPrivateKey, message: bytes) -> None:
    ciphertext = oaep.encrypt(rsa.modulus(key), message, b"label", SEED)
    assert len(ciphertext) == 256
    assert oaep.decrypt(key, ciphertext, b"label") == message


def test_the_seed_alone_decides_the_ciphertext(key: RSAPrivateKey) -> None:
    ciphertext = oaep.encrypt(rsa.modulus(key), b"share", b"label", SEED)
    assert oaep.encrypt(rsa.modulus(key), b"share", b"label", SEED) == ciphertext
    assert oaep.encrypt(rsa.modulus(key), b"share", b"label", bytes(32)) != ciphertext


def test_another_label_does_not_decrypt(key: RSAPrivateKey) -> None:
    ciphertext = oaep.encrypt(rsa.modulus(key), b"share", b"label", SEED)
    with pytest.raises(ValueError):
        oaep.decrypt(key, ciphertext, b"labels")


def test_a_message_too_long_is_refused(key: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="too long"):
        oaep.encrypt(rsa.modulus(key), b"m" * (256 - 65), b"", SEED)


def test_a_seed_of_another_length_is_refused(key: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="seed"):
        oaep.encrypt(rsa.modulus(key), b"share", b"", SEED[1:])
