"""The export: the public part of the log in one file that needs nothing else to be verified.

    file    = magic record* end
    magic   = "ballot-export/v1\\n"                                17 bytes
    record  = u32 length, big-endian ‖ msgpack array of that length

    ["entry", header, public]     one a log entry, in the order of the log, from entry 1 on; both are binary:
                                  header is the Merkle leaf, public the msgpack map whose SHA-256 is in it
    ["checkpoint", note]          a C2SP signed note, right behind the entry that completes its size; every
                                  checkpoint that the exporting node holds is in, none is left out
    ["end", count, size]          the last record: how many entries there were, and how many of them the last
                                  checkpoint covers

Private parts are not in it. Nothing follows the end, and no record is longer than MAX_RECORD bytes. A file
written by a node ends at its newest checkpoint, so `count` equals `size`. Nothing in it is believed for being
there: `replay.audit` does the believing. Reading and writing take memory for one record at a time.

A node also gives the end of the file alone, from the record of entry N on (`?from=N`): every node has the same entries,
so what one gave can be continued by another, or by the same one when the log is longer. Nodes may hold different
checkpoints; any of them will do. `replay.download` does that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec

from ..ledger.checkpoint import MAX_NOTE_BYTES
from ..ledger.entry import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:  # An auditor reads exports without having a database driver.
    from psycopg import AsyncConnection

MAGIC = b"ballot-export/v1\n"
MAX_RECORD = MAX_PAYLOAD_BYTES + MAX_NOTE_BYTES
LENGTH_BYTES = 4
FETCH_ROWS = 64
CHUNK_BYTES = 64 * 1024

Count = Annotated[int, msgspec.Meta(ge=0)]


class ExportError(ValueError):
    """The bytes are no export. `record` counts from 1; 0 is the magic line."""

    def __init__(self, record: int, reason: str) -> None:
        super().__init__(f"record {record}: {reason}")
        self.record = record


class CutShort(ExportError):
    """The bytes end where more should come."""


class NoCheckpoint(Exception):
    """No majority has signed anything yet: there is nothing that an export could prove."""


# As they are in the file: arrays with a name in front, which msgspec reads several times as fast as we could.
class EntryRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="entry"):
    header: bytes
    public: bytes


class CheckpointRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="checkpoint"):
    note: bytes


class EndRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="end"):
    """`count` entries, of which the last checkpoint covers `size`."""

    count: Count
    size: Count


Record = EntryRecord | CheckpointRecord | EndRecord

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


class Readable(Protocol):
    """A file, a pipe or an HTTP answer."""

    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    def write(self, data: bytes, /) -> Any: ...


def pack(record: Record) -> bytes:
    """One record with its length."""
    data = _ENCODER.encode(record)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class ExportWriter:
    """Writes the magic line at once, then what it is given; `finish` adds the closing record."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._count = self._covered = 0
        stream.write(MAGIC)

    def entry(self, header: bytes, public: bytes) -> None:
        self._stream.write(pack(EntryRecord(header, public)))
        self._count += 1

    def checkpoint(self, note: bytes) -> None:
        """Right after the entry that completes its size."""
        self._stream.write(pack(CheckpointRecord(note)))
        self._covered = self._count

    def finish(self) -> None:
        self._stream.write(pack(EndRecord(self._count, self._covered)))


def write_records(stream: Writable, records: Iterable[Record]) -> None:
    """Writes the magic line and these records as they are, the closing one included."""
    stream.write(MAGIC)
    for record in records:
        stream.write(pack(record))


def read_export(stream: Readable) -> Iterator[Record]:
    """The records of an export, as they are read. Raises ExportError for anything `ExportWriter` would not write."""
    read_magic(stream)
    number = count = covered = 0
    while True:
        number += 1
        record = read_record(stream, number)
        yield record
        if isinstance(record, EntryRecord):
            count += 1
        elif isinstance(record, CheckpointRecord):
            covered = count
        else:
            break
    if record != EndRecord(count, covered):
        raise ExportError(number, f"the end says {record.count} entries, {record.size} covered: {count}, {covered}")
    if _read(stream, 1):
        raise ExportError(number, "bytes follow the end")


def read_magic(stream: Readable) -> None:
    """Raises ExportError unless an export begins here."""
    found = _read(stream, len(MAGIC))
    if found != MAGIC:
        raise (CutShort if MAGIC.startswith(found) else ExportError)(0, "not a ballot export of version 1")


def read_record(stream: Readable, number: int) -> Record:
    """The next record, by itself; `number` is for the error. Raises ExportError, also where the bytes end."""
    prefix = _read(stream, LENGTH_BYTES)
    if not prefix:
        raise CutShort(number, "the export ends without a closing record")
    length = int.from_bytes(prefix, "big")
    if len(prefix) < LENGTH_BYTES:
        raise CutShort(number, "a length is cut short")
    if length > MAX_RECORD:
        raise ExportError(number, "a length is too large")
    data = _read(stream, length)
    if len(data) < length:
        raise CutShort(number, "the record is cut short")
    try:
        return _DECODER.decode(data)
    except msgspec.ValidationError as error:
        raise ExportError(number, f"not an entry, a checkpoint or the end: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExportError(number, f"not msgpack: {error}") from error


def _read(stream: Readable, size: int) -> bytes:
    """Exactly `size` bytes, fewer only at the end: a pipe may give less than it was asked for."""
    data = stream.read(size)
    while data and len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data


async def exportable(connection: AsyncConnection[Any], last: int) -> int:
    """The size of the newest checkpoint that covers nothing beyond entry `last`; 0 when there is none."""
    query = "select coalesce(max(size), 0) from ledger_checkpoint where size <= %s"
    row = await (await connection.execute(query, (last,))).fetchone()
    assert row is not None
    return int(row[0])


async def stream_export(connection: AsyncConnection[Any], last: int, first: int = 1) -> AsyncIterator[bytes]:
    """The export of this node's log in pieces of some 64 KiB, up to the newest checkpoint at or below `last`.

    From entry `first` on; the magic line is there only if that is 1.
    `last` is the applied index. The connection is used by nobody else meanwhile and is not inside a transaction.
    Raises NoCheckpoint before the first piece, and psycopg.Error.
    """
    size = await exportable(connection, last)
    if size == 0:
        raise NoCheckpoint("no checkpoint has been signed yet")
    piece = bytearray(MAGIC if first == 1 else b"")
    async with connection.transaction(), connection.cursor(name="export") as cursor:
        cursor.itersize = FETCH_ROWS
        await cursor.execute(
            "select header, public, note from ledger_entry as entry"
            " left join ledger_checkpoint as checkpoint on checkpoint.size = entry.index"
            " where entry.index between %s and %s order by entry.index",
            (first, size),
            binary=True,
        )
        async for header, public, note in cursor:
            piece += pack(EntryRecord(header, public))
            if note is not None:
                piece += pack(CheckpointRecord(note))
            if len(piece) >= CHUNK_BYTES:
                yield bytes(piece)
                piece.clear()
    yield bytes(piece + pack(EndRecord(size, size)))
