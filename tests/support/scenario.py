"""The language for the Raft core: whole clusters of cores, message by message. Commands: see the methods of Scenario.

Entries are written index/term, messages sender->receiver Kind@term.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from ballot.ledger.raft.core import PRECANDIDATE
from ballot.ledger.raft.messages import Append, Conf, ConfRefused, Halt, Message, NotLeader, Overloaded, PreVote
from tests.support.invariants import Violation
from tests.support.notation import Pattern, show_log, show_message, show_progress, show_state
from tests.support.raft import BrokenChain, Cluster, describe_conf, name_read
from tests.support.script import Script


class SteadyTimeouts:
    """Node n's election timeout is n - 1 ticks above the shortest, always: no scenario hangs on chance."""

    def __init__(self, node_id: int) -> None:
        self._node_id = node_id

    def randrange(self, start: int, stop: int, /) -> int:
        return start + (self._node_id - 1) % (stop - start)


class Scenario(Script):
    REFUSALS = (NotLeader, ConfRefused, Overloaded)
    VIOLATIONS: ClassVar[tuple[type[Exception], ...]] = (Violation, Halt, BrokenChain)

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(SteadyTimeouts, tell=self.lines.append)
        self.names: dict[str, list[Message]] = {}

    # -- members

    def add_nodes(self, count: str, *settings: str) -> None:
        """add-nodes COUNT [SETTING=N...]: founds a cluster of voters 1 to COUNT."""
        self.cluster.settings = {key: int(value) for key, value in (word.split("=") for word in settings)}
        self.cluster.found(Conf(tuple(range(1, int(count) + 1))))

    def join(self, node: str) -> None:
        """join NODE: starts a node that knows the first entry only, and is no member yet."""
        self.cluster.join(int(node))

    def conf(self, node: str, verb: str, member: str) -> None:
        """conf NODE add|remove|learner|promote MEMBER: proposes a new configuration."""
        old, m = self.cluster.nodes[int(node)].core.log.conf, int(member)
        others = tuple(voter for voter in old.voters if voter != m)
        learners = tuple(learner for learner in old.learners if learner != m)
        new = {
            "add": Conf((*others, m), learners),
            "promote": Conf((*others, m), learners),
            "remove": Conf(others, learners),
            "learner": Conf(others, (*learners, m)),
        }[verb]
        self._propose(node, [new], [describe_conf(new)])

    # -- time

    def tick(self, node: str, count: str = "1") -> None:
        for _ in range(int(count)):
            self.cluster.tick(int(node))

    def campaign(self, node: str) -> None:
        """campaign NODE: lets its time pass until it asks for pre-votes."""
        before = len(self.cluster.pool)
        for _ in range(40):
            self.cluster.tick(int(node))
            asked = any(isinstance(m, PreVote) and m.sender == int(node) for m in self.cluster.pool[before:])
            if asked or self.cluster.nodes[int(node)].core.role not in ("follower", PRECANDIDATE, "candidate"):
                return

    def timeout_now(self, node: str) -> None:
        """timeout-now NODE: it campaigns for the next term at once, as if told so by its leader."""
        self.cluster.time_out_now(int(node))

    def step_down(self, node: str) -> None:
        """step-down NODE: it stops leading, as when its clock is wrong."""
        self.cluster.step_down(int(node))

    def elect(self, node: str) -> None:
        """elect NODE: it campaigns and wins, and everyone learns so; prints the outcome only."""
        position = len(self.lines)
        self.campaign(node)
        self.stabilize()
        self.rounds("2")
        del self.lines[position:]
        core = self.cluster.nodes[int(node)].core
        self.lines.append(f"{node} is {core.role} in term {core.term}, last {core.log.last_index} commit {core.commit}")

    def rounds(self, count: str) -> None:
        """rounds COUNT: as often, ticks every node and delivers everything; says once what happens again and again."""
        position = len(self.lines)
        for _ in range(int(count)):
            for node in self.cluster.running:
                self.cluster.tick(node.id)
            self.cluster.stabilize()
        happened = Counter(self.lines[position:])
        self.lines[position:] = [line if times == 1 else f"{line} ({times} times)" for line, times in happened.items()]

    # -- messages

    def deliver(self, *pattern: str) -> None:
        """deliver [PATTERN] | deliver NAME: hands over what is on its way now and matches; NAME: what was kept."""
        kept = self.names.get(pattern[0]) if pattern else None
        for message in self._take(pattern) if kept is None else kept:
            self.lines.append(show_message(message))
            self.cluster.deliver(message)

    def drop(self, *pattern: str) -> None:
        for message in self._take(pattern):
            self.lines.append(f"lost: {show_message(message)}")

    def hold(self, *pattern_as_name: str) -> None:
        """hold PATTERN as NAME: takes messages out of the network, for later."""
        *pattern, _, name = pattern_as_name
        self.names[name] = self._take(pattern)
        self.lines += [f"{name}: {show_message(message)}" for message in self.names[name]]

    def dup(self, *pattern_as_name: str) -> None:
        """dup PATTERN as NAME: keeps a second copy."""
        *pattern, _, name = pattern_as_name
        matches = Pattern(pattern).matches
        self.names[name] = [message for message in self.cluster.pool if matches(message)]
        self.lines += [f"{name}: {show_message(message)}" for message in self.names[name]]

    def _take(self, words: Sequence[str]) -> list[Message]:
        matches, pool = Pattern(words).matches, self.cluster.pool
        chosen = [message for message in pool if matches(message)]
        pool[:] = [message for message in pool if not matches(message)]
        if not chosen:
            self.lines.append("no such message")
        return chosen

    def send_append(self, link: str, first: str, last: str) -> None:
        """send-append 1->2 FIRST LAST: delivers an append of these entries of 1's log (none where LAST < FIRST)."""
        sender, to = map(int, link.split("->"))
        node = self.cluster.nodes[sender]
        prev, core = int(first) - 1, node.core
        entries = [node.item(index) for index in range(int(first), int(last) + 1)]
        message = Append(sender, to, core.term, prev, core.log.term(prev), core.commit, entries)
        self.lines.append(show_message(message))
        self.cluster.deliver(message)

    def stabilize(self) -> None:
        """Delivers everything until nothing is on its way; prints what changes, not the messages."""
        self.cluster.stabilize()

    def cut(self, *links: str) -> None:
        """cut 1-3 4->2...: these links lose everything sent from now on; `-` cuts both directions."""
        for link in links:
            one, other = (int(end) for end in link.replace("->", "-").split("-"))
            self.cluster.cut.add((one, other))
            if "->" not in link:
                self.cluster.cut.add((other, one))

    def isolate(self, node: str) -> None:
        self.cut(*(f"{node}-{other}" for other in self.cluster.nodes if other != int(node)))

    def lost(self, node: str, peer: str) -> None:
        """lost NODE PEER: the transport tells NODE that its connection to PEER broke."""
        self.cluster.unreachable(int(node), int(peer))

    def heal(self) -> None:
        self.cluster.cut.clear()

    # -- disks and processes

    def slow_disk(self, *nodes: str) -> None:
        """slow-disk NODE...: its writes wait for `persist`."""
        for node in nodes:
            self.cluster.nodes[int(node)].slow_disk = True

    def fast_disk(self, node: str) -> None:
        self.cluster.nodes[int(node)].slow_disk = False
        while self.cluster.nodes[int(node)].pending is not None:
            self.persist(node)

    def persist(self, node: str) -> None:
        """persist NODE: the write that waits succeeds."""
        write = self.cluster.nodes[int(node)].pending
        if write is None:
            self.lines.append(f"{node} has nothing to write")
            return
        what = f"term {write.hard.term} vote {write.hard.vote} commit {write.hard.commit}"
        gone = f", deletes from {write.truncate_from}" if write.truncate_from else ""
        new = ", adds " + " ".join(f"{e.index}/{e.term}" for e in write.entries) if write.entries else ""
        self.lines.append(f"{node} persists {what}{gone}{new}")
        self.cluster.persist(int(node))

    def crash(self, node: str, when: str = "") -> None:
        """crash NODE [after-commit]: what waits to be written is lost, or is written with nobody left to hear so."""
        self.cluster.crash(int(node), after_commit=when == "after-commit")

    def restart(self, *nodes: str) -> None:
        for node in nodes:
            self.cluster.restart(int(node))

    # -- clients

    def propose(self, node: str, *commands: str) -> None:
        self._propose(node, commands, commands)

    def _propose(self, node: str, payloads: Sequence[object], names: Sequence[str]) -> None:
        position = len(self.lines)
        tickets = self.cluster.propose(int(node), payloads)
        places = (f"{name} at {t.index}/{t.term}" for t, name in zip(tickets, names, strict=True))
        self.lines.insert(position, "proposed: " + ", ".join(places))

    def submit(self, node: str, command: str) -> None:
        """submit NODE COMMAND: like the desk, decides on the whole log, and only once its term's no-op is applied."""
        position = len(self.lines)
        ticket = self.cluster.submit(int(node), command)
        answer = f"{command} is at {ticket.index}/{ticket.term}" if ticket else f"{node} may not decide yet"
        self.lines.insert(position, answer)

    def read(self, node: str) -> None:
        position = len(self.lines)
        read = self.cluster.read(int(node))
        self.lines.insert(position, f"asked: {name_read(read)}")

    def transfer(self, node: str, to: str) -> None:
        self.cluster.transfer(int(node), int(to))

    # -- looking

    def state(self, *nodes: str) -> None:
        wanted = [int(node) for node in nodes] or sorted(self.cluster.nodes)
        self.lines += [show_state(self.cluster.nodes[node]) for node in wanted]

    def log(self, *nodes: str) -> None:
        self.lines += [show_log(self.cluster.nodes[int(node)]) for node in nodes]

    def progress(self, node: str) -> None:
        self.lines += show_progress(self.cluster.nodes[int(node)])

    def pool(self) -> None:
        """Lists the messages on their way."""
        self.lines += [show_message(message) for message in self.cluster.pool] or ["nothing on its way"]
