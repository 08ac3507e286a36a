"""Many short random lives of a small cluster. Every step is checked; at the end the healed cluster must make progress."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ballot.ledger.raft.core import LEADER
from ballot.ledger.raft.messages import Conf, ConfRefused, NotLeader, Overloaded
from tests.support.raft import Cluster, Node

SEEDS = range(60)
STEPS = 600
TIGHT = {
    "max_append_bytes": 40,
    "max_write_bytes": 50,
    "max_write_entries": 3,
    "tail_bytes": 60,
    "max_uncommitted_bytes": 400,
}


class Walk:
    """Small limits, so that split writes, partial appends and reads from the disk are the rule."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cluster = Cluster(lambda node: self.rng, settings=dict(TIGHT) if seed % 3 else {})
        size = self.rng.choice((1, 2, 3, 3, 3, 4, 5))
        self.cluster.found(Conf(tuple(range(1, size + 1))))
        self.fresh_node = size + 1
        self.commands = 0
        self.loss = self.rng.choice((0.0, 0.02, 0.2))
        for node in self.cluster.nodes.values():
            node.slow_disk = self.rng.random() < 0.7
        self.actions: list[tuple[Callable[[], None], int]] = [
            (self.tick, 40),
            (self.deliver, 80),
            (self.persist, 30),
            (self.propose, 10),
            (self.read, 4),
            (self.partition, 1),
            (self.heal, 2),
            (self.crash, 2),
            (self.restart, 4),
            (self.change_members, 2),
            (self.hand_over, 1),
            (self.lose_connection, 1),
        ]

    def run(self, steps: int) -> None:
        actions, weights = zip(*self.actions, strict=True)
        for action in self.rng.choices(actions, weights, k=steps):
            action()
        self.recover()

    def any_node(self) -> Node | None:
        running = self.cluster.running
        return self.rng.choice(running) if running else None

    def leaders(self) -> list[Node]:
        return [node for node in self.cluster.running if node.core.role == LEADER]

    # -- actions

    def tick(self) -> None:
        for node in self.cluster.running:
            if self.rng.random() < 0.8:
                self.cluster.tick(node.id)

    def deliver(self) -> None:
        pool = self.cluster.pool
        for _ in range(min(len(pool), self.rng.randrange(1, 6))):
            position = 0 if self.rng.random() < 0.7 else self.rng.randrange(len(pool))
            fate = self.rng.random()
            message = pool[position] if fate < 0.05 else pool.pop(position)
            if fate < 1 - self.loss and (message.sender, message.to) not in self.cluster.cut:
                self.cluster.deliver(message)

    def persist(self) -> None:
        for node in self.cluster.running:
            if node.pending is not None and self.rng.random() < 0.6:
                self.cluster.persist(node.id)

    def propose(self) -> None:
        node = self.rng.choice(self.leaders() or [self.any_node()])
        if node is None:
            return
        count = self.rng.randrange(1, 8)
        payloads = [f"c{self.commands + i}" for i in range(count)]
        self.commands += count
        try:
            self.cluster.propose(node.id, payloads)
        except (NotLeader, Overloaded):
            pass

    def read(self) -> None:
        node = self.any_node()
        if node is not None:
            try:
                self.cluster.read(node.id)
            except NotLeader:
                pass

    def partition(self) -> None:
        nodes = list(self.cluster.nodes)
        side = set(self.rng.sample(nodes, self.rng.randrange(1, len(nodes) + 1)))
        pairs = {(a, b) for a in nodes for b in nodes if (a in side) != (b in side)}
        if self.rng.random() < 0.3:
            pairs = {(a, b) for a, b in pairs if a in side}
        self.cluster.cut = pairs

    def heal(self) -> None:
        self.cluster.cut = set()

    def crash(self) -> None:
        node = self.any_node()
        if node is not None:
            self.cluster.crash(node.id, after_commit=self.rng.random() < 0.5)

    def restart(self) -> None:
        down = [node for node in self.cluster.nodes.values() if not node.running]
        if down:
            self.cluster.restart(self.rng.choice(down).id)

    def change_members(self) -> None:
        for leader in self.leaders():
            try:
                self.cluster.propose(leader.id, [self.changed(leader.core.log.conf)])
            except (NotLeader, ConfRefused, Overloaded):
                pass

    def changed(self, conf: Conf) -> Conf:
        if conf.learners and self.rng.random() < 0.7:
            return Conf((*conf.voters, conf.learners[0]), conf.learners[1:])
        if len(conf.voters) > 1 and self.rng.random() < 0.4:
            gone = self.rng.choice(conf.voters)
            return Conf(tuple(voter for voter in conf.voters if voter != gone), conf.learners)
        if len(conf.everyone) > 6:
            return Conf(conf.voters)
        new, self.fresh_node = self.fresh_node, self.fresh_node + 1
        self.cluster.join(new)
        self.cluster.nodes[new].slow_disk = self.rng.random() < 0.7
        if self.rng.random() < 0.5:
            return Conf(conf.voters, (*conf.learners, new))
        return Conf((*conf.voters, new), conf.learners)

    def hand_over(self) -> None:
        for leader in self.leaders():
            try:
                self.cluster.transfer(leader.id, self.rng.choice(leader.core.log.conf.voters))
            except (ConfRefused, NotLeader):
                pass

    def lose_connection(self) -> None:
        for leader in self.leaders():
            self.cluster.unreachable(leader.id, self.rng.choice(list(self.cluster.nodes)))

    # -- the end

    def recover(self) -> None:
        """All nodes up, all links whole, disks quick: a command must commit and reach every member."""
        self.heal()
        for node in self.cluster.nodes.values():
            node.slow_disk = False
            if not node.running:
                self.cluster.restart(node.id)
            if node.pending is not None:
                self.cluster.persist(node.id)
        for attempt in range(20):
            self.turn(30)
            if self.commits_everywhere(f"last{attempt}"):
                break
        else:
            raise AssertionError("the healed cluster makes no progress")
        self.cluster.invariants.check_acknowledged(self.cluster.acknowledged)

    def turn(self, ticks: int) -> None:
        for _ in range(ticks):
            for node in self.cluster.running:
                self.cluster.tick(node.id)
            self.cluster.stabilize()

    def commits_everywhere(self, command: str) -> bool:
        leaders = self.leaders()
        if not leaders:
            return False
        leader = max(leaders, key=lambda node: node.core.term)
        try:
            [ticket] = self.cluster.propose(leader.id, [command])
        except (NotLeader, Overloaded):
            return False
        self.turn(30)
        members = leader.core.log.conf.everyone
        return all(self.cluster.nodes[member].applied >= ticket.index for member in members) and (
            self.cluster.disks[members[0]].item(ticket.index).term == ticket.term
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_life_breaks_no_invariant_and_ends_well(seed: int) -> None:
    try:
        Walk(seed).run(STEPS)
    except Exception as error:
        error.add_note(f"seed {seed}: Walk({seed}).run({STEPS})")
        raise
