"""The test keys of tests/data/envelope-vectors.json, so that no test has to wait for a new one."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_VECTORS = Path(__file__).parents[1] / "data" / "envelope-vectors.json"


@cache
def node_key(number: int) -> Ed25519PrivateKey:
    """A node's key for cosignatures."""
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


@cache
def long_key(number: int) -> RSAPrivateKey:
    """One of three RSA-3072 keys, numbered from 1."""
    return _load(json.loads(_VECTORS.read_text())["trustees"][number - 1])


@cache
def ballot_key() -> RSAPrivateKey:
    """An RSA-2048 key."""
    return _load(json.loads(_VECTORS.read_text())["ballot_key"])


def _load(pem: str) -> RSAPrivateKey:
    # The checks that are skipped take a quarter of a second a key, and these keys never change.
    return cast(RSAPrivateKey, load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True))
