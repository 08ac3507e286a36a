"""A witness that the tests' nodes know."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ballot.ledger.witness import Witness

WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = Witness("witness.example/w1", WITNESS_KEY.public_key().public_bytes_raw())
