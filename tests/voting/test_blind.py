import json
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.voting import blind

VECTORS: list[dict[str, str]] = json.loads((Path(__file__).parents[1] / "data" / "rfc9474-vectors.json").read_text())
KEYS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())
MESSAGE = b"a credential"


def octets(vector: dict[str, str], name: str) -> bytes:
    return bytes.fromhex(vector[name].removeprefix("0x"))


@cache
def vector_key(p: str, q: str) -> RSAPrivateKey:
    return rsa.private_from_primes(int(p, 16), int(q, 16))


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return rsa.load_private(KEYS["trustees"][0].encode())


@pytest.fixture
def signer(key: RSAPrivateKey) -> blind.BlindSigner:
    return blind.BlindSigner(key)


@pytest.fixture(scope="module")
def modulus(key: RSAPrivateKey) -> bytes:
    return rsa.modulus(key)


def blinded_vector(vector: dict[str, str]) -> tuple[bytes, blind.Blinded]:
    prepared = octets(vector, "msg")
    if vector["msg_prefix"]:
        prepared = blind.prepare(prepared, octets(vector, "msg_prefix"))
    r = pow(int(vector["inv"], 16), -1, int(vector["n"], 16))
    return prepared, blind.blind(octets(vector, "n"), prepared, salt=octets(vector, "salt"), r=r)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_published_vectors_byte_for_byte(vector: dict[str, str]) -> None:
    n = octets(vector, "n")
    prepared, blinded = blinded_vector(vector)
    assert prepared == octets(vector, "input_msg")
    assert blinded == blind.Blinded(octets(vector, "blinded_msg"), int(vector["inv"], 16))
    signature = blind.BlindSigner(vector_key(vector["p"], vector["q"])).sign(blinded.message)
    assert signature == octets(vector, "blind_sig")
    assert blind.check_blind_signature(n, blinded.message, signature)
    assert blind._unblind(n, signature, blinded.inverse) == octets(vector, "sig")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_only_vectors_with_the_salt_of_the_scheme_finalize(vector: dict[str, str]) -> None:
    n = octets(vector, "n")
    prepared, blinded = blinded_vector(vector)
    blind_sig = octets(vector, "blind_sig")
    if vector["salt"]:
        assert blind.finalize(n, prepared, blind_sig, blinded.inverse) == octets(vector, "sig")
    else:
        with pytest.raises(blind.BlindError):
            blind.finalize(n, prepared, blind_sig, blinded.inverse)


def test_the_whole_exchange_gives_an_ordinary_signature(
    key: RSAPrivateKey, signer: blind.BlindSigner, modulus: bytes
) -> None:
    prepared = blind.prepare(MESSAGE)
    blinded = blind.blind(modulus, prepared)
    signature = blind.finalize(modulus, prepared, signer.sign(blinded.message), blinded.inverse)
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)
    key.public_key().verify(signature, prepared, scheme, hashes.SHA384())


def test_preparing_puts_thirty_two_random_bytes_in_front() -> None:
    first, second = blind.prepare(MESSAGE), blind.prepare(MESSAGE)
    assert first[32:] == second[32:] == MESSAGE
    assert first[:32] != second[:32]
    with pytest.raises(ValueError, match="prefix"):
        blind.prepare(MESSAGE, bytes(31))


def test_blinding_twice_shows_nothing_in_common(modulus: bytes) -> None:
    prepared = blind.prepare(MESSAGE)
    first, second = blind.blind(modulus, prepared), blind.blind(modulus, prepared)
    assert first.message != second.message
    assert len(first.message) == len(second.message) == len(modulus)


def test_the_inverse_is_not_printed(modulus: bytes) -> None:
    blinded = blind.blind(modulus, blind.prepare(MESSAGE))
    assert str(blinded.inverse) not in repr(blinded)


def test_signing_again_gives_the_same_answer(signer: blind.BlindSigner, modulus: bytes) -> None:
    blinded = blind.blind(modulus, blind.prepare(MESSAGE))
    assert signer.sign(blinded.message) == signer.sign(blinded.message)


def test_a_number_not_below_the_modulus_is_not_signed(signer: blind.BlindSigner, modulus: bytes) -> None:
    for refused in (modulus, b"\xff" * len(modulus)):
        with pytest.raises(blind.BlindError):
            signer.sign(refused)


def test_a_message_of_another_length_is_not_signed(signer: blind.BlindSigner, modulus: bytes) -> None:
    for refused in (b"", bytes(len(modulus) - 1), bytes(len(modulus) + 1)):
        with pytest.raises(blind.BlindError):
            signer.sign(refused)


def test_the_least_and_greatest_numbers_are_signed(signer: blind.BlindSigner, modulus: bytes) -> None:
    n = int.from_bytes(modulus, "big")
    for number in (0, 1, n - 1):
        blinded = number.to_bytes(len(modulus), "big")
        assert blind.check_blind_signature(modulus, blinded, signer.sign(blinded))


@pytest.mark.parametrize("part", ["_dp", "_dq", "_q_inverse"])
def test_a_faulty_computation_is_never_released(
    monkeypatch: pytest.MonkeyPatch, signer: blind.BlindSigner, modulus: bytes, part: str
) -> None:
    monkeypatch.setattr(signer, part, getattr(signer, part) + 2)
    with pytest.raises(blind.SigningFault):
        signer.sign(blind.blind(modulus, blind.prepare(MESSAGE)).message)


def test_an_answer_of_another_registrar_does_not_finalize(modulus: bytes) -> None:
    prepared = blind.prepare(MESSAGE)
    blinded = blind.blind(modulus, prepared)
    other = blind.BlindSigner(rsa.load_private(KEYS["trustees"][1].encode()))
    answer = other.sign(bytes(1) + blinded.message[1:])
    with pytest.raises(blind.BlindError, match="does not verify"):
        blind.finalize(modulus, prepared, answer, blinded.inverse)


def test_an_answer_for_another_message_does_not_finalize(signer: blind.BlindSigner, modulus: bytes) -> None:
    prepared = blind.prepare(MESSAGE)
    blinded = blind.blind(modulus, prepared)
    answer = signer.sign(blinded.message)
    with pytest.raises(blind.BlindError):
        blind.finalize(modulus, blind.prepare(MESSAGE), answer, blinded.inverse)
    with pytest.raises(blind.BlindError):
        blind.finalize(modulus, prepared, answer, blinded.inverse + 1)
    with pytest.raises(blind.BlindError, match="bytes"):
        blind.finalize(modulus, prepared, answer[1:], blinded.inverse)


def test_anyone_can_check_a_blind_signature(signer: blind.BlindSigner, modulus: bytes) -> None:
    blinded = blind.blind(modulus, blind.prepare(MESSAGE)).message
    answer = signer.sign(blinded)
    assert blind.check_blind_signature(modulus, blinded, answer)
    changed = answer[:-1] + bytes([answer[-1] ^ 1])
    assert not blind.check_blind_signature(modulus, blinded, changed)
    assert not blind.check_blind_signature(modulus, blinded, b"\0" + answer)
    assert not blind.check_blind_signature(modulus, b"\0" + blinded, answer)


def test_a_blind_signature_has_one_form_only(signer: blind.BlindSigner, modulus: bytes) -> None:
    n = int.from_bytes(modulus, "big")
    one = (1).to_bytes(len(modulus), "big")
    above = (n + 1).to_bytes(len(modulus), "big")
    assert blind.check_blind_signature(modulus, one, one)
    assert not blind.check_blind_signature(modulus, one, above)
    assert not blind.check_blind_signature(modulus, above, one)


def test_a_factor_of_the_modulus_does_not_blind(key: RSAPrivateKey, modulus: bytes) -> None:
    with pytest.raises(blind.BlindError, match="unit"):
        blind.blind(modulus, blind.prepare(MESSAGE), r=key.private_numbers().p)


def test_a_modulus_too_short_for_the_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        blind.blind(b"\xff" * 96, blind.prepare(MESSAGE))
