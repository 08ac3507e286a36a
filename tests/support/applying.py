"""The language for what is made of the log: processes that apply it in PostgreSQL and sign their tree.

It has the commands of the storage language, too. The log is an election's, from the first account to the last
attestation; `record` puts its first entries, committed, into the table. An entry is named by its number, or by its kind
and its number among those: BallotCast:35.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any, cast
from unittest.mock import Mock

from ballot.embedded import EmbeddedPostgres
from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, rsa_line
from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry
from ballot.ledger.frame import frame, parse_frame, read_u64, u64
from ballot.ledger.merkle import TileError, Tree, leaf_hash, root_of
from ballot.ledger.node import Node
from ballot.ledger.notes import Notes
from ballot.ledger.raft.messages import Halt, HardState, Write
from ballot.ledger.settings import NodeSettings
from ballot.ledger.table import LogTable
from ballot.projections.machine import ElectionMachine
from ballot.voting.tables import TABLES, Key, Row
from tests.support.chain import ORIGIN, chain, genesis
from tests.support.invariants import require
from tests.support.keys import long_key, node_key, real_members
from tests.support.life import Ledger, Life, State
from tests.support.storage import Died, Outbox, Process, Storage
from tests.support.stores import VAULT, PostgresStore, Table, forget_locks
from tests.support.waiting import PATIENCE_S, until

TIME_FIELD = 2  # Of an entry's header.
FEWEST_STATEMENTS = 5
VOTERS = 70


@cache
def whole_log() -> list[Entry]:
    """An election's log, whose first entry names three members with real keys."""
    ledger = Ledger()
    ledger.record_all(Life(voters=VOTERS).whole())
    drafts = [Draft(entry.kind, entry.public, entry.private) for entry in ledger.entries[1:]]
    first = genesis(real_members(3))
    return [first, *chain(drafts, after=first)]


def true_root(size: int) -> bytes:
    return root_of([entry.header for entry in whole_log()[:size]])


class Signatures(Outbox):
    def tell(self, peer: int, topic: str, body: Any) -> None:
        size, root, _ = body
        truth = "the true root" if root == true_root(size) else "ANOTHER ROOT"
        self._lines.append(f"{self._name} signs {truth} of size {size}")


class Applying(Storage):
    REFUSALS = (*Storage.REFUSALS, Halt, LookupError, TileError)
    store: PostgresStore

    def __init__(self, server: EmbeddedPostgres) -> None:
        super().__init__(PostgresStore(server, whole_log()[0]))
        self._by_kind = False

    def _make_node(self, name: str, options: NodeSettings, table: Table) -> Node:
        """A node with tables and tree, and without what needs a network or a clock."""
        dsn = self.store.relay(name).dsn
        node = Node(replace(options, dsn=dsn), ElectionMachine(dsn))
        node.table = cast(LogTable, table)
        node.transport = cast(Any, Signatures(name, self.lines))
        node.notes = Notes(self.store.dsn)
        for part in ("desk", "reads"):
            setattr(node, part, Mock())
        return node

    async def _open(self, node: Node) -> None:
        await super()._open(node)
        await node._open_views()
        for work in (node.applier.run(), node.notes.run()):
            node.spawn(work)

    def _describe_start(self, node: Node) -> str:
        return f"the log to {self._name(node.core.log.last_index)}, applied {self._name(node.applier.applied)}"

    def _name(self, index: int) -> str:
        if not self._by_kind or not index:
            return str(index)
        kinds = [entry.kind for entry in whole_log()[:index]]
        return f"{kinds[-1]}:{kinds.count(kinds[-1])}"

    def explain(self, error: Exception) -> str:
        return re.sub(r"(?<=entry )\d+", lambda found: self._name(int(found[0])), super().explain(error))

    def _find(self, name: str) -> int:
        kind, colon, number = name.partition(":")
        if not colon:
            return int(name)
        self._by_kind = True
        return [entry.index for entry in whole_log() if entry.kind == kind][int(number) - 1]

    def record(self, last: str) -> None:
        """record LAST: entries up to LAST are in the table, committed. No process goes on that ran before."""
        self._do(self._record(self._find(last), commit=True))

    def add(self, last: str) -> None:
        """add LAST: the same, but not committed."""
        self._do(self._record(self._find(last), commit=False))

    async def _record(self, last: int, *, commit: bool) -> None:
        table = LogTable(self.store.dsn, VAULT)
        durable = await table.open()
        held = durable.tail[-1].index
        hard = HardState(1, 1, last if commit else durable.hard.commit)
        await table.write(Write(1, hard, 0, whole_log()[held:last], True))
        await table.close()
        self.lines.append(f"the log goes to {self._name(last)}, committed to {self._name(hard.commit)}")

    # -- applying

    def apply(self, name: str) -> None:
        """apply NAME: the process applies all that is committed, in one batch."""
        self._do(self._apply(self._process(name)))

    async def _apply(self, process: Process) -> None:
        process.node.wake()
        if await self._waits(process):
            self.lines.append(f"{process.name} waits")
        elif process.has_failed:
            await self._show_end(process)
        else:
            self.lines.append(f"{process.name} has applied {self._name(process.node.applier.applied)}")

    async def _waits(self, process: Process) -> bool:
        """Whether it waits for another's lock, or for its COMMIT; False once it has applied all, or has ended."""
        node, relay = process.node, self.store.relay(process.name)
        async with asyncio.timeout(PATIENCE_S):
            while node.applier.applied < node.core.commit and not process.has_failed:
                await asyncio.sleep(0.005)
                if relay.holds_commit or self.store.waits_for_a_lock(process.name):
                    return True
        return False

    def hold_commit(self, name: str) -> None:
        """hold-commit NAME: a COMMIT that the process sends does not arrive yet."""
        self.store.relay(name).hold_commits()

    def release_commit(self, name: str, *others: str) -> None:
        """release-commit NAME [OTHER...]: it arrives. Shows what becomes of its sender, and of others that waited."""
        self.store.relay(name).release_commits()
        for process in (name, *others):
            self.apply(process)

    def kill_everywhere(self, name: str) -> None:
        """kill-everywhere NAME: applies what is committed, killed after each statement of the batch and started again.

        Until the one after whose last statement, its COMMIT, the tables have moved.
        """
        before = self._position()
        for statements in count():
            self._do(self._kill(name, statements))
            if self._position() != before or self._differences():
                break
        self.lines.append(f"{name}, killed after any of its statements but COMMIT, has left nothing")
        self.lines.append(f"{name}, killed after COMMIT:")
        self.views()
        require(statements >= FEWEST_STATEMENTS, f"the batch had {statements} statements only")

    async def _kill(self, name: str, statements: int) -> None:
        shown = len(self.lines)
        await self._start(name, 1)
        self.store.relay(name).break_after(statements)
        process = self._process(name)
        process.node.wake()
        await self._waits(process)
        await self._end(name)
        del self.lines[shown:]

    def reset_session(self, name: str) -> None:
        super().reset_session(name)
        applier = self._process(name).node.applier
        assert applier._connection is not None
        self._do(forget_locks(applier._connection))

    # -- damage

    def flip(self, index: str) -> None:
        """flip INDEX: one bit of the stored header of an entry, in its time; once more, and it is as it was."""
        header = self.store.contents().entries[int(index) - 1].header
        fields = parse_frame("entry", header, 7)
        fields[TIME_FIELD] = u64(read_u64(fields[TIME_FIELD]) ^ 1 << 55)
        self.store.tamper("update ledger_entry set header = %s where index = %s", frame("entry", *fields), int(index))

    def flip_tile(self, level: str, number: str) -> None:
        """flip-tile LEVEL NUMBER: one bit of a stored tile of the tree."""
        change = "set hashes = set_byte(hashes, 100, get_byte(hashes, 100) # 1)"
        self.store.tamper(f"update ledger_tile {change} where level = %s and number = %s", int(level), int(number))

    # -- signing

    def sign(self, name: str, size: str) -> None:
        """sign NAME SIZE: the leader, node 1, asks it for a signature."""
        shown = len(self.lines)
        self._hear(name, "sign", int(size))
        if len(self.lines) == shown:
            self.lines.append(f"{name} does not sign")

    def note(self, name: str, size: str) -> None:
        """note NAME SIZE: it hears of a checkpoint of the true log, by nodes 1 and 3."""
        checkpoint = Checkpoint(ORIGIN, int(size), true_root(int(size)))
        lines = [cosign(node_key(node), f"{ORIGIN}/node{node}", checkpoint, 1) for node in (1, 3)]
        self._hear(name, "note", assemble(checkpoint, [rsa_line(long_key(1), f"{ORIGIN}/node1", checkpoint), *lines]))

    def _hear(self, name: str, topic: str, body: Any) -> None:
        process = self._process(name)

        async def work() -> None:
            try:
                process.node.on_tell(1, topic, body)
            except Died as error:
                self.lines.append(f"{name} ends itself: {error}")
                await self._end(name)
                return
            await until(lambda: process.has_failed or self._has_kept(process.node.notes))

        self._do(work())

    def _has_kept(self, notes: Notes) -> bool:
        """Whether all that it signed and learned of checkpoints is in the database."""
        query = "select (select size from ledger_signed), (select coalesce(max(size), 0) from ledger_checkpoint)"
        [(signed, newest)] = self.store.ask(query)
        return bool(signed >= notes._signed_size and newest >= notes.newest_size)

    # -- looking

    def views(self) -> None:
        """views: whether the tables are what a fresh replay makes of the log up to their position."""
        different = self._differences()
        truth = f"NOT those of a fresh replay: {', '.join(different)}" if different else "those of a fresh replay"
        self.lines.append(f"the tables are at {self._name(self._position())}, {truth}")

    def _position(self) -> int:
        [(position,)] = self.store.ask("select index from ledger_applied")
        return int(position)

    def _differences(self) -> list[str]:
        position = self._position()
        replay, tree = State(), Tree()
        for entry in whole_log()[:position]:
            replay.apply(entry)
            tree.append(leaf_hash(entry.header))
        different = [name for name, wanted in replay.rows().items() if self._rows(name) != wanted]
        if self.store.ask("select level, number, hashes from ledger_tile order by 1, 2") != tree.completed_tiles():
            different.append("ledger_tile")
        return different

    def _rows(self, name: str) -> dict[Key, Row]:
        table = TABLES[name]
        columns = (*table.columns, "at")
        found = [
            dict(zip(columns, row, strict=True)) for row in self.store.ask(f"select {', '.join(columns)} from {name}")
        ]
        return {tuple(row[column] for column in table.key): row for row in found}
