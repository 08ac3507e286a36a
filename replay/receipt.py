"""A voter's receipt, checked offline: that the vote is in the log, and which vote it was.

Trust comes from a pinned genesis (the file that `ballot keys init` makes and everybody may hold) or from an export,
which also shows that the log the receipt speaks of is the log that was published.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from ..ledger.checkpoint import Checkpoint, CheckpointError
from ..ledger.entry import SALT_BYTES, Entry, EntryError, parse, private_digest
from ..ledger.frame import FrameError, parse_frame
from ..ledger.membership import CONF_KINDS, Membership, MembershipError, membership_of
from ..ledger.receipt import Receipt, ReceiptError, verify
from ..ledger.receipt import parse as parse_receipt
from .checks_chain import read_checkpoint, read_header
from .export import EntryRecord, Record
from .logtree import LogTree


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a receipt proves. `committed`: the ballot handed in is the one recorded, None when none was.

    `size` and `root` are the checkpoint's; `published`: the log of an export was found to agree with it.
    """

    index: int
    kind: str
    time_us: int
    size: int
    root: str
    committed: bool | None
    published: bool


def pinned(genesis_file: bytes) -> Entry:
    """The genesis in a genesis file, F(genesis-file, header, public). Raises ReceiptError."""
    try:
        entry = parse(*parse_frame("genesis-file", genesis_file, 2))
    except (FrameError, EntryError) as error:
        raise ReceiptError(f"not a genesis file: {error}") from error
    if entry.index != 1 or entry.kind != "Genesis":
        raise ReceiptError("not a genesis file: it holds another entry")
    return entry


def check_receipt(data: bytes, genesis: Entry, body: bytes | None = None) -> Confirmed:
    """Checks a receipt against the nodes that the genesis names.

    `body` is the ballot, F(ballot, cast, sig). Raises ReceiptError, also for a ballot that is another one. Where nodes
    were added, removed or rekeyed since, only an export can tell, see `check_in_export`.
    """
    return _check(parse_receipt(data), _membership(genesis), body, published=False)


def check_in_export(
    data: bytes, records: Iterable[Record], body: bytes | None = None, genesis_hash: bytes | None = None
) -> Confirmed:
    """Checks a receipt against an export that reaches at least as far: the nodes in force, the entry, and the root.

    `genesis_hash` pins the ledger; without it the export's own genesis is believed. Raises ReceiptError, ExportError.
    """
    receipt = parse_receipt(data)
    checkpoint = _claimed(receipt)
    tree, membership = LogTree(), None
    try:
        for record in records:
            if tree.size >= checkpoint.size or not isinstance(record, EntryRecord):
                continue
            tree.append(record.header)
            if tree.size == receipt.index + 1 and record.header != receipt.header:
                raise ReceiptError(f"entry {tree.size} of the export is another one than the receipt's")
            membership = _follow(membership, record, tree.size, genesis_hash)
        if tree.size < checkpoint.size:
            raise ReceiptError(f"the export ends at entry {tree.size}, before the receipt's {checkpoint.size}")
        if membership is None or tree.root() != checkpoint.root:
            raise ReceiptError("the export does not lead to the root that was signed for the receipt: two logs exist")
    finally:
        tree.close()
    return _check(receipt, membership, body, published=True)


def _follow(
    membership: Membership | None, record: EntryRecord, index: int, genesis_hash: bytes | None
) -> Membership | None:
    """The members in force after this entry."""
    entry = read_header(record.header)
    if entry is None:
        raise ReceiptError(f"entry {index} of the export does not parse")
    if index == 1 and (entry.kind != "Genesis" or genesis_hash not in (None, entry.hash)):
        raise ReceiptError("the export has another genesis")
    if entry.kind not in CONF_KINDS or (entry.kind == "Genesis" and index != 1):
        return membership
    return _membership(_parsed(record))


def _parsed(record: EntryRecord) -> Entry:
    try:
        return parse(record.header, record.public)
    except EntryError as error:
        raise ReceiptError(f"the export: {error}") from error


def _membership(entry: Entry) -> Membership:
    try:
        return membership_of(entry.fields)
    except (EntryError, MembershipError) as error:
        raise ReceiptError(f"the nodes cannot be read: {error}") from error


def _claimed(receipt: Receipt) -> Checkpoint:
    """The receipt's checkpoint, not verified yet."""
    try:
        return read_checkpoint(receipt.note)
    except CheckpointError as error:
        raise ReceiptError(str(error)) from error


def _check(receipt: Receipt, membership: Membership, body: bytes | None, *, published: bool) -> Confirmed:
    checkpoint = verify(receipt, membership.origin, membership.members)
    entry = read_header(receipt.header)
    if entry is None or entry.index != receipt.index + 1:
        raise ReceiptError("the header is not that of an entry at the receipt's index")
    if body is not None and not _commits(entry, receipt, body):
        raise ReceiptError("the recorded ballot is not this one")
    return Confirmed(
        index=entry.index,
        kind=entry.kind,
        time_us=entry.time_us,
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        committed=None if body is None else True,
        published=published,
    )


def _commits(entry: Entry, receipt: Receipt, body: bytes) -> bool:
    if entry.kind != "BallotCast" or len(receipt.salt) != SALT_BYTES:
        return False
    return hmac.compare_digest(entry.private_digest, private_digest(body, receipt.salt))
