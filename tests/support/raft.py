"""A cluster in memory: real Raft cores, model disks that lose what was not persisted, a network under full control."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ballot.ledger.raft.config import Config, Random
from ballot.ledger.raft.core import RaftCore
from ballot.ledger.raft.log import Durable
from ballot.ledger.raft.messages import (
    Conf,
    Fetch,
    Message,
    ReadId,
    Ready,
    Record,
    Ticket,
    TimeoutNow,
    Write,
)
from tests.support.disk import Disk
from tests.support.invariants import Invariants, require


@dataclass(frozen=True, slots=True)
class Item:
    """An entry whose hash covers its predecessor's, so that equal hashes mean equal logs."""

    index: int
    term: int
    command: str
    conf: Conf | None
    prev: str
    hash: str

    @property
    def size(self) -> int:
        return 10 + len(self.command)


def make_item(prev: str, index: int, term: int, payload: object) -> Item:
    conf = payload if isinstance(payload, Conf) else None
    command = "no-op" if payload is None else describe_conf(conf) if conf else str(payload)
    content = f"{prev} {index} {term} {command}"
    return Item(index, term, command, conf, prev, hashlib.sha256(content.encode()).hexdigest())


def describe_conf(conf: Conf) -> str:
    voters = "+".join(map(str, conf.voters))
    return f"voters={voters}" + (f" learners={'+'.join(map(str, conf.learners))}" if conf.learners else "")


def seal(last: Record, term: int, payload: object) -> Item:
    before = cast(Item, last)
    return make_item(before.hash, before.index + 1, term, payload)


class BrokenChain(Exception):
    """An entry that does not follow the one before it."""


def check(before: Record, entry: Record) -> None:
    last, new = cast(Item, before), cast(Item, entry)
    if new != make_item(
        last.hash, last.index + 1, new.term, new.conf or (None if new.command == "no-op" else new.command)
    ):
        raise BrokenChain(f"entry {new.index}/{new.term} does not follow {last.index}/{last.term}")


class Node:
    """One process: a core, its disk, and the little that a driver keeps."""

    def __init__(self, node_id: int, disk: Disk[Item], make_core: Callable[[int, int, Durable], RaftCore]) -> None:
        self.id, self.disk, self._make_core = node_id, disk, make_core
        self.incarnation = 0
        self.slow_disk = False
        self.shown = 1  # applied entries that were told of: replays after a restart are not
        self.start()

    def start(self) -> None:
        self.incarnation += 1
        self.running = True
        self.applied = 0
        self.pending: Write | None = None
        self.fetches: list[Fetch] = []
        self.tickets: dict[int, list[tuple[Ticket, str]]] = {}
        self.core = self._make_core(self.id, self.incarnation, self.disk.read())

    def held(self) -> Sequence[Item]:
        """The entries in memory."""
        log = self.core.log
        return cast(Sequence[Item], log.slice(log.first_in_memory, 1 << 62))

    def item(self, index: int) -> Item:
        if index < self.core.log.first_in_memory:
            return self.disk.item(index)
        return cast(Item, self.core.log.entry(index))


@dataclass(slots=True)
class Result:
    """What became of a proposal, as its node's applied log tells (rule R5)."""

    node: int
    ticket: Ticket
    command: str
    committed: bool


@dataclass(slots=True)
class Cluster:
    """`tell` hears of everything worth showing. Messages wait in `pool` until they are delivered."""

    rng: Callable[[int], Random]
    tell: Callable[[str], None] = lambda line: None
    settings: dict[str, int] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)
    disks: dict[int, Disk[Item]] = field(default_factory=dict)
    pool: list[Message] = field(default_factory=list)
    cut: set[tuple[int, int]] = field(default_factory=set)
    acknowledged: list[Item] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    answered: list[tuple[ReadId, int]] = field(default_factory=list)
    invariants: Invariants = field(init=False)
    genesis: Item = field(init=False)

    # -- members

    def found(self, conf: Conf) -> None:
        """Starts the nodes of the first configuration."""
        self.genesis = make_item("", 1, 0, conf)
        self.invariants = Invariants(self.genesis, self.disks)
        for node_id in conf.everyone:
            self.join(node_id)

    def join(self, node_id: int) -> None:
        """Starts a new node, which knows the genesis entry and nothing else."""
        self.disks[node_id] = Disk([self.genesis])
        self.nodes[node_id] = node = Node(node_id, self.disks[node_id], self._make_core)
        self.invariants.started(node)
        self._settle(node)

    def _make_core(self, node_id: int, incarnation: int, durable: Durable) -> RaftCore:
        config = Config(node_id, incarnation, **self.settings)
        return RaftCore(config, durable, seal=seal, check=check, rng=self.rng(node_id))

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.running]

    # -- inputs, one step each

    def tick(self, node_id: int) -> None:
        self._input(node_id, lambda core: core.tick())

    def deliver(self, message: Message) -> None:
        """Hands one message over; it need not come from the pool. A node that is down loses it."""
        node = self.nodes.get(message.to)
        if node is not None and node.running:
            self._input(node.id, lambda core: core.step(message))

    def time_out_now(self, node_id: int) -> None:
        """As if the leader of its term had asked it to campaign at once."""
        core = self.nodes[node_id].core
        self.deliver(TimeoutNow(core.leader or node_id, node_id, core.term))

    def propose(self, node_id: int, payloads: Sequence[object]) -> list[Ticket]:
        node = self.nodes[node_id]
        tickets: list[Ticket] = []
        self._input(node_id, lambda core: tickets.extend(core.propose(payloads)), settle=False)
        for ticket in tickets:
            command = node.item(ticket.index).command
            node.tickets.setdefault(ticket.index, []).append((ticket, command))
        self._settle(node)
        return tickets

    def submit(self, node_id: int, command: str) -> Ticket | None:
        """As the desk does (rule R9): None while it may not decide; a known command gets its first place again."""
        node = self.nodes[node_id]
        leadership = node.core.leadership
        if leadership is None or node.core.applied < leadership.first_index:
            return None
        for index in range(node.core.log.last_index, 0, -1):
            if node.item(index).command == command:
                return Ticket(node.core.log.term(index), index)
        return self.propose(node_id, [command])[0]

    def read(self, node_id: int) -> ReadId:
        core = self.nodes[node_id].core
        read = core.read_index()
        self.invariants.asked(read)
        self._settle(self.nodes[node_id])
        return read

    def transfer(self, node_id: int, to: int) -> None:
        self._input(node_id, lambda core: core.transfer(to))

    def unreachable(self, node_id: int, peer: int) -> None:
        self._input(node_id, lambda core: core.unreachable(peer))

    def persist(self, node_id: int) -> None:
        """The node's write succeeds, and the node hears of it."""
        node = self.nodes[node_id]
        write, node.pending = node.pending, None
        assert write is not None
        self._carry_out(node, write)
        self._input(node_id, lambda core: core.appended(write.token))

    def read_back(self, node_id: int) -> None:
        """The node's disk answers what was asked of it for peers that lag."""
        self._read_back(self.nodes[node_id])
        self._settle(self.nodes[node_id])

    @staticmethod
    def _read_back(node: Node) -> bool:
        fetches, node.fetches = node.fetches, []
        for fetch in fetches:
            last = min(node.core.commit, fetch.first + 2)
            node.core.fetched(fetch.peer, fetch.term, node.disk.entries[fetch.first - 1 : last])
        return bool(fetches)

    def step_down(self, node_id: int) -> None:
        self._input(node_id, lambda core: core.step_down())

    def crash(self, node_id: int, *, after_commit: bool = False) -> None:
        """Loses what was not persisted; `after_commit`: the write succeeds, but the node dies before it hears so."""
        node = self.nodes[node_id]
        if after_commit and node.pending is not None:
            self._carry_out(node, node.pending)
        node.running, node.pending = False, None

    def restart(self, node_id: int) -> None:
        node = self.nodes[node_id]
        node.start()
        self.invariants.started(node)
        self._settle(node)

    # -- outputs

    def _input(self, node_id: int, act: Callable[[RaftCore], Any], *, settle: bool = True) -> None:
        node = self.nodes[node_id]
        act(node.core)
        if settle:
            self._settle(node)

    def _carry_out(self, node: Node, write: Write) -> None:
        self.invariants.persisted(node, write)
        node.disk.carry_out(write)

    def _settle(self, node: Node) -> None:
        """Carries out what the core says until it has nothing more to say."""
        while True:
            ready = node.core.ready()
            self._tell_soft(node, ready)
            busy = self._write(node, ready)
            for message in ready.send:
                self._send(node, message)
            self.invariants.check(node)
            busy |= self._apply(node, ready.apply)
            for read, index in ready.reads:
                self.invariants.answered(read, index)
                self.answered.append((read, index))
                self.tell(f"{node.id} may read at {index} ({name_read(read)})")
            node.fetches += ready.fetch
            busy |= not node.slow_disk and self._read_back(node)
            if not busy:
                return

    def _tell_soft(self, node: Node, ready: Ready) -> None:
        if ready.soft is not None:
            self.tell(f"{node.id} is {ready.soft.role} in term {ready.soft.term}, leader {ready.soft.leader or '-'}")
        if ready.failed:
            self.tell(f"{node.id} overwrites " + ", ".join(f"{old.index}/{old.term}" for old in ready.failed))

    def _write(self, node: Node, ready: Ready) -> bool:
        if ready.write is None:
            return False
        require(node.pending is None, f"node {node.id} starts a write before the last one ended")
        if node.slow_disk:
            node.pending = ready.write
            return False
        for message in ready.send:
            self._send(node, message)
        ready.send.clear()
        self._carry_out(node, ready.write)
        node.core.appended(ready.write.token)
        return True

    def _send(self, node: Node, message: Message) -> None:
        self.invariants.sent(node, message)
        if (message.sender, message.to) not in self.cut:
            self.pool.append(message)

    def _apply(self, node: Node, index: int) -> bool:
        if not index:
            return False
        require(index > node.applied, f"node {node.id} applies {index} twice")
        new = node.disk.entries[node.applied : index]
        require(len(new) == index - node.applied, f"node {node.id} applies {index}, which is not durable")
        node.applied = index
        for item in new:
            self._resolve(node, item)
        if news := [f"{item.index}/{item.term} {item.command}" for item in new if item.index > node.shown]:
            self.tell(f"{node.id} applies {', '.join(news)}")
            node.shown = index
        node.core.apply_done(index)
        return True

    def _resolve(self, node: Node, item: Item) -> None:
        for ticket, command in node.tickets.pop(item.index, []):
            committed = item.term == ticket.term
            self.results.append(Result(node.id, ticket, command, committed))
            if committed:
                require(item.command == command, f"ticket {ticket} of {command} was given to {item.command}")
                self.acknowledged.append(item)
                self.invariants.check_acknowledged([item])
            self.tell(
                f"{node.id}: {command} at {ticket.index}/{ticket.term} " + ("succeeded" if committed else "failed")
            )

    # -- many steps

    def stabilize(self, limit: int = 10_000) -> None:
        """Delivers until nothing is on its way."""
        for _ in itertools.repeat(None, limit):
            if not self.pool:
                return
            self.deliver(self.pool.pop(0))
        raise AssertionError(f"the cluster does not come to rest within {limit} messages")


def name_read(read: ReadId) -> str:
    return f"read {read.counter} of node {read.node}"
