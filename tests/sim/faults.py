"""What goes wrong: one fault after another, at random times, until the run is told to calm down."""

from __future__ import annotations

from ballot.ledger.raft.messages import Conf, ConfRefused, NotLeader, Overloaded
from tests.sim.clients import Clients
from tests.sim.node import Node
from tests.sim.opening import closing, conf_draft
from tests.sim.profile import calm
from tests.sim.world import World

MOST_NODES = 7


class Faults:
    def __init__(self, world: World, clients: Clients) -> None:
        self.world, self.clients = world, clients
        self._next_node = world.profile.nodes + 1
        world.lead = self._on_lead
        world.crashed = self._on_crash
        world.at(world.around(world.profile.fault_every), self._strike)

    def _strike(self, _a: None, _b: None) -> None:
        world = self.world
        if not world.profile.fault_every:
            return
        fault = world.rng.choice(world.profile.faults)
        getattr(self, f"_{fault}")()
        world.at(world.around(world.profile.fault_every), self._strike)

    def end(self) -> None:
        """Everything works again, and every node that is still needed runs."""
        world = self.world
        calm(world.profile)
        world.cut.clear()
        for node in world.nodes.values():
            node.paused_until, node.slow, node.offset_us = 0.0, 1.0, 0
            if not node.up and not node.retired:
                world.start(node)

    # -- helpers

    def _up(self) -> list[Node]:
        return [node for node in self.world.nodes.values() if node.up]

    def _some(self) -> Node | None:
        nodes = self._up()
        return self.world.rng.choice(nodes) if nodes else None

    def _leader(self) -> Node | None:
        leaders = [node for node in self._up() if node.core.leadership is not None]
        return self.world.rng.choice(leaders) if leaders else None

    def _aim(self) -> Node | None:
        """A leader as often as anyone."""
        return self._leader() or self._some() if self.world.random() < 0.5 else self._some()

    def _heal_later(self, pairs: set[tuple[int, int]], lasts: float = 0.0) -> None:
        world = self.world
        world.tell(f"cut: {sorted(pairs)}")
        world.count["cuts"] += 1
        world.cut |= pairs
        world.at(world.around(lasts or world.profile.lasting), self._heal, pairs)

    def _heal(self, pairs: set[tuple[int, int]], _: None) -> None:
        self.world.cut -= pairs

    # -- faults

    def _crash(self) -> None:
        node = self._aim()
        if node is not None:
            self.world.crash(node)

    def _crash_all(self) -> None:
        self.world.tell("all nodes crash")
        for node in self._up():
            self.world.crash(node)

    def _on_crash(self, node: Node) -> None:
        world = self.world
        world.at(world.around(world.profile.lasting / 2), self._restart, node)
        for other in self._up():
            if world.random() < 0.5:
                world.at(world.travel(), world.unreachable, other, node.id)

    def _restart(self, node: Node, _: None) -> None:
        if not node.up and not node.retired:
            self.world.start(node)

    def _cut(self) -> None:
        """One direction of one link."""
        a, b = self._aim(), self._some()
        if a is not None and b is not None and a is not b:
            self._heal_later({(a.id, b.id) if self.world.random() < 0.5 else (b.id, a.id)})

    def _split(self) -> None:
        ids = list(self.world.nodes)
        left = {node for node in ids if self.world.random() < 0.5}
        self._heal_later({(a, b) for a in ids for b in ids if (a in left) != (b in left)})

    def _strand(self) -> None:
        """A leader is left with a minority, which goes on taking commands for a while."""
        leader = self._leader()
        if leader is not None:
            others = [node for node in leader.core.log.conf.everyone if node != leader.id]
            self.world.rng.shuffle(others)
            keeps = {leader.id, *others[: max(0, len(others) // 2 - 1)]}
            rest = set(self.world.nodes) - keeps
            lasts = max(self.world.profile.lasting, 3.0 * self.world.profile.config["election_ticks"])
            self._heal_later({(a, b) for a in keeps for b in rest} | {(a, b) for a in rest for b in keeps}, lasts)
            for _ in range(2):
                self.world.at(self.world.around(lasts / 4), self.clients.flock, leader, leader.epoch)

    def _deafen(self) -> None:
        """One node hears nobody, or nobody hears it."""
        node = self._aim()
        if node is not None:
            others = [other for other in self.world.nodes if other != node.id]
            hears = self.world.random() < 0.5
            self._heal_later({(node.id, other) if hears else (other, node.id) for other in others})

    def _slow_disk(self) -> None:
        node = self._aim()
        if node is not None:
            node.slow = self.world.rng.choice((5.0, 30.0))
            self.world.count["slow disks"] += 1
            self.world.at(self.world.around(self.world.profile.lasting), self._disk_heals, node)

    @staticmethod
    def _disk_heals(node: Node, _: None) -> None:
        node.slow = 1.0

    def _pause(self) -> None:
        node = self._aim()
        if node is not None:
            lasts = self.world.around(self.world.profile.lasting)
            node.paused_until = self.world.now + lasts
            self.world.at(lasts, self.clients.flock, node, node.epoch)
            self.world.count["pauses"] += 1
            self.world.tell(f"{node.id} pauses until {node.paused_until:.1f}")

    def _clock(self) -> None:
        node = self._aim()
        if node is not None:
            reach = self.world.rng.choice((100_000, 2_000_000, 3_600_000_000))
            node.offset_us = int((self.world.random() - 0.5) * 2 * reach)
            self.world.count["clock jumps"] += 1
            self.world.at(self.world.around(self.world.profile.lasting * 2), self._clock_heals, node)

    @staticmethod
    def _clock_heals(node: Node, _: None) -> None:
        node.offset_us = 0

    def _break(self) -> None:
        """Connections break."""
        node = self._some()
        if node is not None:
            for peer in node.core.log.conf.everyone:
                self.world.unreachable(node, peer)

    def _close(self) -> None:
        if self.world.random() < 0.1:
            self.clients.submit(closing())

    def _transfer(self) -> None:
        leader = self._leader()
        if leader is not None:
            to = self.world.rng.choice(leader.core.log.conf.voters)
            try:
                leader.core.transfer(to)
            except ConfRefused:
                return
            self.world.count["transfers"] += 1
            self.world.turn(leader)

    # -- who belongs to the cluster

    def _on_lead(self, node: Node) -> None:
        if self.world.random() < 0.2:
            self.world.at(0.0, self.clients.flock, node, node.epoch)
        if self.world.random() < self.world.profile.eager_conf:
            self.world.at(self.world.random() * 3, self._conf_at, node)

    def _conf(self) -> None:
        leader = self._leader()
        if leader is not None:
            self._conf_at(leader, None)

    def _conf_at(self, leader: Node, _: None) -> None:
        if not leader.up or leader.core.leadership is None:
            return
        kind, conf = self._changed(leader.core.log.conf)
        try:
            (ticket,) = leader.core.propose([conf_draft(kind, conf)])
        except (NotLeader, Overloaded, ConfRefused):
            self.world.count["configurations refused"] += 1
            return
        self.world.tell(f"{leader.id} proposes {conf} at {ticket.index}/{ticket.term}")
        self.world.count["configurations"] += 1
        for node_id in conf.everyone:
            if node_id not in self.world.nodes:
                self._next_node = node_id + 1
                self.world.join(node_id)
        self.world.moved(leader)
        gone = set(self.world.nodes) - set(conf.everyone)
        self.world.at(self.world.around(40.0), self._retire, gone, (ticket.index, ticket.term))

    def _changed(self, conf: Conf) -> tuple[str, Conf]:
        voters, learners, rng = conf.voters, conf.learners, self.world.rng
        grow = len(voters) < 3 or (len(voters) < MOST_NODES and rng.random() < 0.5)
        if learners and rng.random() < 0.7:
            chosen = rng.choice(learners)
            rest = tuple(learner for learner in learners if learner != chosen)
            return ("NodeAdded", Conf((*voters, chosen), rest)) if grow else ("NodeRemoved", Conf(voters, rest))
        if grow or len(voters) == 1:
            if rng.random() < 0.5:
                return "NodeAdded", Conf(voters, (*learners, self._next_node))
            return "NodeAdded", Conf((*voters, self._next_node), learners)
        gone = rng.choice(voters)
        return "NodeRemoved", Conf(tuple(voter for voter in voters if voter != gone), learners)

    def _retire(self, gone: set[int], ticket: tuple[int, int]) -> None:
        """A node is shut down for good only after the entry that removes it is committed."""
        committed = self.world.checks.committed
        index, term = ticket
        if index <= len(committed) and committed[index - 1].term == term:
            for node_id in gone:
                node = self.world.nodes[node_id]
                node.retired = True
                if node.up:
                    self.world.tell(f"{node_id} is shut down for good")
                    node.up = False
