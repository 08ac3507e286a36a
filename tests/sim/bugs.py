"""Bugs to plant: each takes one guard out, and the simulator must find it within a bounded number of seeds.

A planted bug replaces a method while a run lasts; where it can, it calls the right one and spoils the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast
from unittest.mock import patch

from ballot.ledger.decision import Decision, Known
from ballot.ledger.desk import Desk, Verdict
from ballot.ledger.raft.core import LEADER, RaftCore
from ballot.ledger.raft.log import Durable, RaftLog
from ballot.ledger.raft.messages import Append, AppendReply, HardState, Heartbeat, Message, ReadId, Record, Vote, Write
from ballot.ledger.raft.progress import Progress
from ballot.ledger.raft.quorum import agreed_index
from ballot.ledger.raft.replication import Leadership, PendingRead
from ballot.projections import machine as machine_module
from ballot.projections.facts import Facts
from ballot.voting import commands as c
from ballot.voting.decide import decide
from tests.sim.node import Node, Tables
from tests.sim.world import World
from tests.support.disk import Disk

Patch = tuple[object, str, Any]
BUGS: dict[str, Callable[[], list[Patch]]] = {}


def bug(plant: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    BUGS[plant.__name__.replace("_", "-")] = plant
    return plant


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Runs what is inside with the bug `name`; without any when it is empty. Raises KeyError."""
    with ExitStack() as stack:
        for owner, attribute, replacement in BUGS[name]() if name else []:
            stack.enter_context(patch.object(owner, attribute, replacement))
        yield


# -- elections


@bug
def vote_before_durable() -> list[Patch]:
    """Trap 1: the grant leaves before the vote is on disk."""
    right = RaftCore._on_vote

    def on_vote(self: RaftCore, message: Vote) -> None:
        right(self, message)
        self.out.send.append(self._after.pop())

    return [(RaftCore, "_on_vote", on_vote)]


@bug
def vote_forgotten() -> list[Patch]:
    """Trap 2: whoever becomes a follower, in the same term too, is free to vote again."""
    right = RaftCore._become_follower

    def become_follower(self: RaftCore, term: int, leader: int) -> None:
        right(self, term, leader)
        self.vote = 0

    return [(RaftCore, "_become_follower", become_follower)]


@bug
def terms_forgotten() -> list[Patch]:
    """Trap 3: a restart reads the log, but neither term nor vote."""
    right = Disk.read

    def read(self: Disk[Any]) -> Durable:
        durable = right(self)
        return Durable(HardState(commit=durable.hard.commit), durable.terms, durable.confs, durable.tail)

    return [(Disk, "read", read)]


@bug
def log_not_compared() -> list[Patch]:
    """Votes go to whoever asks first, whatever its log lacks."""
    return [(RaftCore, "_is_up_to_date", lambda self, message: True)]


@bug
def campaign_before_durable() -> list[Patch]:
    """Trap 26: votes are asked for before the own vote and the entries boasted of are on disk."""
    right = RaftCore._ask_for_votes

    def ask_for_votes(self: RaftCore, kind: Any, term: int, *, transfer: bool) -> None:
        waiting, self._after = self._after, []
        right(self, kind, term, transfer=transfer)
        self.out.send += self._after
        self._after = waiting

    return [(RaftCore, "_ask_for_votes", ask_for_votes)]


# -- replication


@bug
def commit_by_counting_old_terms() -> list[Patch]:
    """Trap 4 (Raft, figure 8)."""

    def advance_commit(self: Leadership) -> None:
        core = self.core
        match = {peer: progress.match for peer, progress in self.peers.items()}
        match[core.node] = core.log.durable
        index = agreed_index(match, core.log.conf.voters)
        if index > core.commit:
            core.commit_to(index)

    return [(Leadership, "advance_commit", advance_commit)]


@bug
def over_acknowledge() -> list[Patch]:
    """Trap 5: the whole log is acknowledged, not what the append proved."""
    right = RaftCore._on_append

    def on_append(self: RaftCore, message: Append) -> None:
        right(self, message)
        reply = self._after.pop()
        if isinstance(reply, AppendReply) and not reply.refused:
            reply = AppendReply(reply.sender, reply.to, reply.term, self.log.last_index)
        self._after.append(reply)

    return [(RaftCore, "_on_append", on_append)]


@bug
def stale_append_truncates() -> list[Patch]:
    """Trap 6: what follows an append's entries is dropped even where nothing conflicts."""
    right = RaftCore._take_entries

    def take_entries(self: RaftCore, message: Append) -> None:
        right(self, message)
        last = message.prev_index + len(message.entries)
        if self.commit <= last < self.log.last_index:
            self.log.truncate(last + 1, self.commit)

    return [(RaftCore, "_take_entries", take_entries)]


@bug
def answers_of_old_terms() -> list[Patch]:
    """Trap 7: acknowledgements of an earlier term count in this one."""
    right = RaftCore.step

    def step(self: RaftCore, message: Message) -> None:
        if isinstance(message, AppendReply) and message.term < self.term and self.leadership is not None:
            self.leadership.on_append_reply(message)
        else:
            right(self, message)

    return [(RaftCore, "step", step)]


@bug
def commit_falls() -> list[Patch]:
    """Trap 8: a follower believes whatever commit index comes."""
    right = RaftCore.commit_to

    def commit_to(self: RaftCore, index: int) -> None:
        right(self, index)
        if self.leadership is None:
            self.commit = index

    return [(RaftCore, "commit_to", commit_to)]


@bug
def commit_unverified() -> list[Patch]:
    """Trap 8: the leader's commit index is taken for entries that this leader never confirmed."""
    right = Leadership._send_heartbeat

    def send_heartbeat(self: Leadership, peer: int, progress: Progress) -> None:
        right(self, peer, progress)
        sent = self.core.out.send.pop()
        self.core.out.send.append(Heartbeat(sent.sender, sent.to, sent.term, self.core.commit, self.round))

    return [(Leadership, "_send_heartbeat", send_heartbeat)]


@bug
def acknowledged_before_fsync() -> list[Patch]:
    """Trap 12: a follower answers while its write still runs."""
    right = RaftCore._on_append

    def on_append(self: RaftCore, message: Append) -> None:
        right(self, message)
        self.out.send.append(self._after.pop())

    return [(RaftCore, "_on_append", on_append)]


@bug
def leader_counts_itself_before_fsync() -> list[Patch]:
    """Trap 12, the leader's side."""

    def advance_commit(self: Leadership) -> None:
        core = self.core
        match = {peer: progress.match for peer, progress in self.peers.items()}
        match[core.node] = core.log.last_index
        index = agreed_index(match, core.log.conf.voters)
        if index > core.commit and core.log.term(index) == core.term:
            core.commit_to(index)

    return [(Leadership, "advance_commit", advance_commit)]


@bug
def late_completion_counts() -> list[Patch]:
    """Trap 11: a write that ended counts as it was begun, though its entries were overwritten since."""

    def wrote(self: RaftLog, last: int) -> None:
        self.durable = max(self.durable, min(last, self.last_index))

    return [(RaftLog, "wrote", wrote)]


@bug
def answers_outlive_their_term() -> list[Patch]:
    """What waited for a write leaves after it, though a newer term began meanwhile."""

    def release(self: RaftCore, after: list[Message]) -> None:
        for message in after:
            if message.to == self.node:
                self.step(message)
            elif isinstance(message, AppendReply) and not message.refused:
                # As a core would that stamps its answers when it sends them.
                self.out.send.append(AppendReply(message.sender, message.to, self.term, message.match))
            else:
                self.out.send.append(message)

    return [(RaftCore, "_release", release)]


@bug
def unknown_outcome_taken_for_success() -> list[Patch]:
    """Trap 20: a write whose outcome is unknown is taken for done (rule R3)."""

    def on_written(self: World, node: Node, epoch: int) -> None:
        if not node.up or node.epoch != epoch:
            return
        write = cast(Write, node.flight)
        if self.random() >= self.profile.disk_error:
            self._carry_out(node, write)
        node.flight = None
        node.core.appended(write.token)
        self.turn(node)

    return [(World, "_on_written", on_written)]


# -- members, reads


@bug
def conf_without_own_term() -> list[Patch]:
    """Trap 14: the members change before the leader's own term has a committed entry."""

    def guard(self: Leadership, record: Record) -> None:
        right_commit = self.first_index <= self.core.commit
        if right_commit:
            right(self, record)

    right = Leadership._guard_conf
    return [(Leadership, "_guard_conf", guard)]


@bug
def conf_survives_truncation() -> list[Patch]:
    """Trap 15: an overwritten configuration stays in force."""
    right = RaftLog.truncate

    def truncate(self: RaftLog, first: int, commit: int) -> list[Record]:
        confs = list(self._confs)
        dropped = right(self, first, commit)
        self._confs = confs
        return dropped

    return [(RaftLog, "truncate", truncate)]


@bug
def read_before_own_commit() -> list[Patch]:
    """Trap 9: a new leader serves reads at the commit index it happened to know."""

    def read(self: Leadership, read: ReadId, asker: int) -> None:
        self.round += 1
        self.reads.append(PendingRead(read, self.core.commit, self.round, asker))
        self.beat()
        self._confirm_reads()

    return [(Leadership, "read", read)]


@bug
def read_unconfirmed() -> list[Patch]:
    """Trap 10: a read needs no heartbeat that was sent after it was asked for."""
    right = Leadership._confirm_reads

    def confirm_reads(self: Leadership) -> None:
        for pending in self.reads:
            pending.round = 0
        right(self)

    return [(Leadership, "_confirm_reads", confirm_reads)]


# -- deciding


@bug
def in_flight_ignored() -> list[Patch]:
    """Rule R9: the leader decides on what is applied only, and spends a right twice."""
    return [(Facts, "proposed", lambda self, entries: None)]


@bug
def decided_before_noop_applied() -> list[Patch]:
    """Rule R9: a new leader decides before it knows what its predecessors committed."""

    def may_decide(self: Desk) -> bool:
        return self._core.role == LEADER

    return [(Desk, "_may_decide", may_decide)]


@bug
def acknowledged_by_position() -> list[Patch]:
    """Trap 18: whatever stands at the ticket's index is taken for the command (rule R5)."""
    return [(World, "holds", lambda self, node, verdict: True)]


@bug
def refusal_does_not_wait() -> list[Patch]:
    """Rule R9: a refusal that rests on an uncommitted entry is given at once."""
    right = Desk._decide_one

    def decide_one(self: Desk, order: Any) -> Verdict:
        verdict = right(self, order)
        if verdict.refusal:
            index = self._core.applied
            return Verdict(self._core.log.term(index), index, False, verdict.refusal, verdict.detail)
        return verdict

    return [(Desk, "_decide_one", decide_one)]


@bug
def retry_is_new() -> list[Patch]:
    """Trap 19: a command that was carried out before is carried out again."""

    def forgetful(view: Any, command: c.AnyCommand, now_us: int) -> Decision:
        decision = decide(view, command, now_us)
        return decide(_Blank(view), command, now_us) if isinstance(decision, Known) else decision

    return [(machine_module, "decide", forgetful)]


class _Blank:
    """A view that has forgotten what was spent."""

    def __init__(self, view: Any) -> None:
        self._view = view

    def get(self, table: str, *key: Any) -> Any:
        return None if table in ("casts", "credentials", "commands", "accounts") else self._view.get(table, *key)


@bug
def position_apart_from_effects() -> list[Patch]:
    """Trap 13: after a crash the position lags, its effects do not, and merging twice counts twice (rule R4)."""
    right = Tables.apply

    def lose(self: Tables, count: int) -> None:
        self.applied -= count

    def apply(self: Tables, index: int, changes: Any) -> None:
        for change in changes:
            row = self.rows.get((change.table, change.key))
            if row is not None and row["at"] >= index:
                self.rows[change.table, change.key] = {**row, "at": index - 1}
        right(self, index, changes)

    return [(Tables, "lose", lose), (Tables, "apply", apply)]
