"""One node of the ledger: the driver that carries out what the pure core says, and the parts it is made of.

    peers, ticks, commands ──► RaftCore ──► Ready ──► send │ write to the log table │ apply

Everything that reaches the core within one turn of the event loop is answered by one Ready: that is the batch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, cast

from .applier import Applier
from .checkpoint import Checkpoint, read_note
from .clock import Clock, steady_time_us, system_time_us
from .cosign import Cosigner
from .decision import Draft
from .desk import Desk
from .entry import SALT_BYTES, Entry, check_link, encode_map, seal
from .machine import StateMachine
from .members import Members, MembersDesk
from .membership import CONF_KINDS, Membership, membership_of
from .metrics import NodeMetrics
from .notes import Notes
from .raft.config import Config
from .raft.core import LEADER, RaftCore
from .raft.messages import ConfRefused, Fetch, Halt, Message, NotLeader, Ready, Record, Write
from .reads import SafeReads
from .settings import NodeSettings
from .statefile import StateFile
from .submit import Submitter
from .table import LogTable, open_held, place
from .transport import Transport
from .vouched import Vouched

log = logging.getLogger("ballot.node")

IDLE_CHECKPOINT_S = 1.0
SLOW_WRITE_S = 0.5
HANGS_S = 1.0


def die(reason: str) -> NoReturn:
    """Ends the process at once: after an unknown outcome only a fresh start may read the truth (rule R3)."""
    log.critical("the node ends itself", extra={"reason": reason})
    logging.shutdown()
    os._exit(70)


class Node:
    def __init__(self, settings: NodeSettings, machine: StateMachine) -> None:
        self.settings, self.machine = settings, machine
        self.skew_us = settings.clock_offset_us
        self.table = LogTable(settings.dsn, settings.vault)
        self.state_file = StateFile(settings.state_file, settings.node)
        self.notes = Notes(settings.dsn)
        self.clock = Clock(
            0,
            source=lambda: system_time_us() + self.skew_us,
            bound_us=settings.clock_bound_us,
            steady=steady_time_us,
        )
        self.applier = Applier(settings.dsn, machine, self.read_committed, self._on_applied)
        self.transport = Transport(settings.node, settings.listen, dict(settings.peers), settings.tls, self.clock, self)
        self.members = Members(settings.node, dict(settings.peers), self.transport, self.clock)
        self.metrics = NodeMetrics(self)
        self.core: RaftCore
        self.cosigner: Cosigner
        self.reads: SafeReads
        self.desk: Desk
        self.submitter: Submitter
        self.vouched = Vouched()
        self.answers: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._awake = False
        self._waits_for = 0
        self._role_changed = asyncio.Event()
        self.failed: asyncio.Future[NoReturn]

    # -- life

    async def start(self) -> None:
        """Recovers from the table, then joins. Raises UnsafeDatabase, Amnesia, Halt, psycopg.Error."""
        self.failed = asyncio.get_running_loop().create_future()
        await self._reread()
        await self._open_views()
        decider = MembersDesk(self.core, self.members, self.machine, self.transport.connected, self.cosigner)
        self.reads = SafeReads(self.core, self.wake)
        self.desk = Desk(self.core, decider, self.clock, self.wake, self.cosigner.want, self.reads.confirm_leading)
        self.submitter = Submitter(self.core, self.desk, self.applier, lambda: self.transport)
        self.answers["submit"] = self.submitter.answer
        core = self.core
        marks = {"last": core.log.last_index, "commit": core.commit, "applied": self.applier.applied}
        log.info("recovered", extra={"term": core.term, **marks})
        await self.transport.start()
        for work in (self.applier.run(), self.desk.run(), self._tick(), self.notes.run()):
            self.spawn(work)
        self.wake()

    async def _reread(self) -> None:
        """The truth, whatever the process before this one believed."""
        durable, incarnation = await open_held(self.table, self.state_file)
        settings = self.settings
        config = Config(
            settings.node,
            incarnation,
            election_ticks=settings.election_ticks,
            heartbeat_ticks=settings.heartbeat_ticks,
        )
        self.core = RaftCore(config, durable, seal=self._seal, check=self._check, rng=random.SystemRandom())

    async def _open_views(self) -> None:
        await self.machine.open()
        await self.applier.open()
        await self.notes.open()
        entries = await self.table.read_some(self.core.log.conf_indexes)
        self.genesis = entries[0]
        self.members.restore(entries)
        self.members.follow(self.core.log, self.applier.applied)
        membership = self.members.at(self.core.log, self.applier.applied)
        settings = self.settings
        self.cosigner = Cosigner(settings.node, settings.keys, membership, self._tell, self._on_note)
        signed_size, signed_root = await self.notes.signed()
        self.vouched.add("this node", signed_size, signed_root)
        if self.notes.newest:
            self.vouched.add("a majority", self.notes.newest_size, read_note(self.notes.newest).root)
        applier = self.applier
        await self.vouched.fetch_tiles(applier.applied, applier.tree, applier.fetch_tiles)
        self.vouched.compare(applier.applied, applier.tree)
        self.cosigner.restore(applier.applied, signed_size, self.notes.newest_size)
        self.core.apply_done(applier.applied)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.transport.stop()
        for part in (self.table, self.applier, self.notes, self.machine):
            await part.close()
        self.state_file.close()

    def spawn(self, work: Awaitable[None]) -> None:
        """A task whose failure ends the node."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            log.critical("a part of the node failed", exc_info=error)
            self.failed.set_exception(error)

    # -- the driver

    def wake(self) -> None:
        """Looks at the core once this turn of the event loop is over."""
        if not self._awake:
            self._awake = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._awake = False
        try:
            self._carry_out(self.core.ready())
            self.members.follow(self.core.log, self.applier.applied)
        except Halt as error:
            die(str(error))

    def _carry_out(self, ready: Ready) -> None:
        if ready.soft is not None:
            self._on_role()
        for message in ready.send:
            self.transport.send(message)
        if ready.write is not None:
            self.spawn(self._write(ready.write))
        if ready.apply:
            log.info("committed", extra={"commit": self.core.commit, "term": self.core.term})
            self.applier.advance(ready.apply)
        self.reads.answered(ready.reads)
        for fetch in ready.fetch:
            self.spawn(self._fetch(fetch))
        if self.core.role == LEADER:
            self.cosigner.advance(self.core.commit, self.applier.tree)

    async def _write(self, write: Write) -> None:
        begun = time.monotonic()
        try:
            if write.truncate_from:
                self.state_file.lower(write.truncate_from - 1)
            with self.metrics.writes.time():
                await self.table.write(write)
            self.state_file.record(write.hard.term, write.hard.vote, *self._last_durable(write))
        except Exception as error:
            die(f"the outcome of a write is unknown: {error}")
        if (took := time.monotonic() - begun) > SLOW_WRITE_S:
            log.warning("a write took long: is the disk stalling?", extra={"seconds": round(took, 2)})
        if write.entries:
            self.metrics.entries.inc(len(write.entries))
            log.info("entries durable", extra={"count": len(write.entries), "last": write.entries[-1].index})
        self.core.appended(write.token)
        self.wake()

    def _last_durable(self, write: Write) -> tuple[int, bytes]:
        """Index and hash of the last entry, where a truncation lowered the file already."""
        return place(write.entries) if write.entries else self.state_file.last

    async def _fetch(self, fetch: Fetch) -> None:
        # One append, however large the board's chunks are: a longer frame would never be taken.
        most = self.core.config.max_append_bytes
        entries = await self.table.read(fetch.first, self.core.commit, limit=500, max_bytes=most)
        self.core.fetched(fetch.peer, fetch.term, cast(Sequence[Record], entries))
        self.wake()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        interval = self.settings.tick_ms / 1000
        idle_since = due = loop.time()
        while True:
            due = max(due + interval, loop.time())
            await asyncio.sleep(due - loop.time())
            self.core.tick()
            if self.core.leadership is not None:
                self._tell_pace(self.core.leadership.pace.waits_for)
                if reason := self._unfit():
                    self._lead_no_longer(reason)
                elif loop.time() - idle_since > IDLE_CHECKPOINT_S:
                    idle_since = loop.time()
                    self.cosigner.want(self.core.commit)
            self.wake()

    def _tell_pace(self, waits_for: int) -> None:
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            what = "slower, for a follower that lags" if waits_for else "at full speed again"
            log.warning(what, extra={"peer": waits_for})

    def _on_role(self) -> None:
        log.info("role", extra={"role": self.core.role, "term": self.core.term, "leader": self.core.leader})
        self.metrics.saw_leader(self.core.leader)
        self._role_changed.set()
        self.machine.rewind()
        self.desk.abandon()
        self.cosigner.abandon()
        if self.core.leadership is not None:
            self.clock.forget()
            self.cosigner.want(self.core.leadership.first_index)

    # -- entries

    def _seal(self, last: Record, term: int, payload: object) -> Entry:
        """The next entry: the leader alone stamps its time, which always rises (rule R8)."""
        before = cast(Entry, last)
        soonest = before.time_us + 1
        if payload is None:
            # The no-op comes before any clock was compared, so it must not carry a bad clock into the log.
            time_us = max(self.clock.now_us(), soonest) if self.clock.synchronised else soonest
            draft = Draft("TermOpened", encode_map({"node": self.settings.node}))
        else:
            time_us, draft = max(self.desk.now_us, soonest), cast(Draft, payload)
        salt = os.urandom(SALT_BYTES) if draft.private is not None else b""
        return seal(
            prev_hash=before.hash,
            index=before.index + 1,
            term=term,
            time_us=time_us,
            kind=draft.kind,
            public=draft.public,
            private=draft.private,
            salt=salt,
        )

    @staticmethod
    def _check(before: Record, entry: Record) -> None:
        check_link(cast(Entry, before), cast(Entry, entry))

    async def read_committed(self, first: int, last: int) -> Sequence[Entry]:
        held = self.core.log.slice(first, self.core.config.max_write_bytes, last)
        return cast(Sequence[Entry], held) if held else await self.table.read(first, last)

    def _on_applied(self, entries: Sequence[Entry]) -> None:
        self.core.apply_done(entries[-1].index)
        for entry in entries:
            if entry.kind in CONF_KINDS:
                self.cosigner.follow(membership_of(entry.fields))
        self._compare_vouched()
        self.cosigner.on_applied(self.applier.applied, self.applier.tree)
        self._keep_signed()
        self.wake()

    def _compare_vouched(self) -> None:
        try:
            self.vouched.compare(self.applier.applied, self.applier.tree)
        except Halt as error:
            # What a majority signed is to be found at the next start, or the node would sign the wrong tree again.
            self.notes.write_out()
            die(str(error))

    # -- peers (PeerHandler)

    def on_message(self, message: Message) -> None:
        try:
            self.core.step(message)
        except Halt as error:
            die(str(error))
        self.wake()

    def on_unreachable(self, peer: int) -> None:
        self.core.unreachable(peer)
        self.cosigner.forget(peer)
        self.wake()

    async def on_ask(self, peer: int, topic: str, body: Any) -> Any:
        if topic not in self.answers:
            raise ValueError(f"unknown topic {topic}")
        return await self.answers[topic](body)

    def on_tell(self, peer: int, topic: str, body: Any) -> None:
        if topic == "sign":
            self.cosigner.on_sign(peer, body, self.applier.tree)
            self._keep_signed()
        elif topic == "signed":
            size, root, line = body
            self.cosigner.on_signed(peer, size, root, line, self.applier.tree)
        elif topic == "note":
            self.cosigner.on_note(body)
        elif topic == "removed":
            self.members.told_removed(peer)

    def _tell(self, topic: str, body: Any, peer: int) -> None:
        for to in [peer] if peer else self.transport.peers:
            self.transport.tell(to, topic, body)

    def _keep_signed(self) -> None:
        size = self.cosigner.signed_size
        if 0 < size <= self.applier.tree.size:
            self.notes.keep_signed(size, self.applier.tree.root(size))

    def _on_note(self, checkpoint: Checkpoint, note: bytes) -> None:
        self.notes.keep(checkpoint.size, note)
        self.vouched.add("a majority", checkpoint.size, checkpoint.root)
        self._compare_vouched()

    # -- what others ask of a node

    @property
    def membership(self) -> Membership:
        return self.cosigner.membership

    async def no_longer_leader(self) -> None:
        """Returns once this node does not lead."""
        while self.core.role == LEADER:
            self._role_changed.clear()
            await self._role_changed.wait()

    def hand_over(self) -> int:
        """Begins to make the voter that is furthest along the leader; its id. Raises NotLeader, ConfRefused."""
        if self.core.leadership is None:
            raise NotLeader(self.core.leader)
        best = self.core.leadership.furthest()
        if not best:
            raise ConfRefused("there is no other voter")
        self.core.transfer(best)
        self.wake()
        return best

    def _unfit(self) -> str:
        """Why another node should lead (rule R8: not with a wrong clock); empty when there is no reason or no other."""
        if len(self.core.log.conf.voters) == 1:
            return ""
        if self.clock.out_of_bound:
            return "the own clock is out of bound"
        return "the own database hangs" if self.desk.waits_s > HANGS_S else ""

    def _lead_no_longer(self, reason: str) -> None:
        """Hands over: merely stepping down, it would soon win again."""
        if self.core.leadership is not None and self.core.leadership.transfer_to:
            return
        try:
            best = self.hand_over()
            log.error(reason, extra={"correction_us": self.clock.correction_us, "to": best})
        except (NotLeader, ConfRefused):
            self.core.step_down()

    async def read_index(self, timeout_s: float) -> int:
        """An index from which a read is linearizable, applied here. Raises NotLeader, TimeoutError."""
        index = await self.reads.index(timeout_s)
        async with asyncio.timeout(timeout_s):
            await self.applier.reached(index)
        return index
