"""What a leader does: replicate, count majorities, confirm reads, hand over (Ongaro 2014, chapters 3, 4 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .config import Config
from .log import RaftLog
from .messages import (
    Append,
    AppendReply,
    Committed,
    ConfRefused,
    Fetch,
    Heartbeat,
    HeartbeatReply,
    NotLeader,
    Overloaded,
    ReadId,
    ReadReply,
    Ready,
    Record,
    Ticket,
    TimeoutNow,
)
from .progress import Pace, Progress
from .quorum import agreed_index, has_majority


class Core(Protocol):
    """What leading needs of the node that leads: its log, its term, and where to put what is to be done."""

    node: int
    config: Config
    log: RaftLog
    seal: Callable[[Record, int, object], Record]
    term: int
    commit: int
    write_ticks: int
    out: Ready

    def commit_to(self, index: int) -> None: ...
    def step_down(self) -> None: ...


@dataclass(slots=True)
class PendingRead:
    read: ReadId
    index: int
    round: int
    asker: int


class Leadership:
    """One term of leading. Thrown away on step-down, so nothing of it can leak into another term."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.first_index = core.log.last_index + 1
        self.peers: dict[int, Progress] = {}
        self.reads: list[PendingRead] = []
        self.waiting_reads: list[tuple[ReadId, int]] = []
        self.round = 0
        self.round_wanted = False
        self.transfer_to = 0
        self.transfer_ticks = 0
        self.heartbeat_elapsed = 0
        self.quorum_elapsed = 0
        self.uncommitted_bytes = 0
        self.pace = Pace(core.config)
        self.follow_conf()

    def follow_conf(self) -> None:
        """Keeps one Progress for every peer of the configuration in force."""
        wanted = [peer for peer in self.core.log.conf.everyone if peer != self.core.node]
        known = self.peers
        self.peers = {peer: known.get(peer) or Progress(self.core.log.last_index + 1) for peer in wanted}

    # -- proposing

    @property
    def own_term_committed(self) -> bool:
        """The no-op that opened this term is committed: only now are reads and changes of members safe."""
        return self.core.commit >= self.first_index

    def propose(self, payloads: Sequence[object]) -> list[Ticket]:
        core = self.core
        if self.transfer_to:
            raise NotLeader(self.transfer_to)
        if self.uncommitted_bytes > core.config.max_uncommitted_bytes:
            raise Overloaded(f"{self.uncommitted_bytes} bytes are uncommitted")
        if not self.pace.room:
            raise Overloaded(f"node {self.pace.waits_for} lags and must catch up")
        self.pace.spend(len(payloads))
        return [self._append(payload) for payload in payloads]

    def _append(self, payload: object) -> Ticket:
        core = self.core
        record = core.seal(core.log.last, core.term, payload)
        if record.conf is not None:
            self._guard_conf(record)
        core.log.append([record])
        self.uncommitted_bytes += record.size
        if record.conf is not None:
            self.follow_conf()
        return Ticket(record.term, record.index)

    def _guard_conf(self, record: Record) -> None:
        """One node at a time, and only after an entry of this term is committed (Ongaro's correction of 2015)."""
        log = self.core.log
        if not self.own_term_committed:
            raise ConfRefused("no entry of this term is committed yet")
        if log.conf_index > self.core.commit:
            raise ConfRefused("an earlier change of members is not committed yet")
        assert record.conf is not None
        if not record.conf.voters:
            raise ConfRefused("a cluster needs a voter")
        if len(set(log.conf.voters) ^ set(record.conf.voters)) > 1:
            raise ConfRefused("voters change one at a time")

    def open_term(self) -> None:
        self._append(None)

    # -- replicating

    def flush(self) -> None:
        """Sends what is new, once a turn, so that one message carries all that arrived meanwhile."""
        if self.round_wanted:
            self.round, self.round_wanted = self.round + 1, False
            self.beat()
            self._confirm_reads()
        commit = self.core.commit
        for peer, progress in self.peers.items():
            # A follower that acknowledged after the majority must hear of the commit too, and not a heartbeat later.
            news = min(progress.match, commit) > progress.told
            if not self._send_append(peer, progress) and news:
                progress.told = min(progress.match, commit)
                self.core.out.send.append(Committed(self.core.node, peer, self.core.term, progress.told))

    def _send_append(self, peer: int, progress: Progress) -> bool:
        core = self.core
        limit = 1 if progress.probing else core.config.max_inflight
        if progress.fetching or progress.inflight >= limit:
            return False
        if not progress.probing and progress.next > core.log.last_index:
            return False
        entries = core.log.slice(progress.next, core.config.max_append_bytes)
        if entries is None:
            progress.fetching = True
            core.out.fetch.append(Fetch(peer, core.term, progress.next))
            return False
        self._emit_append(peer, progress, entries)
        return True

    def _emit_append(self, peer: int, progress: Progress, entries: Sequence[Record]) -> None:
        core = self.core
        prev = progress.next - 1
        core.out.send.append(Append(core.node, peer, core.term, prev, core.log.term(prev), core.commit, entries))
        progress.inflight += 1
        progress.told = max(progress.told, min(core.commit, prev + len(entries)))
        if not progress.probing and entries:
            progress.next = entries[-1].index + 1

    def fetched(self, peer: int, entries: Sequence[Record]) -> None:
        """The driver read old entries from the table for a lagging peer."""
        progress = self.peers.get(peer)
        if progress is None or not progress.fetching:
            return
        progress.fetching = False
        if entries and entries[0].index == progress.next:
            self._emit_append(peer, progress, entries)

    def on_append_reply(self, message: AppendReply) -> None:
        progress = self.peers.get(message.sender)
        if progress is None:
            return
        progress.active, progress.silent = True, 0
        progress.inflight = max(0, progress.inflight - 1)
        if message.refused:
            self._on_refusal(progress, message)
        else:
            self._on_match(message.sender, progress, message.match)
        if not progress.probing and not progress.inflight and progress.next > progress.match + 1:
            progress.probe()  # all is answered, and yet something did not arrive

    def _on_refusal(self, progress: Progress, message: AppendReply) -> None:
        stale = message.refused != progress.next - 1 if progress.probing else message.refused <= progress.match
        if stale:
            return
        guess = self.core.log.last_of_term(message.hint, message.hint_term, progress.match)
        progress.probe()
        progress.next = max(progress.match, min(guess, message.refused - 1)) + 1

    def _on_match(self, peer: int, progress: Progress, match: int) -> None:
        if match > self.core.log.last_index:
            return
        if progress.probing and match >= progress.match:
            progress.probing, progress.inflight = False, 0
            progress.next = match + 1
        if match > progress.match:
            self.pace.stored(peer, match - progress.match)
            progress.match, progress.still = match, 0
            progress.next = max(progress.next, match + 1)
            if progress.next == match + 1:
                progress.inflight = 0  # one answer may stand for several appends
            self.advance_commit()
        self._try_transfer(peer)

    def advance_commit(self) -> None:
        """Commits by counting, but only entries of the own term (Raft, figure 8)."""
        core = self.core
        match = {peer: progress.match for peer, progress in self.peers.items()}
        match[core.node] = core.log.durable
        index = agreed_index(match, core.log.conf.voters)
        if index > core.commit and core.log.term(index) == core.term:
            core.commit_to(index)
            self._release_waiting_reads()
            self._leave_if_removed()

    def on_commit(self, index: int) -> None:
        """Called before commit rises to `index`: what is committed no longer counts against the limit."""
        done = self.core.log.slice(self.core.commit + 1, 1 << 62, index) or []
        self.uncommitted_bytes = max(0, self.uncommitted_bytes - sum(entry.size for entry in done))

    def _leave_if_removed(self) -> None:
        """A leader that is no voter any more has committed its own removal: it says so and leads no longer."""
        log = self.core.log
        if self.core.node not in log.conf.voters and self.core.commit >= log.conf_index:
            self.flush()
            self.core.step_down()

    def unreachable(self, peer: int) -> None:
        """The transport lost its connection to `peer`: messages in flight may be gone."""
        progress = self.peers.get(peer)
        if progress is not None:
            progress.probe()

    # -- heartbeats, quorum check, reads

    def tick(self) -> None:
        core = self.core
        self.heartbeat_elapsed += 1
        self.quorum_elapsed += 1
        for progress in self.peers.values():
            progress.silent += progress.inflight > 0
            if progress.silent > core.config.election_ticks:
                progress.probe()
        if self.quorum_elapsed >= core.config.election_ticks:
            self.quorum_elapsed = 0
            if not self._quorum_is_active():
                core.step_down()
                return
        if self.heartbeat_elapsed >= core.config.heartbeat_ticks:
            self.beat()
        self.pace.tick(core.log.last_index, self.peers)
        self._tick_transfer()

    def _quorum_is_active(self) -> bool:
        active = {peer for peer, progress in self.peers.items() if progress.active} | {self.core.node}
        for progress in self.peers.values():
            progress.active = False
        return has_majority(active, self.core.log.conf.voters)

    def beat(self) -> None:
        self.heartbeat_elapsed = 0
        for peer, progress in self.peers.items():
            self._send_heartbeat(peer, progress)

    def _send_heartbeat(self, peer: int, progress: Progress) -> None:
        core = self.core
        commit = min(progress.match, core.commit)
        progress.told = commit
        core.out.send.append(Heartbeat(core.node, peer, core.term, commit, self.round))

    def on_heartbeat_reply(self, message: HeartbeatReply) -> None:
        progress = self.peers.get(message.sender)
        if progress is None:
            return
        progress.active = True
        progress.round = max(progress.round, message.round)
        self._confirm_reads()

    def read(self, read: ReadId, asker: int) -> None:
        """Serves `read` once a heartbeat round that starts now is answered by a majority."""
        if not self.own_term_committed:
            self.waiting_reads.append((read, asker))
            return
        # All reads of one turn share the round that the next flush opens.
        self.reads.append(PendingRead(read, self.core.commit, self.round + 1, asker))
        self.round_wanted = True

    def _release_waiting_reads(self) -> None:
        if self.own_term_committed:
            waiting, self.waiting_reads = self.waiting_reads, []
            for read, asker in waiting:
                self.read(read, asker)

    def _confirm_reads(self) -> None:
        core = self.core
        still: list[PendingRead] = []
        for pending in self.reads:
            heard = {peer for peer, progress in self.peers.items() if progress.round >= pending.round}
            if not has_majority(heard | {core.node}, core.log.conf.voters):
                still.append(pending)
            elif pending.asker == core.node:
                core.out.reads.append((pending.read, pending.index))
            else:
                core.out.send.append(ReadReply(core.node, pending.asker, core.term, pending.read, pending.index))
        self.reads = still

    # -- handing over

    def transfer(self, to: int) -> None:
        if to not in self.peers or to not in self.core.log.conf.voters:
            raise ConfRefused(f"node {to} cannot lead: it is not another voter")
        self.transfer_to, self.transfer_ticks = to, 0
        self._try_transfer(to)

    def _try_transfer(self, peer: int) -> None:
        core = self.core
        if peer == self.transfer_to and self.peers[peer].match == core.log.last_index:
            core.out.send.append(TimeoutNow(core.node, peer, core.term))

    def furthest(self) -> int:
        """The other voter that has stored most; 0 when there is none."""
        voters = [peer for peer in self.peers if peer in self.core.log.conf.voters]
        return max(voters, key=lambda peer: self.peers[peer].match, default=0)

    def _tick_transfer(self) -> None:
        if self.transfer_to:
            self.transfer_ticks += 1
            if self.transfer_ticks > self.core.config.election_ticks:
                self.transfer_to = 0
        elif self.core.write_ticks > self.core.config.stall_ticks:
            self._leave_stalled_disk()

    def _leave_stalled_disk(self) -> None:
        """Hands over while the own write hangs, to a voter whose disk took what ours did not: else all disks hang."""
        best = self.furthest()
        if best and self.peers[best].match > self.core.log.durable:
            self.transfer(best)
