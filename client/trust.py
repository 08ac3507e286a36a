"""Trust: what a client believes about the log, and why. Bytes go in, conviction comes out; nothing here does I/O.

It starts from the pinned genesis entry, which names the log and its nodes. A checkpoint counts if a majority of those
nodes signed it and if it continues the newest one seen: else the cluster shows different people different logs.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from ..ledger import receipt as receipts
from ..ledger.checkpoint import Checkpoint, CheckpointError, Member, verify_note
from ..ledger.entry import Entry, EntryError, parse, private_digest
from ..ledger.frame import FrameError, parse_frame, read_u64
from ..ledger.membership import MembershipError, membership_of
from ..ledger.proof import ProofError, leaf_hash, verify_consistency, verify_inclusion


class Untrusted(Exception):
    """What a node showed is not proven; the message says what fails."""


class Fork(Untrusted):
    """Two majority-signed checkpoints that cannot be of one log: evidence against the cluster, to be kept."""


class Trust:
    """`genesis_header` is entry 1's header; `members` are the voting nodes it names.

    `newest` is the largest checkpoint seen; before the first, the tree that holds the genesis entry alone, so even the
    first checkpoint must prove that it starts with the pinned entry.
    """

    def __init__(self, genesis_header: bytes, origin: str, members: Sequence[Member]) -> None:
        self.origin = origin
        self.members = tuple(members)
        self.genesis_hash = sha256(genesis_header).digest()
        self.newest = Checkpoint(origin, 1, leaf_hash(genesis_header))

    @classmethod
    def in_genesis(cls, header: bytes, public: bytes) -> Trust:
        """From entry 1 as it was published out of band. Raises Untrusted when it is not a genesis entry."""
        try:
            entry = parse(header, public)
            membership = membership_of(entry.fields)
        except (EntryError, MembershipError) as error:
            raise Untrusted(f"the genesis entry: {error}") from error
        if entry.kind != "Genesis" or entry.index != 1:
            raise Untrusted("the pinned entry is not the first one of a log")
        return cls(header, membership.origin, membership.members)

    def verify(self, note: bytes) -> Checkpoint:
        """The checkpoint of a note that a majority signed; `follow` must accept it too. Raises Untrusted."""
        try:
            return verify_note(note, self.origin, self.members)
        except CheckpointError as error:
            raise Untrusted(f"the checkpoint: {error}") from error

    def span(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """The (old, new) sizes between which `follow` needs a consistency proof."""
        return min(checkpoint.size, self.newest.size), max(checkpoint.size, self.newest.size)

    def follow(self, checkpoint: Checkpoint, proof: Sequence[bytes]) -> None:
        """Accepts a verified checkpoint that is consistent with the newest one seen, and keeps the larger.

        Raises Fork.
        """
        older, newer = sorted((self.newest, checkpoint), key=lambda point: point.size)
        try:
            verify_consistency(older.size, newer.size, older.root, newer.root, proof)
        except ProofError as error:
            raise Fork(f"checkpoints of {older.size} and {newer.size} entries: {error}") from error
        self.newest = newer

    def resume(self, checkpoint: Checkpoint) -> None:
        """Takes up where an earlier run stopped: `checkpoint` is one that this client itself accepted and kept."""
        if checkpoint.origin == self.origin and checkpoint.size > self.newest.size:
            self.newest = checkpoint

    def entry(self, header: bytes, public: bytes, index: int, checkpoint: Checkpoint, proof: Sequence[bytes]) -> Entry:
        """Entry `index`, proven to be in the tree of an accepted checkpoint. Raises Untrusted."""
        try:
            entry = parse(header, public)
            verify_inclusion(leaf_hash(header), index - 1, checkpoint.size, proof, checkpoint.root)
        except (EntryError, ProofError) as error:
            raise Untrusted(f"entry {index}: {error}") from error
        if entry.index != index:
            raise Untrusted(f"entry {index} calls itself {entry.index}")
        return entry

    def receipt(self, text: bytes, body: bytes) -> tuple[int, Checkpoint]:
        """The index of the entry that a receipt proves to hold exactly this ballot, and the checkpoint, yet to follow.

        Raises Untrusted when anything about it is amiss: then the vote must not be called recorded.
        """
        try:
            receipt = receipts.parse(text)
            checkpoint = receipts.verify(receipt, self.origin, self.members)
            index, _, _, kind, _, digest, _ = parse_frame("entry", receipt.header, 7)
            if read_u64(index) != receipt.index + 1:
                raise Untrusted("the receipt's entry stands at another place")
        except (receipts.ReceiptError, FrameError) as error:
            raise Untrusted(f"the receipt: {error}") from error
        if kind != b"BallotCast":
            raise Untrusted("the receipt is not for a cast")
        if not hmac.compare_digest(private_digest(body, receipt.salt), digest):
            raise Untrusted("the receipt is for another ballot")
        return receipt.index + 1, checkpoint
