"""The survivor's own side of a recovery: its log taken over, read from end to end, and gone on with.

The node's ledger process must have ended. Nothing changes in its log before `go_on`, and that is one transaction.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from psycopg import AsyncConnection

from . import rsa
from .checkpoint import CheckpointError, verify_note
from .clock import system_time_us
from .entry import Entry, EntryError, check_link, encode_map, seal
from .membership import CONF_KINDS, Membership, membership_of
from .merkle import Tree, leaf_hash
from .notes import Notes
from .raft.messages import HardState, Write
from .recovery import KIND, Recovery, plan
from .settings import NodeSettings
from .statefile import StateFile
from .table import LogTable, open_held

log = logging.getLogger("ballot.survivor")


class RecoveryRefused(Exception):
    """This node cannot be the survivor; the message says why. Nothing was changed."""


@dataclass
class Walk:
    """A log read so far: its last entry, its members, and what was signed of it (see `Recovery`)."""

    last: Entry
    members: Membership
    tree: Tree = field(default_factory=Tree)
    checkpoint: int = 0
    evidence: bytes = b""

    def __post_init__(self) -> None:
        self.tree.append(leaf_hash(self.last.header))

    def take(self, entry: Entry) -> None:
        """Raises EntryError when the entry does not follow."""
        check_link(self.last, entry)
        self.last = entry
        self.tree.append(leaf_hash(entry.header))
        self.tree.completed_tiles()  # Only roots are asked for: the tiles need not be kept.
        if entry.kind in CONF_KINDS:
            self.members = membership_of(entry.fields)

    def compare(self, note: bytes, committed: int) -> None:
        """A stored checkpoint of this very size, or of more than the whole log. Raises RecoveryRefused."""
        try:
            signed = verify_note(note, self.members.origin, self.members.members)
        except CheckpointError as error:
            log.warning("a stored checkpoint does not verify", extra={"entry": self.last.index, "error": str(error)})
            return
        if (signed.size, signed.root) == (self.tree.size, self.tree.root()):
            self.checkpoint, self.evidence = signed.size, b""
        elif signed.size <= committed:
            raise RecoveryRefused(f"the log does not lead to the checkpoint of {signed.size} entries: it is damaged")
        else:
            self.evidence = note


class Survivor:
    def __init__(self, settings: NodeSettings, genesis: Entry) -> None:
        self._settings, self._genesis = settings, genesis
        self._table = LogTable(settings.dsn, settings.vault)
        self._notes = Notes(settings.dsn)
        self._state: StateFile | None = None
        self._hard: HardState
        self.last: Entry
        self.members: Membership

    async def examine(self, *, restored: bool = False) -> Recovery:
        """Fences off any other writer, verifies the whole log, and says what a recovery will.

        `restored`: the database is a copy, and the host has nothing else of the node but its secrets. Raises
        RecoveryRefused, ChangeRefused, Amnesia, EntryError, UnsafeDatabase, psycopg.Error.
        """
        file = self._settings.state_file
        if not restored and not file.exists():
            raise RecoveryRefused(
                f"{file} is missing: nothing shows that the database was not wiped or restored; "
                "if it was restored, and no node has anything newer, say so with --restored"
            )
        if restored and file.exists():
            raise RecoveryRefused(f"{file} is there: this node's own database may be, too, and that holds more")
        self._state = StateFile(self._settings.state_file, self._settings.node)
        durable, _ = await open_held(self._table, self._state)
        self._hard, last = durable.hard, durable.tail[-1].index if durable.tail else 0
        if last < 2:
            raise RecoveryRefused("the log holds nothing that could be recovered")
        await self._notes.open()
        committed = max(self._hard.commit, await self._applied())
        walk = await self._walk(last, committed)
        self.last, self.members = walk.last, walk.members
        found = plan(
            walk.members,
            self._settings.node,
            last=last,
            committed=max(committed, walk.checkpoint),
            checkpoint=walk.checkpoint,
            evidence=walk.evidence,
            restored=restored,
        )
        self._check_keys()
        return found

    async def _applied(self) -> int:
        async with await AsyncConnection.connect(self._settings.dsn) as connection:
            row = await (await connection.execute("select index from ledger_applied")).fetchone()
        assert row is not None
        return int(row[0])

    async def _walk(self, last: int, committed: int) -> Walk:
        """Reads every entry and holds the tree against whatever was signed of it."""
        signed_size, signed_root = await self._notes.signed()
        if max(signed_size, committed) > last:
            raise RecoveryRefused(f"the log ends at entry {last}, before what this node has signed or applied")
        walk = await self._begin()
        while walk.last.index < last:
            first = walk.last.index + 1
            batch = await self._table.read(first, last)
            if not batch or batch[0].index != first:
                raise EntryError(f"entry {first} is missing from the log")
            notes = dict(await self._notes.between(first, batch[-1].index))
            for entry in batch:
                walk.take(entry)
                if entry.index == signed_size and walk.tree.root() != signed_root:
                    raise RecoveryRefused(f"the log does not lead to the tree of size {signed_size} this node signed")
                if entry.index in notes:
                    walk.compare(notes[entry.index], committed)
        if self._notes.newest_size > last:
            walk.compare(self._notes.newest, committed)
        return walk

    async def _begin(self) -> Walk:
        [first] = await self._table.read(1, 1)
        if first.header != self._genesis.header:
            raise RecoveryRefused("this database belongs to another ledger: its first entry differs")
        return Walk(first, membership_of(first.fields))

    def _check_keys(self) -> None:
        """The survivor signs every checkpoint from here on, so its secrets must be those that the log knows."""
        keys, record = self._settings.keys, self.members.node(self._settings.node)
        if (keys.ed25519.public_key().public_bytes_raw(), rsa.modulus(keys.rsa)) != (record.ed25519, record.rsa):
            raise RecoveryRefused(f"the secrets are not those of node {self._settings.node}")

    async def go_on(self, recovery: Recovery) -> Entry:
        """Appends the recovery, committed: from here on the survivor is a majority. Raises psycopg.Error, OSError.

        Nobody saw the new term but this node, which votes for itself in it.
        """
        assert self._state is not None
        last, node = self.last, self._settings.node
        entry = seal(
            prev_hash=last.hash,
            index=last.index + 1,
            term=self._hard.term + 1,
            time_us=max(system_time_us() + self._settings.clock_offset_us, last.time_us + 1),
            kind=KIND,
            public=encode_map(recovery.to_fields()),
        )
        write = Write(1, HardState(entry.term, node, entry.index), 0, [entry], sync=True)
        await self._table.recover(write, recovery.checkpoint)
        self._state.record(entry.term, node, entry.index, entry.hash)
        return entry

    async def close(self) -> None:
        await self._notes.close()
        await self._table.close()
        if self._state is not None:
            self._state.close()
