"""What a node signs when it attests a count: the leader asks before it records it, every auditor asks again."""

from __future__ import annotations

from ..ledger.frame import frame, u32


def attestation_message(eid: bytes, node: int, digest: bytes) -> bytes:
    """F(attest, eid, u32 node, digest), with SHA-256 of the count document that the node found."""
    return frame("attest", eid, u32(node), digest)
