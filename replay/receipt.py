"""A voter's receipt, checked offline: that the vote is in the log, and which vote it was.

Trust comes from a pinned genesis (the file that `ballot keys init` makes and everybody may hold) or from an export,
which also shows that the log the receipt speaks of is the log that was published.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from ..ledger.checkpoint import Checkpoint, CheckpointError, read_note
from ..ledger.entry import SALT_BYTES, Entry, EntryError, parse, private_digest
from ..ledger.frame import FrameError, parse_frame
from ..ledger.membership import ANNOUNCED, Membership, MembershipError, membership_of
from ..ledger.receipt import Receipt, ReceiptError, verify
from ..ledger.receipt import parse as parse_receipt
from ..ledger.recovery import KIND as RECOVERED
from ..ledger.succession import CHANGES, Recovered, Succession, SuccessionError
from .checks_chain import read_header
from .consistency import Older, RootAt, check_older
from .export import EntryRecord, Record
from .logtree import LogTree
from .scratch import Scratch
from .succession import Follower


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a receipt proves. `committed`: the ballot handed in is the one recorded, None when none was.

    `size` and `root` are the checkpoint's; `published`: the log of an export was found to agree with it.
    `consistent`: the size of the other checkpoint that was found to be of the same log, None when none was given.
    """

    index: int
    kind: str
    time_us: int
    size: int
    root: str
    committed: bool | None
    published: bool
    consistent: int | None


def pinned(genesis_file: bytes) -> Entry:
    """The genesis in a genesis file, F(genesis-file, header, public). Raises ReceiptError."""
    try:
        entry = parse(*parse_frame("genesis-file", genesis_file, 2))
    except (FrameError, EntryError) as error:
        raise ReceiptError(f"not a genesis file: {error}", "BadGenesis") from error
    if entry.index != 1 or entry.kind != "Genesis":
        raise ReceiptError("not a genesis file: it holds another entry", "BadGenesis")
    return entry


def check_receipt(data: bytes, genesis: Entry, body: bytes | None = None, older: Older | None = None) -> Confirmed:
    """Checks a receipt against the nodes that the genesis names.

    `body` is the ballot, F(ballot, cast, sig), `older` another checkpoint to hold the receipt against. Raises
    ReceiptError, also for a ballot that is another one. Where nodes were added, removed or rekeyed since, only an
    export can tell, see `check_in_export`.
    """
    return _check(parse_receipt(data), _founded(genesis), body, older, None)


def check_in_export(
    data: bytes,
    records: Iterable[Record],
    body: bytes | None = None,
    genesis_hash: bytes | None = None,
    accepted: Collection[bytes] = (),
    older: Older | None = None,
) -> Confirmed:
    """Checks a receipt against an export that reaches at least as far: the nodes in force, the entry, and the root.

    `genesis_hash` pins the ledger; without it the export's own genesis is believed. `accepted` are the hashes of
    recoveries to be believed too. Raises ReceiptError, ExportError.
    """
    receipt = parse_receipt(data)
    reading = _Reading(receipt, _claimed(receipt), genesis_hash, accepted)
    try:
        for record in records:
            if isinstance(record, EntryRecord):
                reading.take(record)
        return _check(receipt, reading.succession(), body, older, reading.tree.root)
    finally:
        reading.scratch.close()


class _Reading:
    """An export, read for one receipt: the tree, the members at its checkpoint, and who was lost later."""

    def __init__(
        self, receipt: Receipt, checkpoint: Checkpoint, genesis_hash: bytes | None, accepted: Collection[bytes]
    ) -> None:
        self._receipt, self._checkpoint, self._pinned = receipt, checkpoint, genesis_hash
        self._accepted = accepted
        self.scratch = Scratch()
        self.tree = LogTree(self.scratch)
        self._members: Follower | None = None
        self._differs = False
        self._recoveries: list[tuple[int, Membership]] = []
        self._unaccepted: Recovered | None = None

    def take(self, record: EntryRecord) -> None:
        self.tree.append(record.header)
        entry = read_header(record.header)
        if entry is None:
            raise ReceiptError(f"entry {self.tree.size} of the export does not parse", "MalformedExport")
        if self._members is None:
            if entry.kind != "Genesis" or self._pinned not in (None, entry.hash):
                raise ReceiptError("the export has another genesis", "OtherLog")
            self._members = Follower(_founded(_parsed(record)), self.tree, self._accepted)
        elif entry.kind in CHANGES or entry.kind == ANNOUNCED:
            self._follow(_parsed(record), self._members)
        if self.tree.size == self._receipt.index + 1:
            self._differs = record.header != self._receipt.header

    def _follow(self, entry: Entry, members: Follower) -> None:
        if entry.kind == RECOVERED:
            self._recoveries.append((entry.index, members.succession.members))
        try:
            members.entry(entry)
        except Recovered as error:
            if self.tree.size <= self._checkpoint.size:
                self._unaccepted = self._unaccepted or error
        except SuccessionError as error:
            raise ReceiptError(str(error), "NotHandedOver") from error

    def succession(self) -> Succession:
        """The members up to the checkpoint and beyond. Raises ReceiptError when the export is not the log it speaks
        of, or leads to it by a recovery that was not accepted.
        """
        size = self._checkpoint.size
        if self._differs:
            reason = f"entry {self._receipt.index + 1} of the export is another one than the receipt's"
            raise self._refusal(reason, "EntryDiffers")
        if self.tree.size < size:
            reason = f"the export ends at entry {self.tree.size}, before the receipt's {size}"
            raise self._refusal(reason, "ExportTooShort")
        if self._members is None or self.tree.root(size) != self._checkpoint.root:
            reason = "the export does not lead to the root that was signed for the receipt: two logs exist"
            raise self._refusal(reason, "TwoLogs")
        if self._unaccepted is not None:
            raise ReceiptError(str(self._unaccepted), "RecoveryNotAccepted")
        return self._members.succession

    def _refusal(self, reason: str, name: str) -> ReceiptError:
        """Of a log that was lost in a recovery, even a good receipt differs: its holder must not be called a liar."""
        for place, before in self._recoveries:
            with suppress(ReceiptError):
                verify(self._receipt, before.origin, before.members)
                there = self._receipt.index < self.tree.size and not self._differs
                fate = "but the entry is still there" if there else "and the entry with it"
                lost = f"the log it speaks of was lost, {fate}, when the cluster was recovered at entry {place}"
                return ReceiptError(f"{reason}. The receipt is good: {lost}", "LostInRecovery")
        return ReceiptError(reason, name)


def _parsed(record: EntryRecord) -> Entry:
    try:
        return parse(record.header, record.public)
    except EntryError as error:
        raise ReceiptError(f"the export: {error}", "MalformedExport") from error


def _founded(genesis: Entry) -> Succession:
    try:
        return Succession.founded(membership_of(genesis.fields))
    except (EntryError, MembershipError) as error:
        raise ReceiptError(f"the nodes cannot be read: {error}", "BadGenesis") from error


def _claimed(receipt: Receipt) -> Checkpoint:
    """The receipt's checkpoint, not verified yet."""
    try:
        return read_note(receipt.note)
    except CheckpointError as error:
        raise ReceiptError(str(error)) from error


def _check(
    receipt: Receipt, succession: Succession, body: bytes | None, older: Older | None, root_at: RootAt | None
) -> Confirmed:
    """`root_at` gives the roots of the export's log, where there is one."""
    try:
        signers = succession.signers(receipt.note)
    except CheckpointError as error:
        raise ReceiptError(str(error), "CheckpointNotSigned") from error
    checkpoint = verify(receipt, succession.origin, signers)
    entry = read_header(receipt.header)
    if entry is None or entry.index != receipt.index + 1:
        raise ReceiptError("the header is not that of an entry at the receipt's index", "WrongPlace")
    if body is not None and not _commits(entry, receipt, body):
        raise ReceiptError("the recorded ballot is not this one", "OtherBallot")
    consistent = None if older is None else check_older(older, receipt, checkpoint, succession, root_at)
    return Confirmed(
        index=entry.index,
        kind=entry.kind,
        time_us=entry.time_us,
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        committed=None if body is None else True,
        published=root_at is not None,
        consistent=consistent,
    )


def _commits(entry: Entry, receipt: Receipt, body: bytes) -> bool:
    if entry.kind != "BallotCast" or len(receipt.salt) != SALT_BYTES:
        return False
    return hmac.compare_digest(entry.private_digest, private_digest(body, receipt.salt))
