"""One run: a heap of events in virtual time, a network that fails, nodes that carry out what their cores say.

Every event is one step. Each ends with the checks of the node that it moved. Time is counted in ticks.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any, cast

from ballot.ledger.clock import Sample
from ballot.ledger.desk import Verdict
from ballot.ledger.entry import Entry
from ballot.ledger.raft.messages import AppendReply, Fetch, Message, ReadId, Ready, Write
from ballot.voting.fold import fold
from ballot.voting.tables import Put
from tests.sim.checks import Checks, require
from tests.sim.history import History, Waiter
from tests.sim.node import TICK_US, Node
from tests.sim.opening import opening, puts
from tests.sim.profile import Profile

Event = tuple[float, int, Callable[[Any, Any], None], Any, Any]
MEASURE_EVERY = 6
FETCH_ENTRIES = 5


class World:
    def __init__(self, rng: random.Random, profile: Profile, tell: Callable[[str], None] | None = None) -> None:
        self.rng, self.profile, self._tell = rng, profile, tell
        self.random = rng.random
        self.now, self.steps = 0.0, 0
        self.count: Counter[str] = Counter()
        self.nodes: dict[int, Node] = {}
        self.cut: set[tuple[int, int]] = set()
        self.opening = opening(profile.nodes)
        self.checks = Checks(self.opening, self.nodes)
        self.history = History(self.opening, self.checks)
        self.reads: dict[ReadId, int] = {}
        self.answer: Callable[[Waiter, Entry], None] = lambda waiter, entry: None
        self.lead: Callable[[Node], None] = lambda node: None
        self.leader_known: Callable[[], None] = lambda: None
        self.crashed: Callable[[Node], None] = lambda node: None
        self._events: list[Event] = []
        self._pushed = 0
        self._changes: dict[bytes, Sequence[Put]] = {}
        for node_id in range(1, profile.nodes + 1):
            self.join(node_id)

    # -- time

    def at(self, delay: float, act: Callable[[Any, Any], None], a: Any = None, b: Any = None) -> None:
        self._pushed += 1
        heappush(self._events, (self.now + delay, self._pushed, act, a, b))

    def run(self, steps: int) -> None:
        events = self._events
        for _ in range(steps):
            self.now, _, act, a, b = heappop(events)
            self.steps += 1
            act(a, b)

    def around(self, mean: float) -> float:
        """A waiting time with this mean."""
        return -math.log(1.0 - self.random()) * mean

    def tell(self, text: str) -> None:
        if self._tell is not None:
            self._tell(f"{self.steps:6} {self.now:8.2f}  {text}")

    # -- nodes

    def join(self, node_id: int) -> Node:
        node = self.nodes[node_id] = Node(node_id, self.opening, lambda: self.now, self.rng)
        node.drift = (self.random() - 0.5) * 0.02
        self.start(node)
        return node

    def start(self, node: Node) -> None:
        node.start(self.profile.config)
        self.tell(f"{node.id} starts at term {node.core.term}, log to {node.core.log.last_index}")
        self.at(self.random(), self._on_tick, node, node.epoch)
        self.turn(node)

    def crash(self, node: Node) -> None:
        """What was not synced is lost or, where a write was on its way, perhaps kept."""
        if not node.up:
            return
        node.up = False
        self.count["crashes"] += 1
        if node.flight is not None:
            if self.random() < 0.4:
                self.count["unknown outcomes kept"] += 1
                self._carry_out(node, node.flight)
            else:
                self.count["lost writes"] += 1
        if node.disk.hard is not node.disk.synced and self.random() < 0.5:
            node.disk.lose_power()
            self.count["lost writes"] += 1
        held = node.tables.applied - len(self.opening.entries)
        if held and self.random() < 0.4:
            node.tables.lose(min(held, self.rng.randrange(1, 6)))
            self.count["lost projections"] += 1
        self.tell(f"{node.id} crashes, log to {len(node.disk.entries)}, applied {node.tables.applied}")
        self.crashed(node)

    def _on_tick(self, node: Node, epoch: int) -> None:
        if node.epoch != epoch or not node.up:
            return
        if self.now < node.paused_until:
            self.at(node.paused_until - self.now, self._on_tick, node, epoch)
            return
        self.at(1.0 + node.drift, self._on_tick, node, epoch)
        node.core.tick()
        node.ticks += 1
        if node.core.leadership is not None:
            self._lead_tick(node)
        self.turn(node)

    def _lead_tick(self, node: Node) -> None:
        """Compares clocks as heartbeats do, and gives up leading with a bad one (rule R8)."""
        leadership = node.core.leadership
        assert leadership is not None
        self.count["ticks slowed down for a follower"] += leadership.pace.waits_for > 0
        stalled = node.core.write_ticks > node.core.config.stall_ticks
        self.count["transfers off a stalled disk"] += stalled and leadership.transfer_ticks == 1
        clock = node.clock
        clock.follow(node.id, node.core.log.conf.voters)
        if node.ticks % MEASURE_EVERY == 0 or not clock.synchronised:
            for peer in node.core.log.conf.everyone:
                other = self.nodes[peer]
                if other is node or not other.up or (node.id, peer) in self.cut or (peer, node.id) in self.cut:
                    continue
                trip = int((self.profile.delay + self.random() * self.profile.jitter) * TICK_US) + 1
                error = int((self.random() - 0.5) * trip)
                clock.observe(peer, Sample(other.clock.raw_us() - clock.raw_us() + error, trip))
                correction = clock.correction_for(peer)
                if correction is not None:
                    other.clock.accept_correction(correction)
        if clock.out_of_bound and len(node.core.log.conf.everyone) > 1:
            self.count["steps down for its clock"] += 1
            node.core.step_down()

    # -- what the core says

    def moved(self, node: Node) -> None:
        """After an input: the turn comes now, or together with the next input."""
        if self.random() < self.profile.lazy_turn:
            if not node.waiting_turn:
                node.waiting_turn = True
                self.at(0.01, self._late_turn, node, node.epoch)
            self.checks.after(node)
        else:
            self.turn(node)

    def _late_turn(self, node: Node, epoch: int) -> None:
        if node.up and node.epoch == epoch and node.waiting_turn:
            self.turn(node)

    def turn(self, node: Node) -> None:
        node.waiting_turn = False
        ready = node.core.ready()
        if ready.soft is not None:
            self._on_role(node, ready)
        if ready.send:
            for message in ready.send:
                self.checks.sent(node, message)
                self._send(message)
        if ready.write is not None:
            require(node.flight is None, f"node {node.id} starts a write before the last one ended")
            node.flight = ready.write
            delay = self.around(self.profile.disk_delay * node.slow)
            self.at(delay, self._on_written, node, node.epoch)
        if ready.apply:
            node.target = ready.apply
            if not node.applying and node.target > node.tables.applied:
                node.applying = True
                self.at(self.around(self.profile.apply_delay), self._on_apply, node, node.epoch)
        for read, index in ready.reads:
            self._on_read(read, index)
        for fetch in ready.fetch:
            self.at(self.around(self.profile.disk_delay), self._on_fetched, (node, node.epoch), fetch)
        self.checks.after(node)

    def _on_role(self, node: Node, ready: Ready) -> None:
        node.machine.rewind()
        core, soft = node.core, ready.soft
        assert soft is not None
        self.tell(f"{node.id} is {soft.role} in term {soft.term}, leader {soft.leader or '-'}")
        if soft.leader:
            self.leader_known()
        if core.leadership is not None:
            node.clock.forget()
            self.count["elections"] += 1
            self.lead(node)

    def _carry_out(self, node: Node, write: Write) -> None:
        self.checks.persisting(node, write)
        self.count["truncations"] += write.truncate_from > 0
        node.disk.carry_out(write)
        if self._tell:
            cut = f", from {write.truncate_from} on deleted" if write.truncate_from else ""
            hard, held = write.hard, len(node.disk.entries)
            self.tell(f"{node.id} wrote term {hard.term}, vote {hard.vote}, commit {hard.commit}, log to {held}{cut}")

    def _on_written(self, node: Node, epoch: int) -> None:
        if not node.up or node.epoch != epoch:
            return
        write = node.flight
        assert write is not None
        if self.random() < self.profile.disk_error:
            self.count["disk errors"] += 1
            self.crash(node)  # Error or no answer: the outcome is unknown either way (rule R3).
            return
        self._carry_out(node, write)
        node.flight = None
        node.core.appended(write.token)
        self.turn(node)

    def _on_apply(self, node: Node, epoch: int) -> None:
        if not node.up or node.epoch != epoch:
            return
        node.applying = False
        entries, committed = node.disk.entries, self.checks.committed
        for index in range(node.tables.applied + 1, node.target + 1):
            entry = entries[index - 1]
            require(entry.hash == committed[index - 1].hash, f"node {node.id} applies {index}, which is not committed")
            changes = self._changes.get(entry.hash)
            if changes is None:
                changes = self._changes[entry.hash] = puts(fold(entry))
            node.tables.apply(index, changes)
            node.machine.folded(index, changes)
            self.checks.applied(node, index)
        node.core.apply_done(node.target)
        if self._tell:
            self.tell(f"{node.id} applied {node.target}")
        if node.waiters:
            self._answer_waiting(node)
        self.turn(node)

    def _on_fetched(self, asked: tuple[Node, int], fetch: Fetch) -> None:
        node, epoch = asked
        if node.up and node.epoch == epoch:
            last = min(node.core.commit, fetch.first + FETCH_ENTRIES - 1)
            node.core.fetched(fetch.peer, fetch.term, node.disk.entries[fetch.first - 1 : last])
            self.turn(node)

    def _on_read(self, read: ReadId, index: int) -> None:
        self.count["reads"] += 1
        floor = self.reads[read]
        require(index >= floor, f"a stale read: index {index}, but {floor} was committed when it was asked for")

    # -- commands

    def wait(self, node: Node, waiter: Waiter) -> None:
        """As `Submitter` does: the verdict holds once its place is applied here with its term (rule R5)."""
        node.waiters.append(waiter)
        if node.tables.applied >= waiter.verdict.index:
            self._answer_waiting(node)

    def _answer_waiting(self, node: Node) -> None:
        applied = node.tables.applied
        ripe = [waiter for waiter in node.waiters if waiter.verdict.index <= applied]
        node.waiters = [waiter for waiter in node.waiters if waiter.verdict.index > applied]
        for waiter in ripe:
            if self.holds(node, waiter.verdict):
                self.answer(waiter, node.disk.entries[waiter.verdict.index - 1])

    def holds(self, node: Node, verdict: Verdict) -> bool:
        return node.core.log.term(verdict.index) == verdict.term

    # -- the network

    def _send(self, message: Message) -> None:
        profile, draw = self.profile, self.random
        if (message.sender, message.to) in self.cut or draw() < profile.drop:
            self.count["messages dropped"] += 1
            return
        self.at(self.travel(), self._on_message, message)
        if draw() < profile.duplicate:
            self.count["messages duplicated"] += 1
            self.at(self.travel() * 3, self._on_message, message)

    def travel(self) -> float:
        """How long a message takes. Each is drawn alone, so messages overtake each other."""
        profile = self.profile
        delay = profile.delay + self.random() * profile.jitter
        if self.random() < profile.straggle:
            delay += self.around(profile.straggle_delay)
        return delay

    def _on_message(self, message: Message, _: None) -> None:
        node = self.nodes[message.to]
        if not node.up:
            self.count["messages dropped"] += 1
            return
        if self.now < node.paused_until:
            self.at(node.paused_until - self.now, self._on_message, message)
            return
        if self._tell:
            self.tell(f"{message.sender} > {message.to}  {describe(message)}")
        node.core.step(message)
        if message.__class__ is AppendReply:
            self.checks.match(node, message.sender)
        self.moved(node)

    def unreachable(self, node: Node, peer: int) -> None:
        if node.up:
            node.core.unreachable(peer)
            self.turn(node)


def describe(message: Message) -> str:
    fields = []
    for name in cast(Any, message).__dataclass_fields__:
        if name in ("sender", "to"):
            continue
        value = getattr(message, name)
        if name == "entries":
            value = ",".join(f"{entry.index}/{entry.term}" for entry in value) or "-"
        fields.append(f"{name}={value}")
    return f"{type(message).__name__} {' '.join(fields)}"
