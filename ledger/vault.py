"""Private bytes at rest: AES-256-GCM under the cluster's data key (NIST SP 800-38D), a fresh nonce each time.

What was sealed is never sealed anew, for the log is never rewritten: a data key that is replaced still opens what it
sealed, and so the data key is a ring.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES, NONCE_BYTES = 32, 12


class VaultError(Exception):
    """Sealed bytes that this data key does not open."""


class Vault:
    """`data_key`: 32 bytes a key, oldest first. The newest seals, all open, and the oldest makes the address tags: they
    are looked up, so they must stay what they were.
    """

    def __init__(self, data_key: bytes) -> None:
        if not data_key or len(data_key) % KEY_BYTES:
            raise VaultError("the data key is not 32 bytes, or several times 32")
        ring = [data_key[at : at + KEY_BYTES] for at in range(0, len(data_key), KEY_BYTES)]
        self._newest_first = [AESGCM(key) for key in reversed(ring)]
        self._mail_key = hmac.digest(ring[0], b"ballot mail tag", hashlib.sha256)
        self._tag_key = hmac.digest(ring[0], b"ballot address tag", hashlib.sha256)

    def seal(self, data: bytes, context: bytes) -> bytes:
        """nonce ‖ ciphertext; `context` is bound to it and must be given again to open it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._newest_first[0].encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises VaultError when key, context or bytes differ."""
        for aead in self._newest_first:
            try:
                return aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
            except (InvalidTag, ValueError):
                continue
        raise VaultError("sealed bytes do not open under this data key")

    def address_tag(self, address: str) -> bytes:
        """A keyed hash that finds an e-mail address without storing it: HMAC-SHA-256 of the folded address."""
        return hmac.digest(self._tag_key, fold_address(address).encode(), hashlib.sha256)

    def mail_tag(self, claim: bytes, voter: bytes) -> bytes:
        """8 bytes by which a mail that came back is known to be ours, and which: HMAC-SHA-256, shortened."""
        return hmac.digest(self._mail_key, claim + voter, hashlib.sha256)[:8]


def fold_address(address: str) -> str:
    """One spelling an address: surrounding blanks gone, lower case."""
    return address.strip().lower()
