"""RSA keys and the one signature scheme of the ledger.

RSASSA-PSS (RFC 8017, section 8.1) with SHA-384, MGF1-SHA-384 and a salt of 48 bytes, pinned here: no caller
chooses parameters, and none are read from a message. The public exponent is always 65537, so a public key is
just its modulus, big-endian, in exactly bits/8 bytes.
"""

from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

PUBLIC_EXPONENT = 65537

_SHA384 = hashes.SHA384()
_PSS = padding.PSS(mgf=padding.MGF1(_SHA384), salt_length=48)


class BadSignature(Exception):
    """The signature does not verify under this modulus for this message."""


def generate(bits: int) -> RSAPrivateKey:
    """A fresh key; `bits` is a multiple of 8."""
    if bits % 8:
        raise ValueError(f"an RSA modulus of {bits} bits is not a whole number of bytes")
    return rsa.generate_private_key(public_exponent=PUBLIC_EXPONENT, key_size=bits)


def modulus(key: RSAPrivateKey | RSAPublicKey) -> bytes:
    """The modulus, big-endian, in exactly bits/8 bytes."""
    public = key.public_key() if isinstance(key, RSAPrivateKey) else key
    return public.public_numbers().n.to_bytes((public.key_size + 7) // 8, "big")


# Nodes, registrars and identities verify again and again; building a key costs as much as verifying with it.
@lru_cache(maxsize=4096)
def public_key(modulus: bytes) -> RSAPublicKey:
    """The key with this modulus and exponent 65537; the latest few thousand are kept.

    Raises ValueError when the bytes are no RSA modulus at all (leading zero bit, even, too short). Whether
    the key is a sound one is for the key checks where it is first accepted.
    """
    n = int.from_bytes(modulus, "big")
    if n.bit_length() != 8 * len(modulus):
        raise ValueError("the modulus does not fill its bytes")
    return rsa.RSAPublicNumbers(PUBLIC_EXPONENT, n).public_key()


def sign(key: RSAPrivateKey, message: bytes) -> bytes:
    """A PSS signature as long as the modulus; a new one each time, because the salt is random."""
    return key.sign(message, _PSS, _SHA384)


def verify(modulus: bytes, signature: bytes, message: bytes) -> None:
    """Raises BadSignature unless `signature` is the PSS signature of `message` under this modulus."""
    _verify(public_key, modulus, signature, message)


def verify_once(modulus: bytes, signature: bytes, message: bytes) -> None:
    """Like `verify`, for a key that nobody will verify with again: it is not kept."""
    _verify(public_key.__wrapped__, modulus, signature, message)


def _verify(key_of: Callable[[bytes], RSAPublicKey], modulus: bytes, signature: bytes, message: bytes) -> None:
    if len(signature) != len(modulus):
        raise BadSignature(f"signature of {len(signature)} bytes under a modulus of {len(modulus)}")
    try:
        key_of(modulus).verify(signature, message, _PSS, _SHA384)
    except ValueError as error:
        raise BadSignature("not an RSA modulus") from error
    except InvalidSignature:
        raise BadSignature("signature does not verify") from None


def load_private(pem: bytes) -> RSAPrivateKey:
    """The unencrypted private key in this PEM, checked to be consistent.

    The check takes a fifth of a second for 3072 bits, so callers keep the result. Raises ValueError when it
    is not an RSA key with exponent 65537.
    """
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA private key")
    if key.public_key().public_numbers().e != PUBLIC_EXPONENT:
        raise ValueError(f"the public exponent is not {PUBLIC_EXPONENT}")
    return key


def dump_private(key: RSAPrivateKey) -> bytes:
    """PKCS #8 PEM, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def private_from_primes(p: int, q: int) -> RSAPrivateKey:
    """The key with these two primes and exponent 65537, in either order, checked like a loaded one.

    Raises ValueError when either is not prime, both are the same, or 65537 has no inverse modulo
    lcm(p - 1, q - 1).
    """
    if min(p, q) < 3 or p == q:
        raise ValueError("two different odd primes are needed")
    d = pow(PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(PUBLIC_EXPONENT, p * q),
    )
    return numbers.private_key()
