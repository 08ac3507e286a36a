"""Private bytes at rest: AES-256-GCM under the cluster's data key (NIST SP 800-38D), a fresh nonce each time."""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class VaultError(Exception):
    """Sealed bytes that this data key does not open."""


class Vault:
    def __init__(self, data_key: bytes) -> None:
        if len(data_key) != 32:
            raise VaultError("the data key is not 32 bytes")
        self._aead = AESGCM(data_key)
        self._tag_key = hmac.digest(data_key, b"ballot address tag", hashlib.sha256)

    def seal(self, data: bytes, context: bytes) -> bytes:
        """nonce ‖ ciphertext; `context` is bound to it and must be given again to open it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises VaultError when key, context or bytes differ."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise VaultError("sealed bytes do not open under this data key") from error

    def address_tag(self, address: str) -> bytes:
        """A keyed hash that finds an e-mail address without storing it: HMAC-SHA-256 of the folded address."""
        return hmac.digest(self._tag_key, fold_address(address).encode(), hashlib.sha256)


def fold_address(address: str) -> str:
    """One spelling an address: surrounding blanks gone, lower case."""
    return address.strip().lower()
