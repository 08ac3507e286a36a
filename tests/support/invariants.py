"""What must hold after every step of every Raft node, whatever the network and the disks did (Ongaro 2014, figure 3.2).

Each check looks at the node that just moved and at a memory of everything all nodes, dead ones included, have ever
shown. Nodes change only by their own steps, so this is as strong as checking all nodes anew after each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ballot.ledger.raft.core import CANDIDATE, LEADER
from ballot.ledger.raft.messages import AppendReply, Message, ReadId, Vote, VoteReply, Write

if TYPE_CHECKING:
    from tests.support.disk import Disk
    from tests.support.raft import Item, Node


class Violation(AssertionError):
    """An invariant is broken; the message says which."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


@dataclass(slots=True)
class Seen:
    """What a node showed at its last step, since it last started."""

    term: int = 0
    commit: int = 0
    last: str = ""
    leading: int = 0
    match: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Committed:
    item: Item
    in_term: int


class Invariants:
    def __init__(self, genesis: Item, disks: dict[int, Disk[Item]]) -> None:
        self._disks = disks
        self._hashes = {(genesis.index, genesis.term): genesis.hash}
        self.committed = [Committed(genesis, 0)]
        self._leaders: dict[int, int] = {}
        self._durable_votes: dict[tuple[int, int], int] = {}
        self._granted: dict[tuple[int, int], int] = {}
        self._seen: dict[int, Seen] = {}
        self._reads: dict[ReadId, int] = {}

    # -- what a node hands out

    def started(self, node: Node) -> None:
        self._seen[node.id] = Seen(term=node.disk.hard.term)

    def persisted(self, node: Node, write: Write) -> None:
        """Called before the write is carried out."""
        old, new = node.disk.hard, write.hard
        require(new.term >= old.term, f"node {node.id}: durable term falls from {old.term} to {new.term}")
        require(new.commit >= old.commit, f"node {node.id}: durable commit falls from {old.commit} to {new.commit}")
        if new.vote:
            given = self._durable_votes.setdefault((node.id, new.term), new.vote)
            require(given == new.vote, f"node {node.id} votes for {given} and {new.vote} in term {new.term}")
        if write.truncate_from:
            require(write.truncate_from > old.commit, f"node {node.id} deletes committed entry {write.truncate_from}")

    def sent(self, node: Node, message: Message) -> None:
        """Nothing may be promised that a crash could take back."""
        disk = node.disk
        match message:
            case VoteReply(granted=True):
                given = self._granted.setdefault((node.id, message.term), message.to)
                require(given == message.to, f"node {node.id} grants two votes in term {message.term}")
                hard = (disk.hard.term, disk.hard.vote)
                require(hard >= (message.term, 0), f"node {node.id} grants a vote before its term is durable")
                if hard[0] == message.term:
                    require(hard[1] == message.to, f"node {node.id} grants a vote before it is durable")
            case Vote() if node.core.role == CANDIDATE:  # grants to one that gave up since count for nothing
                require(
                    (disk.hard.term, disk.hard.vote) == (message.term, node.id),
                    f"node {node.id} asks for votes before its own is durable",
                )
                require(disk.last_index >= message.last_index, f"node {node.id} boasts of entries it may lose")
            case AppendReply() if not message.refused:
                require(disk.hard.term >= message.term, f"node {node.id} answers before its term is durable")
                require(disk.last_index >= message.match, f"node {node.id} acknowledges {message.match} too early")

    def asked(self, read: ReadId) -> None:
        self._reads[read] = len(self.committed)

    def answered(self, read: ReadId, index: int) -> None:
        floor = self._reads[read]
        require(index >= floor, f"a stale read: index {index}, but {floor} was committed when it was asked for")

    # -- after each step

    def check(self, node: Node) -> None:
        seen, core = self._seen[node.id], node.core
        require(core.term >= seen.term, f"node {node.id}: term falls from {seen.term} to {core.term}")
        require(core.commit >= seen.commit, f"node {node.id}: commit falls from {seen.commit} to {core.commit}")
        self._check_log(node, seen)
        if core.role == LEADER:
            self._check_leader(node, seen)
        self._check_commit(node, seen)
        durable = core.log.durable
        require(node.applied <= min(core.commit, durable), f"node {node.id} applied {node.applied} too early")
        require(durable <= node.disk.last_index, f"node {node.id} takes {durable} for durable")
        require(
            core.log.term(durable) == node.disk.item(durable).term,
            f"node {node.id}: memory and disk differ at {durable}",
        )
        seen.term, seen.commit = core.term, core.commit

    def _check_log(self, node: Node, seen: Seen) -> None:
        """Log matching: an index and a term name one entry and, by its chained hash, the whole log before it."""
        items = node.held()
        if items[-1].hash == seen.last:
            return
        seen.last = items[-1].hash
        for item in reversed(items):
            known = self._hashes.setdefault((item.index, item.term), item.hash)
            require(known == item.hash, f"node {node.id}: log matching fails at {item.index}/{item.term}")
        newest = next((item.index for item in reversed(items) if item.conf is not None), 0)
        at = node.core.log.conf_index
        in_force = newest <= at <= items[-1].index and node.item(at).conf == node.core.log.conf
        require(in_force, f"node {node.id} goes by a configuration that is not the newest of its log")

    def _check_leader(self, node: Node, seen: Seen) -> None:
        core = node.core
        leader = self._leaders.setdefault(core.term, node.id)
        require(leader == node.id, f"term {core.term} has two leaders: {leader} and {node.id}")
        if seen.leading != core.term:
            seen.leading, seen.match = core.term, {}
            self._check_completeness(node)
        assert core.leadership is not None
        for peer, progress in core.leadership.peers.items():
            before = seen.match.get(peer, 0)
            require(progress.match >= before, f"match of node {peer} falls from {before} to {progress.match}")
            if progress.match > before:
                self._check_match(node, peer, progress.match)
            seen.match[peer] = progress.match

    def _check_completeness(self, node: Node) -> None:
        """Every leader holds whatever leaders of earlier terms committed."""
        for committed in self.committed:
            item = committed.item
            if committed.in_term < node.core.term:
                holds = node.core.log.term(item.index) == item.term
                require(holds, f"leader {node.id} of term {node.core.term} lacks committed {item.index}/{item.term}")

    def _check_match(self, node: Node, peer: int, match: int) -> None:
        disk = self._disks[peer]
        if disk.hard.term == node.core.term:
            holds = disk.last_index >= match and disk.item(match).term == node.core.log.term(match)
            require(holds, f"leader {node.id} takes entry {match} for held by node {peer}")

    def _check_commit(self, node: Node, seen: Seen) -> None:
        core = node.core
        require(core.commit <= core.log.last_index, f"node {node.id}: commit {core.commit} is beyond its log")
        for index in range(seen.commit + 1, core.commit + 1):
            term = core.log.term(index)
            if index <= len(self.committed):
                truth = self.committed[index - 1].item
                require(truth.term == term, f"node {node.id} commits {index}/{term}, others {index}/{truth.term}")
            else:
                self._check_majority(node, index)
                self.committed.append(Committed(node.item(index), core.term))

    def _check_majority(self, node: Node, index: int) -> None:
        """Newly committed: on the disks of more than half of the voters."""
        voters, wanted = node.core.log.conf.voters, node.item(index).hash
        holding = [voter for voter in voters if holds(self._disks.get(voter), index, wanted)]
        enough = 2 * len(holding) > len(voters)
        require(enough, f"node {node.id} commits {index}, durable on {holding} of {list(voters)} only")

    def check_acknowledged(self, acknowledged: Iterable[Item]) -> None:
        for item in acknowledged:
            kept = item.index <= len(self.committed) and self.committed[item.index - 1].item.hash == item.hash
            require(kept, f"acknowledged entry {item.index}/{item.term} {item.command} is not committed")


def holds(disk: Disk[Item] | None, index: int, wanted: str) -> bool:
    return disk is not None and disk.last_index >= index and disk.item(index).hash == wanted
