"""An export from a running node, as one unbroken row of records whatever happens to the connection.

It goes on where it broke, at the last entry it has: that one is asked for once more and must come back byte for byte.
Its header commits to everything before it, so whatever follows continues the same log, be it from another node or from
a log that has grown since. A node that is behind, busy or away is asked again for a while, once
it has answered at all.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..ledger.checkpoint import CheckpointError, read_note
from ..ledger.entry import ZERO_HASH, EntryError, prev_hash_of
from .answer import Answer, Gone, SourceError, open_url, read_checkpoint
from .export import (
    MAGIC,
    CheckpointRecord,
    CutShort,
    EndRecord,
    EntryRecord,
    ExportError,
    Record,
    pack,
    read_magic,
    read_record,
)

PART = ".part"
PATIENCE_S = 60.0
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)

Told = Callable[[int, int], None]
"""`told(done, total)` while a source is read: bytes of a file or folder, entries of a node. 0: not known."""


@dataclass
class Progress:
    """How far an export is: the entries there are, the newest one, and how many of them a checkpoint covers."""

    count: int = 0
    newest: EntryRecord | None = None
    covered: int = 0

    def take(self, record: Record) -> None:
        """Raises SourceError for an entry that does not follow the one before, or an end that is not the end."""
        match record:
            case EntryRecord(header, _):
                if _prev_hash(header) != self._hash():
                    raise SourceError(f"entry {self.count + 1} does not continue the log")
                self.newest, self.count = record, self.count + 1
            case CheckpointRecord():
                self.covered = self.count
            case EndRecord(count, size):
                if (count, size) != (self.count, self.covered):
                    raise SourceError(f"the end says {count} entries: there are {self.count}")

    def _hash(self) -> bytes:
        return ZERO_HASH if self.newest is None else hashlib.sha256(self.newest.header).digest()


def records_of(node: str, progress: Progress, told: Told | None = None) -> Iterator[Record]:
    """What follows `progress` in the export of `node`, to the end. Each record is in `progress` when it is given out.

    `told` hears of entries. Raises ExportError, and SourceError when the node shows another log, or nothing new for a
    minute.
    """
    total, deadline, tries = _newest_size(node) if told else 0, 0.0, 0
    while True:
        before = progress.count
        try:
            with open_url(node, max(1, progress.count)) as stream:
                deadline = deadline or time.monotonic() + PATIENCE_S
                for record in _continue(stream, progress):
                    if told is not None:
                        told(progress.count, max(total, progress.count))
                    yield record
            return
        except (Gone, CutShort) as error:
            if progress.count > before:
                deadline, tries = time.monotonic() + PATIENCE_S, 0
            pause = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
            if time.monotonic() + pause > deadline:
                raise SourceError(f"{error}; entries so far: {progress.count}") from error
            tries += 1
            time.sleep(pause)


def _newest_size(node: str) -> int:
    """How many entries the export of `node` has now; 0 where it does not say."""
    try:
        return read_note(read_checkpoint(node)).size
    except (CheckpointError, SourceError):
        return 0


def _continue(stream: Answer, progress: Progress) -> Iterator[Record]:
    """The records behind `progress`; what is there already is compared and passed over."""
    number, known, covered = progress.count, progress.newest, progress.covered
    if known is None:
        read_magic(stream)
    elif read_record(stream, number) != known:
        raise SourceError(f"entry {progress.count} is another one here: this is not the log that was downloaded before")
    while True:
        number += 1
        record = read_record(stream, number)
        repeated = isinstance(record, CheckpointRecord) and progress.count == covered
        if not repeated:
            progress.take(record)
            yield record
        if isinstance(record, EndRecord):
            return


def _prev_hash(header: bytes) -> bytes:
    try:
        return prev_hash_of(header)
    except EntryError as error:
        raise SourceError(str(error)) from error


def download(node: str, file: Path, told: Told | None = None) -> Progress:
    """The export of `node` into `file`, which is replaced only by a whole one.

    Until then it grows in `FILE.part`; if that is there from an earlier run, it goes on from its last whole record.
    Raises SourceError and ExportError (the part stays), OSError.
    """
    beside = file.with_name(file.name + PART)
    with open(os.open(beside, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as part:
        progress = _taken_up(part)
        for record in records_of(node, progress, told):
            part.write(pack(record))
        part.flush()
        os.fsync(part.fileno())
    beside.replace(file)
    return progress


def _taken_up(part: BinaryIO) -> Progress:
    """What a part holds; it is cut behind its last whole record. One that is no export is begun anew."""
    progress, place = Progress(), 0
    try:
        read_magic(part)
        place = len(MAGIC)
        while True:
            record = read_record(part, progress.count + 1)
            if isinstance(record, EndRecord):
                break
            progress.take(record)
            place = part.tell()
    except (ExportError, SourceError):
        pass
    part.truncate(place)
    part.seek(place)
    if not place:
        part.write(MAGIC)
    return progress
