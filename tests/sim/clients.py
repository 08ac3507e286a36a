"""Clients: each carries one command at a time to some node, and asks again elsewhere until it is answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from ballot.ledger.desk import Verdict
from ballot.ledger.entry import Entry
from ballot.ledger.raft.messages import NotLeader, Overloaded
from tests.sim.history import Waiter
from tests.sim.node import Node
from tests.sim.opening import KINDS, VOTERS, Operation, operations
from tests.sim.world import World


@dataclass(slots=True)
class Client:
    id: int
    operation: Operation | None = None
    floor: int = 0
    attempt: int = 0
    deadline: float = 0.0
    timed: bool = False
    done: list[Operation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Request:
    """A command on its way to the leader; `at` is the node that forwards it."""

    client: Client
    attempt: int
    operation: Operation
    floor: int
    at: Node
    epoch: int


class Clients:
    def __init__(self, world: World) -> None:
        self.world = world
        self.all = [Client(number) for number in range(world.profile.clients)]
        self.stopping = False
        self._front = 0
        self._parked: list[Client] = []
        world.leader_known = self._wake_parked
        world.answer = self._on_answer
        for client in self.all:
            world.at(world.around(5.0), self._begin, client)

    @property
    def idle(self) -> bool:
        return all(client.operation is None for client in self.all)

    def finish(self) -> None:
        """Nothing new but one last command; what is under way is asked for until it is answered."""
        self.stopping = True
        for client in self.all:
            if client.operation is not None:
                self._try(client)
        last = self.all[0]
        if last.operation is None:
            self._ask(last, self._pick())

    # -- what to ask

    def _begin(self, client: Client, _: None) -> None:
        if client.operation is not None or self.stopping:
            return
        if client.done and self.world.random() < 0.15:
            self.world.count["asked again"] += 1
            self._ask(client, self.world.rng.choice(client.done))
        elif self.world.random() < 0.05:
            self.read(self._some_node())
            self.world.at(self.world.around(self.world.profile.think), self._begin, client)
        else:
            self._ask(client, self._pick())

    def _pick(self) -> Operation:
        """Something for a voter near the front, so that clients race for the same rights."""
        draw = self.world.random
        voter = min(VOTERS - 1, max(0, self._front + int(draw() * 5) - 3))
        variants = operations(KINDS[int(draw() * 4)], voter)
        return variants[int(draw() * len(variants))]

    def submit(self, operation: Operation) -> None:
        """An operator's command, asked for by the first client that is free."""
        for client in self.all:
            if client.operation is None:
                self._ask(client, operation)
                return

    def _ask(self, client: Client, operation: Operation, at: Node | None = None) -> None:
        client.operation, client.floor = operation, self.world.history.acknowledged
        self._try(client, at)

    def flock(self, node: Node, epoch: int) -> None:
        """Several clients turn to one node at once: it leads since just now, or perhaps no longer."""
        if self.stopping or not node.up or node.epoch != epoch:
            return
        self.read(node)
        for client in self.all[: int(self.world.random() * 4)]:
            if client.operation is None:
                self._ask(client, self._pick(), node)
            else:
                self._try(client, node)

    def read(self, node: Node | None) -> None:
        if node is None:
            return
        try:
            read = node.core.read_index()
        except NotLeader:
            return
        self.world.reads[read] = len(self.world.checks.committed)
        self.world.turn(node)

    def _some_node(self) -> Node | None:
        nodes = [node for node in self.world.nodes.values() if node.up and node.paused_until <= self.world.now]
        return nodes[int(self.world.random() * len(nodes))] if nodes else None

    # -- how it travels

    def _try(self, client: Client, at: Node | None = None) -> None:
        world = self.world
        client.attempt += 1
        client.deadline = world.now + world.profile.patience * (0.5 + world.random())
        if not client.timed:
            client.timed = True
            world.at(client.deadline - world.now, self._on_timeout, client)
        assert client.operation is not None
        node = at or self._some_node()
        if node is not None and (leader := node.core.leader):
            request = Request(client, client.attempt, client.operation, client.floor, node, node.epoch)
            if leader == node.id:
                self._decide(node, request)
            elif not self._lost(node.id, leader):
                world.at(world.travel(), self._on_forwarded, leader, request)
        else:
            self._parked.append(client)

    def _wake_parked(self) -> None:
        """Somebody knows a leader: who waited for one tries again, some at once, some a little later."""
        parked, self._parked = self._parked, []
        for client in parked:
            self.world.at(self.world.random() * 3, self._unpark, client, client.attempt)

    def _unpark(self, client: Client, attempt: int) -> None:
        if client.operation is not None and client.attempt == attempt:
            self._try(client)

    def _lost(self, sender: int, to: int) -> bool:
        lost = (sender, to) in self.world.cut or self.world.random() < self.world.profile.drop
        self.world.count["messages dropped"] += lost
        return lost

    def _on_forwarded(self, leader: int, request: Request) -> None:
        node = self.world.nodes[leader]
        if node.up and node.paused_until <= self.world.now:
            self._decide(node, request)

    def _decide(self, leader: Node, request: Request) -> None:
        world, operation = self.world, request.operation
        if leader.core.leadership is None:
            return
        try:
            verdict = leader.desk.decide(operation.encoded)
        except NotLeader:
            return
        except Overloaded:
            world.count["overloaded"] += 1
            return
        if verdict.new and not verdict.refusal:
            world.count["proposed"] += 1
            world.history.proposed[verdict.term, verdict.index] = operation
        world.tell(
            f"{leader.id} decides {operation.name}: {verdict.refusal or 'yes'} at {verdict.index}/{verdict.term}"
        )
        if leader is request.at:
            self._wait(request, verdict)
        elif not self._lost(leader.id, request.at.id):
            world.at(world.travel(), self._wait, request, verdict)
        if leader.up:
            world.moved(leader)

    def _wait(self, request: Request, verdict: Verdict) -> None:
        node = request.at
        if node.up and node.epoch == request.epoch:
            waiter = Waiter(request.client.id, request.attempt, request.operation, request.floor, verdict)
            self.world.wait(node, waiter)

    def _on_timeout(self, client: Client, _: None) -> None:
        """No answer in time: outcome unknown, so the same command is asked for again, anywhere."""
        client.timed = False
        if client.operation is None:
            return
        if self.world.now < client.deadline:
            client.timed = True
            self.world.at(client.deadline - self.world.now, self._on_timeout, client)
        else:
            self.world.count["retries"] += 1
            self._try(client)

    def _on_answer(self, waiter: Waiter, entry: Entry) -> None:
        world, client, verdict = self.world, self.all[waiter.client], waiter.verdict
        world.history.told(waiter, entry)
        world.count["refusals" if verdict.refusal else "acknowledged"] += 1
        world.tell(f"client {client.id} is told: {waiter.operation.name} {verdict.refusal or 'done'}, {verdict.index}")
        if client.operation is not waiter.operation or client.attempt != waiter.attempt:
            world.count["late answers"] += 1
            return
        if not verdict.refusal:
            client.done.append(waiter.operation)
            if waiter.operation.name.startswith("cast"):
                self._front = min(self._front + 1, VOTERS)
        client.operation = None
        world.at(world.around(world.profile.think), self._begin, client)
