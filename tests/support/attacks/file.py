"""Attacks by anyone who holds the export: its records and its bytes are changed, nothing is signed anew."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

from ballot.ledger.checkpoint import Checkpoint, assemble, decode_base64, encode_base64, rsa_line
from ballot.ledger.frame import frame, parse_frame, u64
from ballot.replay.export import MAGIC, CheckpointRecord, EndRecord, EntryRecord, Record, write_records
from ballot.voting.blind import BlindSigner, blind, finalize
from tests.support.attacks.base import Attack, Export, Make, flipped
from tests.support.log_builder import (
    NODE_NAMES,
    ORIGIN,
    Draft,
    ElectionLog,
    Sealer,
    genesis,
    key,
    modulus,
    seal_drafts,
    sign_note,
    sign_point,
)

PLACE = 9


def as_bytes(export: Export) -> bytes:
    """The file."""
    if isinstance(export, bytes):
        return export
    stream = io.BytesIO()
    write_records(stream, export)
    return stream.getvalue()


def entries_in(records: list[Record]) -> list[int]:
    return [place for place, record in enumerate(records) if isinstance(record, EntryRecord)]


def notes_in(records: list[Record]) -> list[int]:
    return [place for place, record in enumerate(records) if isinstance(record, CheckpointRecord)]


# -- entries


def dropped(log: ElectionLog) -> list[Record]:
    records = log.records()
    del records[entries_in(records)[PLACE]]
    return records


def doubled(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = entries_in(records)[PLACE]
    return [*records[: place + 1], records[place], *records[place + 1 :]]


def reordered(log: ElectionLog) -> list[Record]:
    records = log.records()
    one, two = entries_in(records)[PLACE - 1 : PLACE + 1]
    records[one], records[two] = records[two], records[one]
    return records


def altered(change: Callable[[EntryRecord], EntryRecord]) -> Make:
    """Entry PLACE + 1 is another one."""

    def make(log: ElectionLog) -> list[Record]:
        records = log.records()
        place = entries_in(records)[PLACE]
        record = records[place]
        assert isinstance(record, EntryRecord)
        records[place] = change(record)
        return records

    return make


def with_field(number: int, change: Callable[[bytes], bytes]) -> Callable[[EntryRecord], EntryRecord]:
    """One field of the header is another one, the frame is whole."""

    def made(record: EntryRecord) -> EntryRecord:
        fields = parse_frame("entry", record.header, 7)
        fields[number] = change(fields[number])
        return EntryRecord(frame("entry", *fields), record.public)

    return made


def later(stamp: bytes) -> bytes:
    return u64(int.from_bytes(stamp, "big") + 1)


def spliced(log: ElectionLog) -> list[Record]:
    """An entry is taken from another ledger of the same nodes, whole and in its place."""
    drafts = [replace(log.drafts[0], public=log.drafts[0].public | {"last_id": 9}), *log.drafts[1:]]
    records, others = log.records(), seal_drafts(drafts)
    place = entries_in(records)[PLACE]
    records[place] = others[place]
    return records


def tail_cut(log: ElectionLog) -> list[Record]:
    """The last entries are left out, and the end says so."""
    records = log.records()
    last = entries_in(records)[-1]
    kept = records[:last]
    return [*kept, EndRecord(len(entries_in(kept)), len(entries_in(kept)))]


# -- the file


def wrong_end(log: ElectionLog) -> list[Record]:
    return [*log.records()[:-1], EndRecord(1000, 1000)]


def after_the_end(log: ElectionLog) -> list[Record]:
    records = log.records()
    return [*records, records[0]]


def cut_within(log: ElectionLog) -> bytes:
    return as_bytes(log.records())[:5000]


def other_magic(log: ElectionLog) -> bytes:
    return as_bytes(log.records()).replace(MAGIC, b"ballot-export/v2\n", 1)


def long_record(log: ElectionLog) -> bytes:
    """The length of the first record says more than there may be."""
    data = bytearray(as_bytes(log.records()))
    data[len(MAGIC)] = 0xFF
    return bytes(data)


def other_record(log: ElectionLog) -> bytes:
    """A record of a type that is not known: `ensry`."""
    return as_bytes(log.records()).replace(b"\xa5entry", b"\xa5ensry", 1)


# -- checkpoints


def with_note(number: int, change: Callable[[ElectionLog, bytes, int], bytes]) -> Make:
    """One checkpoint is another; `change(log, note, size)` gives it."""

    def make(log: ElectionLog) -> list[Record]:
        records = log.records()
        place = notes_in(records)[number]
        record, size = records[place], len(entries_in(records[:place]))
        assert isinstance(record, CheckpointRecord)
        records[place] = CheckpointRecord(change(log, record.note, size))
        return records

    return make


def rolled_back(log: ElectionLog) -> list[Record]:
    """The last checkpoint is replaced by an earlier one, rightly signed."""
    records = log.records()
    notes = notes_in(records)
    records[notes[-1]] = records[notes[-3]]
    return records


def twice(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = notes_in(records)[3]
    return [*records[: place + 1], records[place], *records[place + 1 :]]


def elsewhere(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = notes_in(records)[3]
    records[place - 1], records[place] = records[place], records[place - 1]
    return records


def no_checkpoints(log: ElectionLog) -> list[Record]:
    count = len(log.entries)
    return [*(one for one in log.records() if isinstance(one, EntryRecord)), EndRecord(count, 0)]


def signatures_swapped(log: ElectionLog) -> list[Record]:
    records = log.records()
    first, second = notes_in(records)[2:4]
    one, two = records[first], records[second]
    assert isinstance(one, CheckpointRecord) and isinstance(two, CheckpointRecord)
    records[first] = CheckpointRecord(head_of(one.note) + b"\n\n" + tail_of(two.note))
    return records


def head_of(note: bytes) -> bytes:
    return note.partition(b"\n\n")[0]


def tail_of(note: bytes) -> bytes:
    return note.partition(b"\n\n")[2]


def lines_of(note: bytes) -> list[str]:
    return tail_of(note).decode().splitlines()


def by_minority(log: ElectionLog, note: bytes, size: int) -> bytes:
    """Signed by one node of three."""
    return sign_note(log.sealer.tree, size, cosigners=(0,))


def padded_majority(log: ElectionLog, note: bytes, size: int) -> bytes:
    """One node's line stands there twice."""
    point = Checkpoint(ORIGIN, size, log.sealer.tree.root(size))
    lines = lines_of(sign_note(log.sealer.tree, size, cosigners=(0,)))
    return assemble(point, [*lines, lines[-1]])


def renamed(log: ElectionLog, note: bytes, size: int) -> bytes:
    """Node 2's cosignature stands under the name of node 3."""
    return note.replace(NODE_NAMES[1].encode(), NODE_NAMES[2].encode())


def without_leader(log: ElectionLog, note: bytes, size: int) -> bytes:
    return assemble(Checkpoint(ORIGIN, size, log.sealer.tree.root(size)), lines_of(note)[1:])


def other_root(log: ElectionLog, note: bytes, size: int) -> bytes:
    """Rightly signed, for another tree of that size: a majority signed two logs."""
    return sign_point(Checkpoint(ORIGIN, size, bytes(32)), (0, 1))


def other_origin(log: ElectionLog, note: bytes, size: int) -> bytes:
    return sign_point(Checkpoint("ballot.example/other", size, log.sealer.tree.root(size)), (0, 1))


def signed_by_registrar(log: ElectionLog, note: bytes, size: int) -> bytes:
    """The registrar is made to sign the checkpoint blindly, as if it were a credential; it is put in as node 1's."""
    point = Checkpoint(ORIGIN, size, log.sealer.tree.root(size))
    blinded = blind(modulus("registrar"), point.body())
    answer = BlindSigner(key("registrar")).sign(blinded.message)
    signature = finalize(modulus("registrar"), point.body(), answer, blinded.inverse)
    true_line, *others = lines_of(note)
    return assemble(point, [with_signature(true_line, signature), *others])


def with_signature(line: str, signature: bytes) -> str:
    """The line with this signature under the same key id."""
    dash, name, blob = line.split(" ")
    return f"{dash} {name} {encode_base64(decode_base64(blob)[:4] + signature)}"


def signed_by_stranger(log: ElectionLog, note: bytes, size: int) -> bytes:
    """An outsider's key signs in node 1's name."""
    point = Checkpoint(ORIGIN, size, log.sealer.tree.root(size))
    return assemble(point, [rsa_line(key("identity3"), NODE_NAMES[0], point), *lines_of(note)[1:]])


def other_stamp(log: ElectionLog, note: bytes, size: int) -> bytes:
    """A cosignature claims another time than was signed."""
    point = Checkpoint(ORIGIN, size, log.sealer.tree.root(size))
    first, second, third = lines_of(note)
    dash, name, blob = second.split(" ")
    second = f"{dash} {name} {encode_base64(flipped(decode_base64(blob), 11))}"
    return assemble(point, [first, second, third])


# -- whole logs


def fork(log: ElectionLog) -> list[Record]:
    """Another history, in order by itself, under the checkpoints of the true one."""
    drafts = list(log.drafts)
    place = log.find("RoleGranted")
    drafts[place] = drafts[place].but(role="admin")
    forked = seal_drafts(drafts)
    notes = iter([record for record in log.records() if isinstance(record, CheckpointRecord)])
    return [next(notes) if isinstance(record, CheckpointRecord) else record for record in forked]


def second_genesis(log: ElectionLog) -> list[Record]:
    """A later genesis hands the ledger to the attacker's nodes."""
    nodes = log.drafts[0].public["nodes"]
    other = Draft("Genesis", {"origin": "ballot.example/other", "nodes": nodes})
    return seal_drafts([*log.drafts[:5], other, *log.drafts[5:]])


def without_genesis(log: ElectionLog) -> list[Record]:
    return seal_drafts(log.drafts[1:])


def made_up(log: ElectionLog) -> list[Record]:
    """A whole ledger, in order from end to end, with a genesis of the attacker's own."""
    sealer = Sealer()
    sealer.append(Draft("Genesis", genesis().public | {"last_id": 7}))
    for draft in log.drafts[1:3]:
        sealer.append(draft)
    note = CheckpointRecord(sign_note(sealer.tree, 3))
    return [*(EntryRecord(one.header, one.public) for one in sealer.entries), note, EndRecord(3, 3)]


SIGNED = "CheckpointSignature"
FILE: dict[str, Attack] = {
    "an entry is dropped": Attack("chain", "ChainBroken", dropped, 10),
    "an entry is doubled": Attack("chain", "ChainBroken", doubled, 11),
    "two entries change places": Attack("chain", "ChainBroken", reordered, 9),
    "an entry of another ledger is put in": Attack("chain", "ChainBroken", spliced, 10),
    "a payload is altered": Attack(
        "structure", "MalformedEntry", altered(lambda one: EntryRecord(one.header, flipped(one.public))), 10
    ),
    "a header's time is altered": Attack("chain", "ChainBroken", altered(with_field(2, later)), 11),
    "a header's index is altered": Attack("chain", "ChainBroken", altered(with_field(0, later)), 10),
    "a header's private digest is altered": Attack(
        "chain", "ChainBroken", altered(with_field(5, lambda digest: bytes(32))), 11
    ),
    "a header's link is altered": Attack("chain", "ChainBroken", altered(with_field(6, flipped)), 10),
    "a header's kind is altered": Attack(
        "structure", "UnknownKind", altered(with_field(3, lambda kind: kind.lower())), 10
    ),
    "a header has a byte too many": Attack(
        "structure", "MalformedEntry", altered(lambda one: EntryRecord(one.header + b"\0", one.public)), 10
    ),
    "the last entry is cut off": Attack("chain", "EndNotCovered", tail_cut, 33),
    "the closing record is cut off": Attack("structure", "ExportBreaksOff", lambda log: log.records()[:-1], 34),
    "the closing record is another": Attack("structure", "EndDiffers", wrong_end, 34),
    "a record follows the end": Attack("structure", "MalformedExport", after_the_end, 35),
    "the file is cut within a record": Attack("structure", "MalformedExport", cut_within, 8),
    "the file calls itself another format": Attack("structure", "MalformedExport", other_magic, 1),
    "a record is longer than any may be": Attack("structure", "MalformedExport", long_record, 1),
    "a record is of an unknown type": Attack("structure", "MalformedExport", other_record, 1),
    "the last checkpoint is rolled back": Attack("chain", "CheckpointRolledBack", rolled_back, 34),
    "a checkpoint is doubled": Attack("chain", "CheckpointRolledBack", twice, 16),
    "a checkpoint stands elsewhere": Attack("chain", "CheckpointMisplaced", elsewhere, 15),
    "all checkpoints are removed": Attack("chain", "EndNotCovered", no_checkpoints, 34),
    "a checkpoint is garbled": Attack("structure", "MalformedCheckpoint", with_note(3, lambda *_: b"not a note"), 16),
    "a minority signed the checkpoint": Attack("signatures", SIGNED, with_note(-1, by_minority), 34),
    "a node's line is doubled to make a majority": Attack("signatures", SIGNED, with_note(3, padded_majority), 16),
    "a node's line is put under another's name": Attack("signatures", SIGNED, with_note(3, renamed), 16),
    "the leader's signature is left out": Attack("signatures", SIGNED, with_note(3, without_leader), 16),
    "the signatures are another checkpoint's": Attack("signatures", SIGNED, signatures_swapped, 12),
    "a cosignature claims another time": Attack("signatures", SIGNED, with_note(3, other_stamp), 16),
    "the registrar's key signs a checkpoint": Attack("signatures", SIGNED, with_note(3, signed_by_registrar), 16),
    "a stranger's key signs a checkpoint": Attack("signatures", SIGNED, with_note(3, signed_by_stranger), 16),
    "a checkpoint is of another ledger": Attack("signatures", SIGNED, with_note(3, other_origin), 16),
    "a checkpoint signs another root": Attack("chain", "RootDiffers", with_note(3, other_root), 16),
    "the log is a fork": Attack("chain", "RootDiffers", fork, 4),
    "a second genesis brings other nodes": Attack("chain", "GenesisRepeated", second_genesis, 6),
    "the genesis is gone": Attack("chain", "GenesisMissing", without_genesis, 1),
    "the whole ledger is made up": Attack("chain", "GenesisDiffers", made_up, 1, pinned=True),
}
