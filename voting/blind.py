"""Blind signatures: RSABSSA-SHA384-PSS-Randomized (RFC 9474).

The registrar signs a credential without seeing it. The voter's side is `prepare`, `blind`, `finalize`; the
registrar's is `BlindSigner`; `check_blind_signature` is for everybody. The finished signature is an ordinary
PSS signature that `ledger.rsa.verify` accepts over the prepared message.
"""

import secrets
from dataclasses import dataclass, field
from hashlib import sha384

import gmpy2
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..ledger import rsa
from .primitives import mgf1, public_operation, xor

PREFIX_BYTES = 32
SALT_BYTES = 48

_HASH_BYTES = 48


class BlindError(ValueError):
    """The other side's message is refused: the wrong size, not below the modulus, or a bad signature."""


class SigningFault(RuntimeError):
    """This machine computed a wrong signature, whose release could give the key away (Boneh et al., 1997)."""


@dataclass(frozen=True)
class Blinded:
    """What `blind` gives: the message to send, as long as the modulus, and the secret that unblinds."""

    message: bytes
    inverse: int = field(repr=False)


def prepare(message: bytes, prefix: bytes | None = None) -> bytes:
    """`prefix ‖ message`, the prefix 32 random bytes unless given (PrepareRandomize, section 4.1)."""
    chosen = secrets.token_bytes(PREFIX_BYTES) if prefix is None else prefix
    if len(chosen) != PREFIX_BYTES:
        raise ValueError(f"a prefix of {len(chosen)} bytes, not {PREFIX_BYTES}")
    return chosen + message


def blind(modulus: bytes, prepared: bytes, *, salt: bytes | None = None, r: int | None = None) -> Blinded:
    """Blind a prepared message for the registrar with this modulus (section 4.2).

    `salt` (48 bytes) and `r` (a unit modulo n) are random unless a test vector gives them. Raises BlindError
    when the modulus shares a factor with the message or with r, which no real modulus does.
    """
    chosen = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    n = int.from_bytes(modulus, "big")
    encoded = int.from_bytes(_encode_pss(prepared, chosen, n.bit_length() - 1), "big")
    blinding = 1 + secrets.randbelow(n - 1) if r is None else r
    if gmpy2.gcd(encoded, n) != 1 or gmpy2.gcd(blinding, n) != 1:
        raise BlindError("the message or r is not a unit modulo n")
    mask = int.from_bytes(public_operation(modulus, blinding), "big")
    message = (encoded * mask % n).to_bytes(len(modulus), "big")
    return Blinded(message, int(gmpy2.invert(blinding, n)))


def finalize(modulus: bytes, prepared: bytes, blind_sig: bytes, inverse: int) -> bytes:
    """The signature of the prepared message, as long as the modulus and verified (section 4.4).

    Raises BlindError when the registrar's answer does not lead to a valid one.
    """
    signature = _unblind(modulus, blind_sig, inverse)
    try:
        rsa.verify(modulus, signature, prepared)
    except rsa.BadSignature as error:
        raise BlindError("the unblinded signature does not verify") from error
    return signature


def check_blind_signature(modulus: bytes, blinded: bytes, blind_sig: bytes) -> bool:
    """Whether `blind_sig^65537 mod n` is `blinded`, both of the modulus's length and below it."""
    if not len(modulus) == len(blinded) == len(blind_sig) or not max(blinded, blind_sig) < modulus:
        return False
    return public_operation(modulus, int.from_bytes(blind_sig, "big")) == blinded


class BlindSigner:
    """A registrar's key, ready to sign (BlindSign, section 4.3)."""

    def __init__(self, key: RSAPrivateKey) -> None:
        numbers = key.private_numbers()
        self._modulus = rsa.modulus(key)
        self._n = gmpy2.mpz(numbers.public_numbers.n)
        self._p, self._q = gmpy2.mpz(numbers.p), gmpy2.mpz(numbers.q)
        self._dp, self._dq = gmpy2.mpz(numbers.dmp1), gmpy2.mpz(numbers.dmq1)
        self._q_inverse = gmpy2.mpz(numbers.iqmp)

    def sign(self, blinded: bytes) -> bytes:
        """The blind signature, as long as the modulus; the same for the same `blinded`.

        Raises BlindError when `blinded` has another length or is not below the modulus, and SigningFault when
        the result is wrong, in which case nothing of it may leave the process.
        """
        if len(blinded) != len(self._modulus) or blinded >= self._modulus:
            raise BlindError("the blinded message is not a number modulo n, as long as n")
        # The client chooses the base; multiplying it by a random number first keeps the time of the private
        # operation from depending on anything the client knows.
        mask = 1 + secrets.randbelow(int(self._n) - 1)
        masked = int.from_bytes(blinded, "big") * gmpy2.powmod(mask, rsa.PUBLIC_EXPONENT, self._n) % self._n
        signature = int(self._private_operation(masked) * gmpy2.invert(mask, self._n) % self._n)
        result = signature.to_bytes(len(self._modulus), "big")
        if not check_blind_signature(self._modulus, blinded, result):
            raise SigningFault("the blind signature does not verify")
        return result

    def _private_operation(self, value: gmpy2.mpz) -> gmpy2.mpz:
        """value^d mod n by the Chinese remainder theorem (RFC 8017, section 5.1.2), in constant time."""
        at_p = gmpy2.powmod_sec(value, self._dp, self._p)
        at_q = gmpy2.powmod_sec(value, self._dq, self._q)
        return at_q + self._q * ((at_p - at_q) * self._q_inverse % self._p)


def _unblind(modulus: bytes, blind_sig: bytes, inverse: int) -> bytes:
    if len(blind_sig) != len(modulus):
        raise BlindError(f"a blind signature of {len(blind_sig)} bytes under a modulus of {len(modulus)}")
    n = int.from_bytes(modulus, "big")
    return (int.from_bytes(blind_sig, "big") * inverse % n).to_bytes(len(modulus), "big")


def _encode_pss(message: bytes, salt: bytes, bits: int) -> bytes:
    """EMSA-PSS-ENCODE with SHA-384 (RFC 8017, section 9.1.1); at most `bits` bits, in whole bytes."""
    size = -(-bits // 8)
    padding_bytes = size - len(salt) - _HASH_BYTES - 2
    if padding_bytes < 0:
        raise ValueError(f"{bits} bits are too few for a hash and a salt of {len(salt)} bytes")
    digest = sha384(bytes(8) + sha384(message).digest() + salt).digest()
    data = bytes(padding_bytes) + b"\x01" + salt
    masked = bytearray(xor(data, mgf1("sha384", digest, len(data))))
    masked[0] &= 0xFF >> (8 * size - bits)
    return bytes(masked) + digest + b"\xbc"
