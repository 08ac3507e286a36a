"""The export file: what goes in comes out, and nothing else is taken for one."""

import io
from itertools import pairwise

import msgpack
import pytest

from ballot.replay.export import (
    MAGIC,
    MAX_RECORD,
    CheckpointRecord,
    EndRecord,
    EntryRecord,
    ExportError,
    ExportWriter,
    Record,
    pack,
    read_export,
    write_records,
)

RECORDS: list[Record] = [
    EntryRecord(b"header 1", b"public 1"),
    CheckpointRecord(b"note 1"),
    EntryRecord(b"header 2", b""),
    EntryRecord(b"header 3", b"public 3"),
    CheckpointRecord(b"note 2"),
    EndRecord(3, 3),
]


def written(records: list[Record]) -> bytes:
    stream = io.BytesIO()
    write_records(stream, records)
    return stream.getvalue()


def read(data: bytes) -> list[Record]:
    return list(read_export(io.BytesIO(data)))


def raw(fields: object) -> bytes:
    data: bytes = msgpack.packb(fields)
    return len(data).to_bytes(4, "big") + data


def refused(data: bytes, reason: str) -> ExportError:
    with pytest.raises(ExportError, match=reason) as caught:
        read(data)
    return caught.value


def test_records_go_there_and_back() -> None:
    assert read(written(RECORDS)) == RECORDS


def test_the_writer_counts_for_itself() -> None:
    stream = io.BytesIO()
    writer = ExportWriter(stream)
    writer.entry(b"header 1", b"public 1")
    writer.checkpoint(b"note 1")
    writer.entry(b"header 2", b"")
    writer.finish()
    assert read(stream.getvalue()) == [*RECORDS[:3], EndRecord(2, 1)]


def test_a_record_is_its_length_and_an_array() -> None:
    assert written(RECORDS[:1]) == MAGIC + raw(["entry", b"header 1", b"public 1"])
    assert pack(EndRecord(3, 2)) == raw(["end", 3, 2])


def test_it_is_read_from_a_pipe_that_gives_one_byte_at_a_time() -> None:
    class Pipe:
        def __init__(self, data: bytes) -> None:
            self._file = io.BytesIO(data)

        def read(self, size: int, /) -> bytes:
            return self._file.read(min(size, 1))

    assert list(read_export(Pipe(written(RECORDS)))) == RECORDS


def test_every_cut_is_noticed() -> None:
    data = written(RECORDS)
    for end in range(len(data)):
        with pytest.raises(ExportError):
            read(data[:end])


def test_a_record_is_given_out_before_the_next_is_read() -> None:
    stream = io.BytesIO(written(RECORDS)[:-1])
    records = read_export(stream)
    assert [next(records) for _ in RECORDS[:-1]] == RECORDS[:-1]
    with pytest.raises(ExportError):
        next(records)


def test_the_error_names_the_record() -> None:
    data = written(RECORDS[:2])
    assert refused(data, "without a closing record").record == 3
    assert refused(b"other", "not a ballot export").record == 0


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (pack(RECORDS[-1]) + b"\0", "follow"),
        (pack(EndRecord(2, 2)), "the end says"),
        (pack(EndRecord(3, 1)), "the end says"),
        (raw(["entry", b"header"]), "not an entry"),
        (raw(["entry", "header", b"public"]), "not an entry"),
        (raw(["end", True, 3]), "not an entry"),
        (raw(["note", b"note"]), "not an entry"),
        (raw({}), "not an entry"),
        (b"\0\0\0\2\xc1\xc1", "not msgpack"),
        (b"\0\0\0\1\xc0", "not an entry"),
        (raw(["end", 3.0, 3]), "not an entry"),
        (raw(["end", 3, 3, 3]), "not an entry"),
        (raw(["entry", b"header", b"public", None]), "not an entry"),
        (b"\0\0\0\7\x93\xa3end\3\3\xc0"[:3] + b"\x08" + b"\x93\xa3end\3\3\xc0", "not msgpack"),
        ((MAX_RECORD + 1).to_bytes(4, "big"), "too large"),
    ],
)
def test_what_no_writer_would_write_is_refused(tail: bytes, reason: str) -> None:
    assert refused(written(RECORDS[:-1]) + tail, reason).record == 6


def test_records_stand_side_by_side() -> None:
    """Nothing between them: a resumed download may be put together at any record's end."""
    sizes = [len(written(RECORDS[:count])) for count in range(len(RECORDS) + 1)]
    assert [after - before for before, after in pairwise(sizes)] == [len(pack(record)) for record in RECORDS]
