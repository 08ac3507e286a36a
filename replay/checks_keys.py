"""The keys of voters, looked at beside what they signed.

Only at a glance, which costs a hundredth of the audit. What a node asks of a key used once, asked of both, would cost a
fifteenth; all that it asks of an identity key, fifteen times what everything else about a voter takes.
"""

from __future__ import annotations

from ..voting.keycheck import WeakKey, check_at_a_glance
from .pool import Flaw
from .report import Level
from .verify import check_ballot, check_identity_key

IDENTITY_BITS, BALLOT_BITS = 3072, 2048


def check_enrolled(user: bytes, n: bytes, signature: bytes) -> list[Flaw]:
    """An identity key: its own signature, and the key itself."""
    return check_identity_key(user, n, signature) + _weak(n, IDENTITY_BITS, f"user {user.hex()}")


def check_published(definition: bytes, eid: bytes, body: bytes, bpk: bytes) -> list[Flaw]:
    """A ballot of the board with the ballot key `bpk`."""
    return check_ballot(definition, eid, body) + _weak(bpk, BALLOT_BITS, "a ballot")


def _weak(modulus: bytes, bits: int, owner: str) -> list[Flaw]:
    try:
        check_at_a_glance(modulus, bits)
    except WeakKey as error:
        return [Flaw(Level.SIGNATURES, "WeakKey", f"the key of {owner}: {error}")]
    return []
