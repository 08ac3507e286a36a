"""Trust: what a client believes about the log, and why. Bytes go in, conviction comes out; nothing here does I/O.

It starts from the pinned genesis entry, which names the log and its nodes. A checkpoint counts if a majority of the
members in force at its size signed it and if it continues the newest one seen: else the cluster shows different people
different logs. Members change as `ledger/succession.py` says: each list is put in force by those of the one before.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..ledger import receipt as receipts
from ..ledger import succession as lists
from ..ledger.checkpoint import Checkpoint, CheckpointError
from ..ledger.entry import Entry, EntryError, decode_map, encode_map, parse, private_digest
from ..ledger.frame import FrameError, parse_frame, read_u64
from ..ledger.membership import Membership, MembershipError, membership_of
from ..ledger.proof import ProofError, leaf_hash, verify_consistency, verify_inclusion
from ..ledger.succession import Handover, Succession, SuccessionError


class Untrusted(Exception):
    """What a node showed is not proven; the message says what fails."""


class Fork(Untrusted):
    """Two majority-signed checkpoints that cannot be of one log: evidence against the cluster, to be kept."""


class Recovered(Untrusted):
    """A node shows that the cluster lost its majority and was recovered by its operator, without signatures of those
    who were members. Nothing about it is proven.

    `entry_hash` (32 bytes) names the entry. Compare it with what the operator published elsewhere; only then
    `Trust.accept_recovery(entry_hash)` and try again.
    """

    def __init__(self, error: lists.Recovered) -> None:
        super().__init__(str(error))
        self.entry_hash = error.entry.hash


@dataclass(frozen=True)
class ShownChange:
    """A membership entry as a node shows it, with proofs in the tree of a newer checkpoint.

    `inclusion` is the entry's proof, `announced` that of its `announcement` (None for a recovery), and `consistency`
    leads from the checkpoint that the entry carries to the newer one.
    """

    entry: Entry
    inclusion: Sequence[bytes]
    announcement: Entry | None = None
    announced: Sequence[bytes] = ()
    consistency: Sequence[bytes] = ()


class Trust:
    """`genesis_header` is entry 1's header, `founders` the members it names.

    `newest` is the largest checkpoint seen; before the first, the tree that holds the genesis entry alone, so even the
    first checkpoint must prove that it starts with the pinned entry. `succession` has the members believed so far.
    `step` is what was the newest before the last checkpoint was followed, and the consistency proof between the two.
    """

    def __init__(self, genesis_header: bytes, founders: Membership) -> None:
        self.origin = founders.origin
        self.genesis_hash = sha256(genesis_header).digest()
        self.newest = Checkpoint(self.origin, 1, leaf_hash(genesis_header))
        self.succession = Succession.founded(founders)
        self.step: tuple[Checkpoint, tuple[bytes, ...]] = (self.newest, ())
        self._accepted: set[bytes] = set()

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
        return cls(header, membership)

    def verify(self, note: bytes) -> Checkpoint:
        """The checkpoint of a note that a majority of the members believed in at its size signed; `follow` must accept
        it too. Raises Untrusted: members may also have changed, see `follow_changes`.
        """
        return _verify(self.succession, note)

    def accept_recovery(self, entry_hash: bytes) -> None:
        """From now on the list of the `ClusterRecovered` entry with this hash is believed where the log has it."""
        if len(entry_hash) != 32:
            raise ValueError("an entry's hash has 32 bytes")
        self._accepted.add(entry_hash)

    def follow_changes(self, changes: Sequence[ShownChange], note: bytes, proof: Sequence[bytes]) -> Checkpoint:
        """Believes changes of members, given in order, and the checkpoint of `note`, which covers them.

        Each must have been announced in a log that a majority of the members before it signed, the last ones must have
        signed `note`, all of it must be one log, and that must continue what was seen: `proof` is as for `follow`.
        Either all is believed or nothing. Raises Untrusted, Recovered, Fork.
        """
        succession, handovers = self._approved(changes)
        checkpoint = _verify(succession, note)
        before = self.newest
        newest = self._continued(checkpoint, proof)
        for change, handover in zip(changes, handovers, strict=True):
            _check_included(change.entry, checkpoint, change.inclusion)
            if handover is not None:
                _check_handover(change, handover, checkpoint)
        self.succession, self.newest, self.step = succession, newest, (before, tuple(proof))
        return checkpoint

    def _approved(self, changes: Sequence[ShownChange]) -> tuple[Succession, list[Handover | None]]:
        succession, handovers = self.succession, list[Handover | None]()
        try:
            for change in changes:
                succession, handover = succession.after(change.entry, self._accepted)
                handovers.append(handover)
        except lists.Recovered as error:
            raise Recovered(error) from error
        except SuccessionError as error:
            raise Untrusted(f"the members: {error}") from error
        return succession, handovers

    def span(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """The (old, new) sizes between which `follow` needs a consistency proof."""
        return min(checkpoint.size, self.newest.size), max(checkpoint.size, self.newest.size)

    def follow(self, checkpoint: Checkpoint, proof: Sequence[bytes]) -> None:
        """Accepts a verified checkpoint that is consistent with the newest one seen, and keeps the larger.

        Raises Fork.
        """
        self.newest, self.step = self._continued(checkpoint, proof), (self.newest, tuple(proof))

    def _continued(self, checkpoint: Checkpoint, proof: Sequence[bytes]) -> Checkpoint:
        older, newer = sorted((self.newest, checkpoint), key=lambda point: point.size)
        _check_continues(older, newer, proof)
        return newer

    def kept(self) -> bytes:
        """The lists of members, for a later `resume`."""
        return encode_map({"lists": [[index, one.to_fields()] for index, one in self.succession.lists]})

    def resume(self, checkpoint: Checkpoint | None, kept: bytes | None = None) -> None:
        """Takes up where an earlier run stopped: `checkpoint` is one that this client itself accepted and kept, `kept`
        what it had of `kept()`. What is of another log is passed over. Raises Untrusted when `kept` does not parse.
        """
        if checkpoint is not None and checkpoint.origin == self.origin and checkpoint.size > self.newest.size:
            self.newest = checkpoint
        if kept is not None:
            found = _read_kept(kept)
            if found[:1] == self.succession.lists[:1]:
                self.succession = Succession(found)

    def entry(self, header: bytes, public: bytes, index: int, checkpoint: Checkpoint, proof: Sequence[bytes]) -> Entry:
        """Entry `index`, proven to be in the tree of an accepted checkpoint. Raises Untrusted."""
        try:
            entry = parse(header, public)
        except EntryError as error:
            raise Untrusted(f"entry {index}: {error}") from error
        if entry.index != index:
            raise Untrusted(f"entry {index} calls itself {entry.index}")
        _check_included(entry, checkpoint, proof)
        return entry

    def receipt(self, text: bytes, body: bytes) -> tuple[int, Checkpoint]:
        """The index of the entry that a receipt proves to hold exactly this ballot, and the checkpoint, yet to follow.

        Raises Untrusted when anything about it is amiss: then the vote must not be called recorded.
        """
        try:
            receipt = receipts.parse(text)
            checkpoint = receipts.verify(receipt, self.origin, self.succession.signers(receipt.note))
            index, _, _, kind, _, digest, _ = parse_frame("entry", receipt.header, 7)
            if read_u64(index) != receipt.index + 1:
                raise Untrusted("the receipt's entry stands at another place")
        except (receipts.ReceiptError, CheckpointError, FrameError) as error:
            raise Untrusted(f"the receipt: {error}") from error
        if kind != b"BallotCast":
            raise Untrusted("the receipt is not for a cast")
        if not hmac.compare_digest(private_digest(body, receipt.salt), digest):
            raise Untrusted("the receipt is for another ballot")
        return receipt.index + 1, checkpoint


def note_of(receipt: bytes) -> bytes:
    """The note in a receipt's text, unverified. Raises Untrusted."""
    try:
        return receipts.parse(receipt).note
    except receipts.ReceiptError as error:
        raise Untrusted(f"the receipt: {error}") from error


def _verify(succession: Succession, note: bytes) -> Checkpoint:
    try:
        return succession.verify(note)
    except CheckpointError as error:
        raise Untrusted(f"the checkpoint: {error}") from error


def _check_continues(older: Checkpoint, newer: Checkpoint, proof: Sequence[bytes]) -> None:
    try:
        verify_consistency(older.size, newer.size, older.root, newer.root, proof)
    except ProofError as error:
        raise Fork(f"checkpoints of {older.size} and {newer.size} entries: {error}") from error


def _check_included(entry: Entry, checkpoint: Checkpoint, proof: Sequence[bytes]) -> None:
    try:
        verify_inclusion(leaf_hash(entry.header), entry.index - 1, checkpoint.size, proof, checkpoint.root)
    except ProofError as error:
        raise Untrusted(f"entry {entry.index}: {error}") from error


def _check_handover(change: ShownChange, handover: Handover, checkpoint: Checkpoint) -> None:
    """The members before the change signed this very log, and what they signed announces the change."""
    _check_continues(handover.checkpoint, checkpoint, change.consistency)
    try:
        handover.check(change.announcement)
    except SuccessionError as error:
        raise Untrusted(f"the members: {error}") from error
    assert change.announcement is not None
    _check_included(change.announcement, checkpoint, change.announced)


def _read_kept(kept: bytes) -> tuple[tuple[int, Membership], ...]:
    try:
        return tuple((int(index), membership_of(fields)) for index, fields in decode_map(kept)["lists"])
    except (EntryError, MembershipError, KeyError, TypeError, ValueError) as error:
        raise Untrusted(f"the members kept from an earlier run do not parse: {error}") from error
