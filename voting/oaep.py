"""RSAES-OAEP encryption with SHA-256, MGF1-SHA-256, a label and a chosen seed (RFC 8017, section 7.1.1).

The seed is an argument so that an envelope can be made again from its own seed and compared byte for byte; a
caller must derive it from fresh randomness. Decryption needs nothing of the kind: it is `cryptography`'s.
"""

from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .primitives import mgf1, public_operation, xor

_HASH = "sha256"
_HASH_BYTES = 32


def encrypt(modulus: bytes, message: bytes, label: bytes, seed: bytes) -> bytes:
    """The ciphertext, as long as the modulus. `seed` is 32 bytes.

    Raises ValueError when the seed has another length or the message is longer than the modulus minus 66.
    """
    if len(seed) != _HASH_BYTES:
        raise ValueError(f"the OAEP seed is {len(seed)} bytes, not {_HASH_BYTES}")
    padding_bytes = len(modulus) - len(message) - 2 * _HASH_BYTES - 2
    if padding_bytes < 0:
        raise ValueError(f"a message of {len(message)} bytes is too long for a modulus of {len(modulus)}")
    data = sha256(label).digest() + bytes(padding_bytes) + b"\x01" + message
    masked_data = xor(data, mgf1(_HASH, seed, len(data)))
    masked_seed = xor(seed, mgf1(_HASH, masked_data, _HASH_BYTES))
    return public_operation(modulus, int.from_bytes(masked_seed + masked_data, "big"))


def decrypt(key: RSAPrivateKey, ciphertext: bytes, label: bytes) -> bytes:
    """The message. Raises ValueError when the ciphertext was not made for this key and label."""
    algorithm = hashes.SHA256()
    scheme = padding.OAEP(mgf=padding.MGF1(algorithm), algorithm=algorithm, label=label)
    return key.decrypt(ciphertext, scheme)
