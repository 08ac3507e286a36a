"""Chance that is the same each time: salts, blinding factors and signatures of the vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha384
from unittest.mock import patch

import gmpy2
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.voting import blind


class FixedSecrets:
    """Stands for the module `secrets` in `voting.blind`."""

    def __init__(self) -> None:
        self._drawn = 0

    def token_bytes(self, size: int) -> bytes:
        self._drawn += 1
        return sha384(b"vector %d" % self._drawn).digest()[:size]

    def randbelow(self, limit: int) -> int:
        """From 1 on: as a blinding factor 0 would not do."""
        return 1 + int.from_bytes(self.token_bytes(48), "big") % (limit - 1)


def sign(key: RSAPrivateKey, message: bytes) -> bytes:
    """A PSS signature whose salt follows from the message."""
    n, numbers = rsa.modulus(key), key.private_numbers()
    salt = sha384(b"salt" + message).digest()
    encoded = blind._encode_pss(message, salt, key.key_size - 1)
    value = gmpy2.powmod(int.from_bytes(encoded, "big"), numbers.d, numbers.public_numbers.n)
    signature = int(value).to_bytes(len(n), "big")
    rsa.verify(n, signature, message)
    return signature


@contextmanager
def fixed_chance() -> Iterator[None]:
    from tests.support import log_builder

    log_builder.sign_point.cache_clear()
    with patch.object(rsa, "sign", sign), patch.object(blind, "secrets", FixedSecrets()):
        yield
    log_builder.sign_point.cache_clear()
