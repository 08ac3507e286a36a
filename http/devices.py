"""Devices that an account knows: whoever confirmed one of its codes may show so at the next login.

The token proves nothing but that, and opens nothing: it is counted by itself, so that strangers who guess an account's
password cannot keep its owner out (OWASP calls this a device cookie). Nothing is stored for it.
"""

from __future__ import annotations

import hmac
import secrets

from ..ledger.frame import frame
from .parse import b64, unb64

NONCE_BYTES, TAG_BYTES = 16, 32


class Devices:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, account: bytes) -> str:
        """A token for a new device of the account with this address tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return b64(nonce + self._tag(account, nonce))

    def known(self, account: bytes, token: str) -> str:
        """The device's name; empty for a token that is not one of this account's."""
        try:
            data = unb64(token, NONCE_BYTES + TAG_BYTES)
        except ValueError:
            return ""
        nonce, tag = data[:NONCE_BYTES], data[NONCE_BYTES:]
        return nonce.hex() if hmac.compare_digest(tag, self._tag(account, nonce)) else ""

    def _tag(self, account: bytes, nonce: bytes) -> bytes:
        return hmac.digest(self._key, frame("device", account, nonce), "sha256")
