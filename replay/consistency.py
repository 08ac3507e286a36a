"""A receipt held against a checkpoint seen at another time: both must be of one log that only grew."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ..ledger.checkpoint import Checkpoint, CheckpointError, parse_body, read_note, verify_note
from ..ledger.proof import HASH_SIZE, ProofError, verify_consistency
from ..ledger.receipt import MAGIC, Receipt, ReceiptError, verify
from ..ledger.receipt import parse as parse_receipt
from ..ledger.succession import Succession

Proof = tuple[bytes, ...]
RootAt = Callable[[int], bytes]
"""The root of the first so many entries of a log that is at hand. Raises ProofError when it has fewer."""


@dataclass(frozen=True, slots=True)
class Older:
    """A checkpoint seen earlier, or later. `note` is empty for one's own record of it, which has no signatures;
    `receipt` is the one it came in; `proof` is the consistency proof between the two, if it was kept.
    """

    checkpoint: Checkpoint
    note: bytes = b""
    receipt: Receipt | None = None
    proof: Proof | None = None

    def proven_by(self, proof: Proof) -> Older:
        return replace(self, proof=proof)


def read_older(data: bytes) -> Older:
    """A checkpoint's note, the body of one, or a receipt with one in it. Raises ReceiptError(MalformedCheckpoint)."""
    try:
        if data.startswith(MAGIC.encode()):
            receipt = parse_receipt(data)
            return Older(read_note(receipt.note), receipt.note, receipt)
        if b"\n\n" in data:
            return Older(read_note(data), data)
        return Older(parse_body(data))
    except (CheckpointError, ReceiptError) as error:
        raise ReceiptError(f"the older checkpoint: {error}", "MalformedCheckpoint") from error


def read_proof(data: bytes) -> Proof:
    """The proof in an answer of /api/ledger/proof/consistency: JSON with hashes in base64url under `proof`.

    Raises ReceiptError(MalformedProof).
    """
    try:
        fields: Any = msgspec.json.decode(data)
        proof = tuple(base64.b64decode(node + "=" * (-len(node) % 4), b"-_", validate=True) for node in fields["proof"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ReceiptError(f"the consistency proof does not parse: {error}", "MalformedProof") from error
    if any(len(node) != HASH_SIZE for node in proof):
        raise ReceiptError("the consistency proof has a hash that is not 32 bytes long", "MalformedProof")
    return proof


def check_older(
    older: Older, receipt: Receipt, checkpoint: Checkpoint, succession: Succession, root_at: RootAt | None
) -> int:
    """The size of the other checkpoint, once it and the receipt's are seen to be of one log.

    With `root_at` by the log itself, else by the proof. Raises ReceiptError: OlderNotSigned, OtherLog, ReceiptsClash,
    TwoLogs, ExportTooShort, ProofMissing, ConsistencyNotProven.
    """
    _check_signed(older, succession)
    if older.receipt is not None:
        _check_clash(older.receipt, receipt, succession)
    if root_at is not None:
        _check_root(older.checkpoint, root_at)
    else:
        first, second = sorted((older.checkpoint, checkpoint), key=lambda point: point.size)
        _check_proof(first, second, older.proof)
    return older.checkpoint.size


def _check_signed(older: Older, succession: Succession) -> None:
    if older.checkpoint.origin != succession.origin:
        raise ReceiptError("the older checkpoint is of another log", "OtherLog")
    if not older.note:
        return
    try:
        verify_note(older.note, succession.origin, succession.signers(older.note))
    except CheckpointError as error:
        raise ReceiptError(f"the older checkpoint: {error}", "OlderNotSigned") from error


def _check_clash(other: Receipt, receipt: Receipt, succession: Succession) -> None:
    """Two entries at one place: whoever holds both receipts needs nothing else to show that two logs were signed."""
    try:
        verify(other, succession.origin, succession.signers(other.note))
    except ReceiptError as error:
        raise ReceiptError(f"the other receipt: {error}", error.name) from error
    if other.index == receipt.index and other.header != receipt.header:
        detail = f"two receipts have different entries at place {receipt.index + 1}, each signed by a majority"
        raise ReceiptError(f"{detail}: two logs exist, and these receipts prove it", "ReceiptsClash")


def _check_root(point: Checkpoint, root_at: RootAt) -> None:
    try:
        agrees = root_at(point.size) == point.root
    except ProofError as error:
        raise ReceiptError(f"the export ends before the older checkpoint's {point.size}", "ExportTooShort") from error
    if not agrees:
        raise ReceiptError(f"the export does not lead to the root signed at {point.size}: two logs exist", "TwoLogs")


def _check_proof(first: Checkpoint, second: Checkpoint, proof: Proof | None) -> None:
    if first.size == second.size:
        if first.root != second.root:
            raise ReceiptError(f"two roots are signed for {first.size} entries: two logs exist", "TwoLogs")
        return
    if proof is None:
        detail = f"nothing here tells whether the log of {second.size} entries continues that of {first.size}"
        raise ReceiptError(f"{detail}: an export or a consistency proof is needed", "ProofMissing")
    try:
        verify_consistency(first.size, second.size, first.root, second.root, proof)
    except ProofError as error:
        detail = f"that the log of {second.size} entries continues that of {first.size} is not proven: {error}"
        raise ReceiptError(detail, "ConsistencyNotProven") from error
