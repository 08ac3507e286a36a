"""A trustee's key on the trustee's own machine: one file under a passphrase.

OpenSSH's format, because of those that `cryptography` writes it alone lets us choose how much work a guess costs: its
bcrypt takes about a second, where PKCS #8 would take a millisecond. The key is used for nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, load_ssh_private_key

from .ledger import rsa

KEY_BITS = 3072
BCRYPT_ROUNDS = 100
SHORTEST_PASSPHRASE = 12
MOST_BYTES = 64 * 1024


class KeyFileError(Exception):
    """The key cannot be written or read; the message says why and quotes nothing secret."""


def make_key(path: Path, passphrase: str) -> RSAPrivateKey:
    """A new key in a new file that only its owner may read. Raises KeyFileError; nothing is ever overwritten."""
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise KeyFileError(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters")
    key = rsa.generate(KEY_BITS)
    encryption = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(BCRYPT_ROUNDS).build(passphrase.encode())
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise KeyFileError(f"{path} is there already, and a key is never overwritten") from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error
    with open(descriptor, "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(descriptor)
    # A key that cannot be read back would be found out only after the close.
    if rsa.modulus(read_key(path, passphrase)) != rsa.modulus(key):
        raise KeyFileError(f"{path} does not read back: do not use it")
    return key


def read_key(path: Path, passphrase: str) -> RSAPrivateKey:
    """Raises KeyFileError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES)
        key = load_ssh_private_key(data, passphrase.encode())
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    except TypeError as error:
        raise KeyFileError(f"{path} is not under a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path} does not open: a wrong passphrase, or not a key of `ballot trustee keygen`"
        ) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size != KEY_BITS:
        raise KeyFileError(f"{path} is not an RSA key of {KEY_BITS} bits")
    if key.public_key().public_numbers().e != rsa.PUBLIC_EXPONENT:
        raise KeyFileError(f"{path} has another public exponent than {rsa.PUBLIC_EXPONENT}")
    return key
