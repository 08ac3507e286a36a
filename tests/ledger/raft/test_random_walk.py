"""Many random lives of a small cluster. Every step is checked; at the end the healed cluster must make progress."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable

import pytest

from ballot.ledger.raft.core import LEADER
from ballot.ledger.raft.messages import Conf, ConfRefused, NotLeader, Overloaded
from tests.support.raft import Cluster, Node

SEEDS = range(90)
STEPS = 600
REFUSALS = (NotLeader, ConfRefused, Overloaded)
# Small limits, so that split writes, partial appends and reads from the disk are the rule.
TIGHT = {
    "max_append_bytes": 40,
    "max_write_bytes": 50,
    "max_write_entries": 3,
    "tail_bytes": 60,
    "max_uncommitted_bytes": 400,
}


class Walk:
    """One random life. Everything random comes from the seed."""

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
        self.actions: dict[Callable[[], None], int] = {
            self.tick: self.rng.choice((40, 80)),
            self.deliver: 80,
            self.persist: 30,
            self.propose: 10,
            self.submit: 4,
            self.read: 4,
            self.partition: 1,
            self.heal: 2,
            self.crash: 2,
            self.restart: 4,
            self.change_members: 2,
            self.hand_over: 1,
            self.step_down: 1,
            self.doze: self.rng.choice((0, 3)),
            self.stray_timeout: self.rng.choice((0, 2)),
            self.lose_connection: 1,
        }

    def run(self, steps: int) -> None:
        for action in self.rng.choices(list(self.actions), list(self.actions.values()), k=steps):
            action()
        self.recover()

    def leaders(self) -> list[Node]:
        return [node for node in self.cluster.running if node.core.role == LEADER]

    def some(self, nodes: list[Node]) -> list[Node]:
        """One of them, if there is one."""
        return [self.rng.choice(nodes)] if nodes else []

    # -- actions

    def tick(self) -> None:
        for node in self.cluster.running:
            if self.rng.random() < 0.8:
                self.cluster.tick(node.id)

    def doze(self) -> None:
        """One node's clock runs while the others' stand still, as after a pause."""
        for node in self.some(self.cluster.running):
            for _ in range(25):
                self.cluster.tick(node.id)

    def stray_timeout(self) -> None:
        for node in self.some(self.cluster.running):
            self.cluster.time_out_now(node.id)

    def deliver(self) -> None:
        """A few messages, mostly in order; some are lost, some stay to be delivered again."""
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
            if node.fetches and self.rng.random() < 0.6:
                self.cluster.read_back(node.id)

    def propose(self) -> None:
        count = self.rng.randrange(1, 8)
        commands = [f"c{self.commands + i}" for i in range(count)]
        self.commands += count
        for node in self.some(self.leaders() or self.cluster.running):
            with contextlib.suppress(*REFUSALS):
                self.cluster.propose(node.id, commands)

    def submit(self) -> None:
        """A client that may have asked before, perhaps another node."""
        for node in self.some(self.leaders()):
            with contextlib.suppress(*REFUSALS):
                self.cluster.submit(node.id, f"ballot{self.rng.randrange(10)}")

    def read(self) -> None:
        for node in self.some(self.cluster.running):
            with contextlib.suppress(*REFUSALS):
                self.cluster.read(node.id)

    def partition(self) -> None:
        nodes = list(self.cluster.nodes)
        side = set(self.rng.sample(nodes, self.rng.randrange(1, len(nodes) + 1)))
        one_way = self.rng.random() < 0.3
        self.cluster.cut = {
            (a, b) for a in nodes for b in nodes if (a in side) != (b in side) and (a in side or not one_way)
        }

    def heal(self) -> None:
        self.cluster.cut = set()

    def crash(self) -> None:
        for node in self.some(self.cluster.running):
            self.cluster.crash(node.id, after_commit=self.rng.random() < 0.5)

    def restart(self) -> None:
        for node in self.some([node for node in self.cluster.nodes.values() if not node.running]):
            self.cluster.restart(node.id)

    def change_members(self) -> None:
        for leader in self.leaders():
            with contextlib.suppress(*REFUSALS):
                self.cluster.propose(leader.id, [self.changed(leader.core.log.conf)])

    def changed(self, conf: Conf) -> Conf:
        if conf.learners and self.rng.random() < 0.7:
            return Conf((*conf.voters, conf.learners[0]), conf.learners[1:])
        if self.rng.random() < 0.4:
            gone = self.rng.choice(conf.voters)
            return Conf(tuple(voter for voter in conf.voters if voter != gone), conf.learners)
        if len(conf.everyone) > 6:
            return conf
        new, self.fresh_node = self.fresh_node, self.fresh_node + 1
        self.cluster.join(new)
        self.cluster.nodes[new].slow_disk = self.rng.random() < 0.7
        if self.rng.random() < 0.5:
            return Conf(conf.voters, (*conf.learners, new))
        return Conf((*conf.voters, new), conf.learners)

    def hand_over(self) -> None:
        for leader in self.leaders():
            with contextlib.suppress(*REFUSALS):
                self.cluster.transfer(leader.id, self.rng.choice(leader.core.log.conf.voters))

    def step_down(self) -> None:
        """As a leader does whose clock is wrong."""
        for leader in self.some(self.leaders()):
            self.cluster.step_down(leader.id)

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
            self.cluster.read_back(node.id)
        if not any(self.commits_everywhere(f"last{attempt}") for attempt in range(10)):
            raise AssertionError("the healed cluster makes no progress")
        self.cluster.invariants.check_acknowledged(self.cluster.acknowledged)
        times = Counter(committed.item.command for committed in self.cluster.invariants.committed)
        twice = [command for command, count in times.items() if count > 1 and command.startswith("ballot")]
        assert not twice, f"carried out twice: {twice}"

    def pass_time(self, ticks: int) -> None:
        for _ in range(ticks):
            for node in self.cluster.running:
                self.cluster.tick(node.id)
            self.cluster.stabilize()

    def commits_everywhere(self, command: str) -> bool:
        self.pass_time(30)
        leader = max(self.leaders(), key=lambda node: node.core.term, default=None)
        if leader is None:
            return False
        try:
            [ticket] = self.cluster.propose(leader.id, [command])
        except REFUSALS:
            return False
        self.pass_time(30)
        members = [self.cluster.nodes[member] for member in leader.core.log.conf.everyone]
        applied = all(member.applied >= ticket.index for member in members)
        return applied and all(member.disk.item(ticket.index).term == ticket.term for member in members)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_life_breaks_no_invariant_and_ends_well(seed: int) -> None:
    try:
        Walk(seed).run(STEPS)
    except Exception as error:
        error.add_note(f"seed {seed}: Walk({seed}).run({STEPS})")
        raise
