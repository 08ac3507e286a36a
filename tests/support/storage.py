"""The language for the log table: processes of a node that start, write and end over one table, which may fail them.

`write` puts one transaction to the table. `vote` and `append` go the whole way of a message: through the real core and
the real driver of ledger/node.py, which may answer only after COMMIT, and must end when it does not hear of one. Every
file is played on a model in memory and on PostgreSQL, and must print the same. Entries are written index/term text;
`text+secret` has a private part.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar, cast
from unittest.mock import AsyncMock, Mock, patch

import psycopg

from ballot.ledger import node as node_module
from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry, EntryError, encode_map
from ballot.ledger.node import Node
from ballot.ledger.raft.messages import Append, HardState, Message, Vote, Write
from ballot.ledger.settings import NodeKeys, NodeSettings, PeerTls
from ballot.ledger.statefile import Amnesia
from ballot.ledger.table import LogTable, UnsafeDatabase
from tests.support.chain import follow, genesis, membership
from tests.support.disk import APPEND_ONLY, DISK_FULL, DUPLICATE, FENCED, TableError
from tests.support.invariants import Violation, require
from tests.support.keys import long_key, node_key
from tests.support.notation import show_message
from tests.support.raft import describe_conf
from tests.support.script import Script
from tests.support.stores import VAULT, Contents, Store, Table
from tests.support.waiting import PATIENCE_S

T = TypeVar("T")
GENESIS = genesis()
# What PostgreSQL says when an operator ends a session: no more than that the connection is gone.
ADMIN_SHUTDOWN = "57P01"
WORDS = {
    APPEND_ONLY: "refused, append-only",
    FENCED: "refused, fenced",
    DUPLICATE: "refused, there already",
    DISK_FULL: "disk full",
}


def describe(error: BaseException) -> str:
    """A failure as both stores have it."""
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(error, TableError | psycopg.Error) and sqlstate in WORDS:
        return WORDS[sqlstate]
    if isinstance(error, ConnectionError) or (
        isinstance(error, psycopg.OperationalError) and sqlstate in (None, ADMIN_SHUTDOWN)
    ):
        return "connection lost"
    return error.diag.message_primary or "" if isinstance(error, psycopg.Error) else str(error)


class Died(Exception):
    """Instead of the end of the whole process."""


def die(reason: str) -> NoReturn:
    raise Died(reason)


class Outbox:
    """The node's transport: what it would send is shown."""

    peers = (2, 3)

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name, self._lines = name, lines

    def send(self, message: Message) -> None:
        self._lines.append(f"{self._name} sends {show_message(message)}")

    def tell(self, peer: int, topic: str, body: Any) -> None:
        self._lines.append(f"{self._name} tells {peer}: {topic}")


def settings(node: int, state_file: Path) -> NodeSettings:
    nowhere = Path()
    keys = NodeKeys(node_key(node), long_key(1))
    tls = PeerTls(nowhere, nowhere, nowhere)
    return NodeSettings(node, "", state_file, nowhere, ("", 0), {}, keys, tls, VAULT)


class Process:
    """One process of a node: the real driver, and what it is doing."""

    def __init__(self, name: str, node: Node) -> None:
        self.name, self.node = name, node
        self.writing: asyncio.Task[str] | None = None
        self.standing: frozenset[asyncio.Task[None]] = frozenset()  # Tasks that never end.

    @property
    def is_busy(self) -> bool:
        if self.writing is not None and not self.writing.done():
            return True
        return not self.has_failed and (self.node._awake or bool(self.node._tasks - self.standing))

    @property
    def has_failed(self) -> bool:
        return self.node.failed.done()

    def stand_still(self) -> None:
        """As at the end of a process: nothing of it goes on."""
        for task in self.node._tasks:
            task.cancel()

    async def close(self) -> None:
        await asyncio.gather(*self.node._tasks, return_exceptions=True)
        if self.has_failed:
            self.node.failed.exception()  # Asked for, or asyncio complains that nobody ever did.
        for part in (self.node.table, self.node.applier, self.node.notes, self.node.machine):
            with suppress(psycopg.Error):
                await part.close()
        self.node.state_file.close()


class NotRunning(Exception):
    """A command to a process that is not there."""


class Storage(Script):
    REFUSALS: ClassVar[tuple[type[Exception], ...]] = (Amnesia, UnsafeDatabase, EntryError, NotRunning)
    VIOLATIONS = (Violation,)

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self._folder = Path(tempfile.mkdtemp(prefix="state-"))
        self._processes: dict[str, Process] = {}
        self._synced_commit = 1
        self._runner = asyncio.Runner()
        self._patch = patch.object(node_module, "die", die)
        self._patch.start()

    def close(self) -> None:
        for name in list(self._processes):
            self._do(self._end(name))
        self._patch.stop()
        self._runner.close()
        self.store.close()
        shutil.rmtree(self._folder)

    def explain(self, error: Exception) -> str:
        return describe(error).replace(f"{self._folder}/", "")

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    # -- processes

    def start(self, name: str, as_: str = "", node: str = "1") -> None:
        """start NAME [as NODE]: a new process of node 1, or of another, takes the table over."""
        self._do(self._start(name, int(node)))

    async def _start(self, name: str, node: int) -> None:
        if name in self._processes:
            await self._end(name)
        options = settings(node, self._state_file(node))
        table = await self.store.table(name)
        try:
            made = self._make_node(name, options, table)
        except Amnesia:
            await self.store.end(name)
            raise
        made.failed = asyncio.get_running_loop().create_future()
        self._processes[name] = process = Process(name, made)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._open(made)
        except TimeoutError:
            self.lines.append(f"{name} cannot take over")
            await self._end(name)
        except Exception:
            await self._end(name)
            raise
        else:
            process.standing = frozenset(made._tasks)
            self.lines.append(f"{name} starts: {self._describe_start(made)}")

    def _describe_start(self, node: Node) -> str:
        core, epoch = node.core, node.table.epoch
        hard = f"term {core.term} vote {core.vote} commit {core.commit}"
        last = f"last {core.log.last_index}/{core.log.last_term}"
        return f"epoch {epoch}, incarnation {core.config.incarnation}, {hard} {last}"

    def _make_node(self, name: str, options: NodeSettings, table: Table) -> Node:
        """A node of which only the parts around its log table are real."""
        node = Node(options, AsyncMock(rewind=Mock()))
        node.table = cast(LogTable, table)
        node.transport = cast(Any, Outbox(name, self.lines))
        node.applier = AsyncMock(advance=Mock())
        for part in ("cosigner", "desk", "members", "reads"):
            setattr(node, part, Mock())
        return node

    async def _open(self, node: Node) -> None:
        await node._reread()

    def _process(self, name: str) -> Process:
        if name not in self._processes:
            raise NotRunning(f"{name} does not run")
        return self._processes[name]

    def crash(self, name: str) -> None:
        """crash NAME: kill -9."""
        self._do(self._end(name))

    async def _end(self, name: str) -> None:
        process = self._process(name)
        process.stand_still()
        await self.store.end(name)
        await process.close()
        del self._processes[name]

    def fail(self, name: str, fault: str) -> None:
        """fail NAME FAULT: the next write of the process fails so (the faults: tests/support/stores.py)."""
        self.store.fail(name, fault)

    def resume(self, name: str) -> None:
        """resume NAME: the server goes on with the write that stopped in the middle."""
        self.store.resume(name)
        self._do(self._outcome(self._process(name)))

    def terminate(self, name: str) -> None:
        """terminate NAME: an operator ends the session whose write has stopped in the middle."""
        self.store.terminate(name)
        self._do(self._outcome(self._process(name)))

    def reset_session(self, name: str) -> None:
        """reset-session NAME: as a connection pooler would, takes the lock from a session that goes on."""
        self._do(self.store.forget_lock(name))

    # -- one transaction

    def write(self, name: str, *words: str) -> None:
        """write NAME [term T] [vote V] [commit C] [from I] [at I] [add TEXT...]: one transaction, and what it is told.

        `from` deletes the log from there on; `at` inserts without deleting. What is not named stays as it is.
        """
        process = self._process(name)
        made = self._make_write(*words)
        process.writing = asyncio.Task(self._put(process, made), loop=self._runner.get_loop())
        self._do(self._outcome(process))
        if made.sync:
            self._synced_commit = self.store.contents().hard.commit

    def _make_write(self, *words: str) -> Write:
        found = self.store.contents()
        numbers, texts = parse_words(words)
        old, first = found.hard, numbers.get("from", 0)
        term, vote, commit = (numbers.get(name, getattr(old, name)) for name in ("term", "vote", "commit"))
        hard = HardState(term, vote, commit)
        entries = self._make_entries(found, first or numbers.get("at", len(found.entries) + 1), hard.term, texts)
        sync = bool(entries or first or (hard.term, hard.vote) != (old.term, old.vote))
        return Write(1, hard, first, entries, sync)

    def _make_entries(self, found: Contents, first: int, term: int, texts: Sequence[str]) -> list[Entry]:
        made = [found.entries[first - 2]] if texts else []
        for text in texts:
            made.append(follow(made[-1], make_draft(text), term))
        return made[1:]

    async def _put(self, process: Process, write: Write) -> str:
        if write.truncate_from:
            process.node.state_file.lower(write.truncate_from - 1)
        try:
            await process.node.table.write(write)
        except Exception as error:
            return describe(error)
        return "committed"

    async def _outcome(self, process: Process) -> None:
        """Waits until the process has nothing left to do, or is stopped, or has ended."""
        stopped = False
        while process.is_busy and not stopped:
            await asyncio.sleep(0.002)
            stopped = self.store.is_stopped(process.name)
        if stopped:
            self.lines.append(f"{process.name} is stopped in the middle of its write, its locks held")
        elif process.writing is not None:
            self.lines.append(f"{process.name} is told: {process.writing.result()}")
            process.writing = None
        elif process.has_failed:
            await self._show_end(process)

    async def _show_end(self, process: Process) -> None:
        error = process.node.failed.exception()
        assert isinstance(error, Exception)
        if isinstance(error, Died) and isinstance(error.__context__, Exception):
            reason = f"the write failed: {self.explain(error.__context__)}"
        else:
            reason = self.explain(error)
        self.lines.append(f"{process.name} ends itself: {reason}")
        await self._end(process.name)

    # -- the whole way of a message

    def vote(self, name: str, *words: str) -> None:
        """vote NAME from PEER term T: PEER, to which leadership is transferred, asks for the process's vote."""
        numbers, _ = parse_words(words)
        self._deliver(name, Vote(numbers["from"], 1, numbers["term"], 1 << 20, numbers["term"] - 1, True))

    def append(self, name: str, *words: str) -> None:
        """append NAME from PEER term T after I [commit C] [add TEXT...]: the leader sends what follows entry I."""
        numbers, texts = parse_words(words)
        log = self._process(name).node.core.log
        prev, term = numbers["after"], numbers["term"]
        held = [*self.store.contents().entries[:prev]]
        entries = self._make_entries(Contents(0, HardState(), held), prev + 1, term, texts)
        commit = numbers.get("commit", 1)
        self._deliver(name, Append(numbers["from"], 1, term, prev, log.term(prev), commit, entries))

    def _deliver(self, name: str, message: Message) -> None:
        self._do(self._step(self._process(name), message))

    async def _step(self, process: Process, message: Message) -> None:
        process.node.on_message(message)
        await self._outcome(process)

    # -- what befalls the table, and the file beside it

    def power_cut(self) -> None:
        """power-cut: the server ends without notice. Commits that were written alone, without a sync, may be lost."""
        before = self.store.contents()
        for name in list(self._processes):
            self._do(self._end(name))
        self.store.lose_power()
        found = self.store.contents()
        floor, commit = self._synced_commit, before.hard.commit
        require(floor <= found.hard.commit <= commit, f"commit {commit}, synced at {floor}, is {found.hard.commit}")
        rest = replace(before, hard=replace(before.hard, commit=found.hard.commit))
        require(found == rest, "what was synced is not there")
        self.lines.append(f"all that was synced is there; commit is at least {floor} and at most {commit}")

    def backup(self, name: str) -> None:
        """backup NAME: while no process runs."""
        self.store.backup(name)

    def restore(self, name: str) -> None:
        self.store.restore(name)

    def damage_state_file(self, node: str) -> None:
        """damage-state-file NODE: one bit flips in it."""
        path = self._state_file(int(node))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def _state_file(self, node: int) -> Path:
        return self._folder / f"node{node}"

    def erase(self, first: str, last: str, by: str, index: str) -> None:
        """erase FIRST LAST by INDEX: the private parts go, as the entry at INDEX says."""
        self.store.erase(int(first), int(last), int(index))

    def delete_private(self, index: str) -> None:
        """delete-private INDEX: with nothing that says so."""
        try:
            self.store.delete_private(int(index))
        except (TableError, psycopg.Error) as error:
            self.lines.append(describe(error))

    # -- looking

    def table(self) -> None:
        """table: what an onlooker finds."""
        found = self.store.contents()
        hard = found.hard
        self.lines.append(f"epoch {found.epoch} term {hard.term} vote {hard.vote} commit {hard.commit}")
        self.lines.append(", ".join(map(show_entry, found.entries)))

    def log(self, name: str) -> None:
        """log NAME: what the process found when it started, and has been told since."""
        log = self._process(name).node.core.log
        held = log.slice(log.first_in_memory, 1 << 62) or []
        runs = [index for index in range(1, log.last_index + 1) if log.first_of_term(index) == index]
        starts = ", ".join(f"{index}/{log.term(index)}" for index in runs)
        self.lines.append(f"terms begin at {starts}; {describe_conf(log.conf)} since {log.conf_index}")
        self.lines.append("in memory: " + ", ".join(show_entry(cast(Entry, entry)) for entry in held))


def make_draft(text: str) -> Draft:
    """`nodes=4` is a list of four members, anything else a note."""
    public, _, private = text.partition("+")
    if public.startswith("nodes="):
        return Draft("NodeAdded", encode_map(membership(int(public.removeprefix("nodes="))).to_fields()))
    return Draft("Note", encode_map({"text": public}), private.encode() or None)


def parse_words(words: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """`term 3 add x y`: the numbers by name, and the texts."""
    place = words.index("add") if "add" in words else len(words)
    named = words[:place]
    return {name: int(value) for name, value in zip(named[::2], named[1::2], strict=True)}, list(words[place + 1 :])


def show_entry(entry: Entry) -> str:
    text = str(entry.fields["text"]) if entry.kind == "Note" else entry.kind
    private = "+erased" if entry.private_digest else ""
    if entry.private is not None:
        private = f"+{entry.private.decode()}"
    return f"{entry.index}/{entry.term} {text}{private}"
