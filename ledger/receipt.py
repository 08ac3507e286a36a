"""Receipts: proof, to keep, that an entry is in the log (C2SP tlog-proof).

A receipt is text: `c2sp.org/tlog-proof@v1`, a line `extra`, a line `index`, the inclusion proof with one base64
hash a line, an empty line, and the checkpoint's note to the byte. `extra` carries the frame
F(receipt, header, salt); it is not authenticated by itself: the header becomes trusted by its inclusion.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .checkpoint import (
    Checkpoint,
    CheckpointError,
    Member,
    decode_base64,
    decode_decimal,
    encode_base64,
    verify_note,
)
from .frame import FrameError, frame, parse_frame
from .proof import HASH_SIZE, ProofError, leaf_hash, verify_inclusion

MAGIC = "c2sp.org/tlog-proof@v1"
# A tree of 2^63 leaves is 63 high.
MAX_PROOF = 63


class ReceiptError(ValueError):
    """The bytes are no receipt, or not a true one; the message says why, and `name` which check failed."""

    def __init__(self, detail: str, name: str = "MalformedReceipt") -> None:
        super().__init__(detail)
        self.name = name


@dataclass(frozen=True)
class Receipt:
    """An entry's place in the log.

    `index` counts leaves from 0 (the log index minus 1); `header` is the leaf, the entry's exact bytes; `salt`
    opens the private part's digest (empty for an entry without one); `proof` holds 32-byte hashes from the
    leaf's sibling upwards; `note` is the signed checkpoint.
    """

    index: int
    header: bytes
    salt: bytes
    proof: tuple[bytes, ...]
    note: bytes


def encode(receipt: Receipt) -> bytes:
    """The receipt as tlog-proof text."""
    lines = [
        MAGIC,
        f"extra {encode_base64(frame('receipt', receipt.header, receipt.salt))}",
        f"index {receipt.index}",
        *map(encode_base64, receipt.proof),
    ]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + receipt.note


def parse(data: bytes) -> Receipt:
    """The receipt whose `encode` this is, to the byte. Nothing in it is believed yet.

    Raises ReceiptError. The checkpoint is not looked into; `verify` does that.
    """
    head, blank, note = data.partition(b"\n\n")
    if not blank or not note:
        raise ReceiptError("a receipt is a proof, an empty line and a checkpoint")
    try:
        magic, extra, index, *hashes = head.decode("ascii").split("\n")
        if magic != MAGIC:
            raise ReceiptError("not a tlog-proof of version 1")
        header, salt = parse_frame("receipt", decode_base64(_field("extra", extra)), 2)
        position = decode_decimal(_field("index", index))
        proof = tuple(map(decode_base64, hashes))
    except ReceiptError:
        raise
    except (FrameError, ValueError) as error:
        raise ReceiptError(f"malformed receipt: {error}") from error
    if len(proof) > MAX_PROOF or any(len(value) != HASH_SIZE for value in proof):
        raise ReceiptError("the inclusion proof is too long or has a hash that is not 32 bytes long")
    return Receipt(position, header, salt, proof, note)


def verify(receipt: Receipt, origin: str, members: Sequence[Member]) -> Checkpoint:
    """Check that the header is leaf `index` of a tree that a majority of `members` signed; the checkpoint signed.

    The checkpoint is verified first, and size and root are taken from it alone. What the header says is for
    the caller to compare with what it asked for, its private digest with its own cast and the salt above all.
    Raises ReceiptError: CheckpointNotSigned, NotIncluded.
    """
    try:
        checkpoint = verify_note(receipt.note, origin, members)
    except CheckpointError as error:
        raise ReceiptError(str(error), "CheckpointNotSigned") from error
    try:
        verify_inclusion(leaf_hash(receipt.header), receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
    except ProofError as error:
        raise ReceiptError(str(error), "NotIncluded") from error
    return checkpoint


def _field(name: str, line: str) -> str:
    prefix, space, value = line.partition(" ")
    if prefix != name or not space:
        raise ReceiptError(f"the line {name} is missing")
    return value
