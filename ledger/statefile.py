"""A small file outside the database's directory that catches a wiped or restored database (rule R7).

It holds the node's id, its incarnation (how often it started), term and vote, written and synced on change, and the
last index it made durable, with the hash of the entry there, written without a sync except to lower it: it can lag
behind the database but never lead it. So a database that is behind this file has lost something, and must not vote
under the old id; and one that has another entry there was changed.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = bytes(32)

_MAGIC, _RECORD = b"BLSTATE2", struct.Struct(">8sIQQQQ32s")
# Files of earlier versions had no hash.
_LAYOUTS = {_MAGIC: _RECORD, b"BLSTATE1": struct.Struct(">8sIQQQQ")}
_CHECK = struct.Struct(">I")


class Amnesia(Exception):
    """The database has forgotten what this node promised or stored."""


@dataclass
class NodeState:
    node: int
    incarnation: int = 0
    term: int = 0
    vote: int = 0
    last_index: int = 0
    last_hash: bytes = UNKNOWN


class StateFile:
    def __init__(self, path: Path, node: int) -> None:
        """Opens or makes the file. Raises Amnesia when it belongs to another node or is damaged."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        data = os.pread(self._file, _RECORD.size + _CHECK.size, 0)
        self.state = self._parse(path, data) if data else NodeState(node)
        if self.state.node != node:
            raise Amnesia(f"{path} belongs to node {self.state.node}, not to node {node}")

    @staticmethod
    def _parse(path: Path, data: bytes) -> NodeState:
        record = data[: -_CHECK.size]
        layout = _LAYOUTS.get(record[:8])
        if layout is None or len(record) != layout.size or data != _checked(record):
            raise Amnesia(f"{path} is damaged")
        return NodeState(*layout.unpack(record)[1:])

    def compare(self, index: int, entry_hash: bytes) -> None:
        """Of all entries, the newest is the one that no other speaks for. Raises Amnesia when it is another now."""
        state = self.state
        if index == state.last_index and state.last_hash not in (UNKNOWN, entry_hash):
            raise Amnesia(
                f"entry {index} of the database is not the one that this node stored: it was changed, "
                "or the database is another"
            )

    def begin(self, term: int, vote: int, last_index: int, last_hash: bytes = UNKNOWN) -> int:
        """Compares the database with what was promised, counts this start, returns the incarnation. Raises Amnesia."""
        state = self.state
        # A vote that was committed just before a crash may be missing here, but none that is here may be missing there.
        vote_lost = term == state.term and state.vote not in (0, vote)
        if term < state.term or last_index < state.last_index or vote_lost:
            raise Amnesia(
                f"the database stands at term {term}, vote {vote}, entry {last_index}, behind what this node promised "
                f"(term {state.term}, vote {state.vote}, entry {state.last_index}): it was wiped or restored, and must "
                "rejoin the cluster under a new node id"
            )
        state.incarnation += 1
        state.term, state.vote, state.last_index, state.last_hash = term, vote, last_index, last_hash
        self._write(sync=True)
        return state.incarnation

    def lower(self, last_index: int) -> None:
        """Before a truncation: whether or not its COMMIT is seen, the file must not lead the database."""
        if last_index < self.state.last_index:
            self.state.last_index, self.state.last_hash = last_index, UNKNOWN
        # A power cut must not keep the truncation and forget this: the node would take itself for wiped.
        self._write(sync=True)

    @property
    def last(self) -> tuple[int, bytes]:
        """Index and hash of the last entry."""
        return self.state.last_index, self.state.last_hash

    def record(self, term: int, vote: int, last_index: int, last_hash: bytes = UNKNOWN) -> None:
        """After a COMMIT and before anything that rests on it leaves the node."""
        state = self.state
        changed = (term, vote) != (state.term, state.vote)
        state.term, state.vote, state.last_index, state.last_hash = term, vote, last_index, last_hash
        self._write(sync=changed)

    def _write(self, *, sync: bool) -> None:
        state = self.state
        numbers = (state.node, state.incarnation, state.term, state.vote, state.last_index)
        os.pwrite(self._file, _checked(_RECORD.pack(_MAGIC, *numbers, state.last_hash)), 0)
        if sync:
            os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


def _checked(record: bytes) -> bytes:
    return record + _CHECK.pack(zlib.crc32(record))
