"""Keys that no test has to wait for: RSA keys out of tests/data/envelope-vectors.json and trustee-keys.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ballot.ledger import rsa
from ballot.ledger.membership import Membership, NodeRecord
from tests.support.chain import ORIGIN

_DATA = Path(__file__).parents[1] / "data"
_VECTORS, _MORE = _DATA / "envelope-vectors.json", _DATA / "trustee-keys.json"


@cache
def node_key(number: int) -> Ed25519PrivateKey:
    """A node's key for cosignatures."""
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


@cache
def real_members(voters: int, learners: int = 0) -> Membership:
    """Nodes with keys that verify. For speed all share one RSA key, which their names still tell apart."""
    modulus = rsa.modulus(long_key(1))
    records = [
        NodeRecord(
            number,
            f"{ORIGIN}/node{number}",
            node_key(number).public_key().public_bytes_raw(),
            modulus,
            number <= voters,
        )
        for number in range(1, voters + learners + 1)
    ]
    return Membership(ORIGIN, tuple(records))


@cache
def long_key(number: int) -> RSAPrivateKey:
    """One of nine RSA-3072 keys, numbered from 1; the first three are those of the vectors."""
    pems = [pem for path in (_VECTORS, _MORE) for pem in json.loads(path.read_text())["trustees"]]
    return load_key(pems[number - 1])


@cache
def ballot_key() -> RSAPrivateKey:
    """An RSA-2048 key."""
    return load_key(json.loads(_VECTORS.read_text())["ballot_key"])


def load_key(pem: str) -> RSAPrivateKey:
    """The private key in this PEM, one of the tests' own."""
    # The checks that are skipped take a quarter of a second a key, and these keys never change.
    return cast(RSAPrivateKey, load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True))
