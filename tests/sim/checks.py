"""What must hold after every step, checked only where the node that moved has changed (Ongaro 2014, figure 3.2).

Entries are chained by hash: two logs with the same hash at one index are the same up to it. So each entry is looked at
once in the whole run, not once for every node and step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import cast

from ballot.ledger.entry import Entry
from ballot.ledger.raft.core import CANDIDATE
from ballot.ledger.raft.messages import AppendReply, Conf, Message, Vote, VoteReply, Write
from tests.sim.node import Node
from tests.sim.opening import Opening


class Violation(AssertionError):
    """An invariant is broken; the message says which."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


class Checks:
    def __init__(self, opening: Opening, nodes: dict[int, Node]) -> None:
        self._nodes = nodes
        self.committed: list[Entry] = list(opening.entries)
        self.digests: dict[int, int] = {}
        self._committed_in = [0] * len(opening.entries)
        self._hashes = {(entry.index, entry.term): entry.hash for entry in opening.entries}
        self._confs: dict[bytes, tuple[int, Conf]] = {entry.hash: opening.confs[-1] for entry in opening.entries}
        self._leaders: dict[int, int] = {}
        self._votes: dict[tuple[int, int], int] = {}
        self._granted: dict[tuple[int, int], int] = {}

    # -- what a node hands out

    def persisting(self, node: Node, write: Write) -> None:
        """Called before the write is carried out."""
        old, new, disk = node.disk.hard, write.hard, node.disk
        require(new.term >= old.term, f"node {node.id}: durable term falls from {old.term} to {new.term}")
        require(new.commit >= old.commit, f"node {node.id}: durable commit falls from {old.commit} to {new.commit}")
        if new.vote:
            given = self._votes.setdefault((node.id, new.term), new.vote)
            require(given == new.vote, f"node {node.id} votes for {given} and {new.vote} in term {new.term}")
        if write.truncate_from:
            require(write.truncate_from > old.commit, f"node {node.id} deletes committed entry {write.truncate_from}")
        last = write.truncate_from - 1 if write.truncate_from else len(disk.entries)
        if write.entries:
            require(write.entries[0].index == last + 1, f"node {node.id}: the write leaves a gap after {last}")
            last = write.entries[-1].index
        require(new.commit <= last, f"node {node.id}: durable commit {new.commit} is beyond the log")

    def sent(self, node: Node, message: Message) -> None:
        """Nothing may be promised that a crash could take back."""
        kind = message.__class__
        if kind is AppendReply:
            self._append_reply(node, cast(AppendReply, message))
        elif kind is VoteReply:
            self._vote_reply(node, cast(VoteReply, message))
        elif kind is Vote:
            self._vote(node, cast(Vote, message))

    @staticmethod
    def _append_reply(node: Node, message: AppendReply) -> None:
        if not message.refused:
            disk = node.disk
            if disk.hard.term < message.term or len(disk.entries) < message.match:
                raise Violation(f"node {node.id} acknowledges {message.match} in term {message.term} too early")

    def _vote_reply(self, node: Node, message: VoteReply) -> None:
        if not message.granted:
            return
        given = self._granted.setdefault((node.id, message.term), message.to)
        require(given == message.to, f"node {node.id} grants two votes in term {message.term}")
        hard = node.disk.hard
        require(hard.term >= message.term, f"node {node.id} grants a vote before its term is durable")
        if hard.term == message.term:
            require(hard.vote == message.to, f"node {node.id} grants a vote before it is durable")

    @staticmethod
    def _vote(node: Node, message: Vote) -> None:
        if node.core.role == CANDIDATE:  # Grants to one that gave up since count for nothing.
            hard, held = node.disk.hard, len(node.disk.entries)
            own = (hard.term, hard.vote) == (message.term, node.id)
            require(own, f"node {node.id} asks for votes before its own is durable")
            require(held >= message.last_index, f"node {node.id} boasts of entries it may lose")

    def applied(self, node: Node, index: int) -> None:
        """After entry `index` went into the node's tables."""
        core = node.core
        if index > core.commit or index > core.log.durable:
            raise Violation(f"node {node.id} applied {index} too early")
        digest = node.tables.digest
        if self.digests.setdefault(index, digest) != digest:
            raise Violation(f"node {node.id}: the state at {index} differs from another node's")

    # -- after each step

    def after(self, node: Node) -> None:
        core = node.core
        log = core.log
        last = log.last
        if last is not node.seen_last:
            self._log(node, cast(Entry, last))
        if core.term != node.seen_term:
            require(core.term > node.seen_term, f"node {node.id}: term falls from {node.seen_term} to {core.term}")
            node.seen_term = core.term
        if core.leadership is not None and core.leadership is not node.seen_leadership:
            self._new_leader(node)
        if core.commit != node.seen_commit:
            self._commit(node)
        if log.durable != node.seen_durable:
            self._durable(node)

    def _log(self, node: Node, last: Entry) -> None:
        """Log matching: an index and a term name one entry and, by its hash, the whole log before it."""
        log = node.core.log
        node.seen_last = last
        new: list[Entry] = []
        for index in range(last.index, log.first_in_memory - 1, -1):
            entry = cast(Entry, log.entry(index))
            known = self._hashes.get((entry.index, entry.term))
            if known is not None:
                require(known == entry.hash, f"node {node.id}: log matching fails at {entry.index}/{entry.term}")
                break
            new.append(entry)
        for entry in reversed(new):
            self._hashes[entry.index, entry.term] = entry.hash
            conf = entry.conf
            if conf is not None:
                own = log.term(node.core.commit) == entry.term
                require(own, f"node {node.id} changes members in term {entry.term} before it committed an entry")
            self._confs[entry.hash] = self._confs[entry.prev_hash] if conf is None else (entry.index, conf)
        in_force = (log.conf_index, log.conf) == self._confs[last.hash]
        require(in_force, f"node {node.id} goes by a configuration that is not the newest of its log")

    def _new_leader(self, node: Node) -> None:
        """One leader a term, and it holds whatever leaders of earlier terms committed."""
        core = node.core
        leader = self._leaders.setdefault(core.term, node.id)
        require(leader == node.id, f"term {core.term} has two leaders: {leader} and {node.id}")
        node.seen_leadership, node.seen_match = core.leadership, {}
        count = bisect_left(self._committed_in, core.term)
        item = self.committed[count - 1]
        holds = core.log.term(item.index) == item.term
        require(holds, f"leader {node.id} of term {core.term} lacks committed {item.index}/{item.term}")

    def match(self, node: Node, peer: int) -> None:
        """After the leader took an answer of `peer`."""
        leadership = node.core.leadership
        if leadership is None or leadership is not node.seen_leadership:
            return
        progress = leadership.peers.get(peer)
        if progress is None:
            node.seen_match.pop(peer, None)
            return
        before, match = node.seen_match.get(peer, 0), progress.match
        if match == before:
            return
        require(match > before, f"match of node {peer} falls from {before} to {match}")
        node.seen_match[peer] = match
        disk = self._nodes[peer].disk
        require(disk.hard.term >= node.core.term, f"node {peer} cannot have answered in term {node.core.term} yet")
        if disk.hard.term == node.core.term:
            holds = len(disk.entries) >= match and disk.entries[match - 1].term == node.core.log.term(match)
            require(holds, f"leader {node.id} takes entry {match} for held by node {peer}")

    def _commit(self, node: Node) -> None:
        core = node.core
        committed = self.committed
        seen, commit = node.seen_commit, core.commit
        require(commit >= seen, f"node {node.id}: commit falls from {seen} to {commit}")
        require(commit <= core.log.last_index, f"node {node.id}: commit {commit} is beyond its log")
        known = min(commit, len(committed))
        if known > seen:
            truth = committed[known - 1]
            same = core.log.term(known) == truth.term
            require(same, f"node {node.id} commits {known}/{core.log.term(known)}, others {known}/{truth.term}")
        node.seen_commit = commit
        if commit > len(committed):
            require(core.log.term(commit) == core.term, f"node {node.id} counts an entry of another term, {commit}")
            self._majority(node, commit)
            for index in range(len(committed) + 1, commit + 1):
                entry = node.entry(index)
                require(entry.prev_hash == committed[-1].hash, f"node {node.id} commits another past before {index}")
                committed.append(entry)
                self._committed_in.append(core.term)

    def _majority(self, node: Node, index: int) -> None:
        """Newly committed: on the disks of more than half of the voters."""
        voters, wanted = node.core.log.conf.voters, node.entry(index).hash
        holding = [voter for voter in voters if _holds(self._nodes[voter].disk.entries, index, wanted)]
        enough = 2 * len(holding) > len(voters)
        require(enough, f"node {node.id} commits {index}, durable on {holding} of {list(voters)} only")

    @staticmethod
    def _durable(node: Node) -> None:
        log, entries = node.core.log, node.disk.entries
        durable = node.seen_durable = log.durable
        held = durable <= len(entries) and entries[durable - 1].term == log.term(durable)
        require(held, f"node {node.id} takes {durable} for durable, but its disk does not hold it")


def _holds(entries: Sequence[Entry], index: int, wanted: bytes) -> bool:
    return len(entries) >= index and entries[index - 1].hash == wanted
