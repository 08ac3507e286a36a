"""The Raft core (Ongaro 2014): PreVote and CheckQuorum always on, asynchronous writes, no I/O, no clock.

Drive it so: call an input (`tick`, `step`, `propose`, ...), then `ready()`, and carry out what that says. At most one
Write is out at a time; all that arrives meanwhile goes into the next one: the group commit.

    Follower --timeout--> PreCandidate --majority--> Candidate --majority--> Leader
        ^____________ a higher term, or a leader of this term ______________|
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .config import Config, Random
from .log import Durable, RaftLog
from .messages import (
    Append,
    AppendReply,
    AskRead,
    Committed,
    Halt,
    HardState,
    Heartbeat,
    HeartbeatReply,
    Message,
    NotLeader,
    PreVote,
    PreVoteReply,
    ReadId,
    ReadReply,
    Ready,
    Record,
    Soft,
    Ticket,
    TimeoutNow,
    Vote,
    VoteReply,
    Write,
)
from .progress import UNLIMITED
from .quorum import has_majority, is_lost
from .replication import Leadership

FOLLOWER, PRECANDIDATE, CANDIDATE, LEADER = "follower", "precandidate", "candidate", "leader"


class RaftCore:
    def __init__(
        self,
        config: Config,
        durable: Durable,
        *,
        seal: Callable[[Record, int, object], Record],
        check: Callable[[Record, Record], None],
        rng: Random,
    ) -> None:
        """`seal(last, term, payload)` makes the next entry (payload None: the no-op that opens a term).

        `check(before, entry)` raises when `entry` may not follow `before`; nothing of the append is then kept.
        """
        self.config, self.node = config, config.node
        self.log = RaftLog(durable)
        self.seal, self.check, self._rng = seal, check, rng
        self.term, self.vote, self.commit = durable.hard.term, durable.hard.vote, durable.hard.commit
        if self.commit > self.log.last_index:
            raise Halt(f"commit {self.commit} is beyond the last entry {self.log.last_index}")
        self.role, self.leader, self.applied = FOLLOWER, 0, 0
        self.leadership: Leadership | None = None
        self.out = Ready()
        self._votes: dict[int, bool] = {}
        self._elapsed = self._timeout = 0
        self.write_ticks = 0
        self._after: list[Message] = []
        self._flight: tuple[Write, list[Message]] | None = None
        self._reads = self.writes = 0
        self._saved = durable.hard
        self._unwritten_ticks = 0
        self._applied_out = 0
        self._soft = Soft(self.role, self.leader, self.term)
        self._reset_timer()

    # -- inputs

    def tick(self) -> None:
        self._unwritten_ticks += 1
        self._elapsed += 1
        self.write_ticks += self._flight is not None
        if self.leadership is not None:
            self.leadership.tick()
        elif self._elapsed >= self._timeout and self.log.may_lead(self.node, self.commit):
            self._precampaign()

    def step(self, message: Message) -> None:
        """Takes one message from an authenticated member (or from itself, when a write completed)."""
        if message.term > self.term and not self._adopt_term(message):
            return
        if message.term < self.term:
            self._answer_stale(message)
            return
        match message:
            case Append():
                self._on_append(message)
            case AppendReply() if self.leadership:
                self.leadership.on_append_reply(message)
            case Heartbeat() | Committed():
                self._on_heartbeat(message)
            case HeartbeatReply() if self.leadership:
                self.leadership.on_heartbeat_reply(message)
            case PreVote():
                self._on_prevote(message)
            case Vote():
                self._on_vote(message)
            case PreVoteReply() | VoteReply():
                self._on_vote_reply(message)
            case AskRead() if self.leadership:
                self.leadership.read(message.read, message.sender)
            case ReadReply():
                self.out.reads.append((message.read, message.index))
            case TimeoutNow() if not self.leadership and self.log.may_lead(self.node, self.commit):
                self._campaign(transfer=True)

    def propose(self, payloads: Sequence[object]) -> list[Ticket]:
        """Appends one entry a payload. Raises NotLeader, Overloaded, ConfRefused."""
        if self.leadership is None:
            raise NotLeader(self.leader)
        return self.leadership.propose(payloads)

    def read_index(self) -> ReadId:
        """Asks for an index that is safe to serve linearizable reads from; the answer comes in `Ready.reads`."""
        self._reads += 1
        read = ReadId(self.node, self.config.incarnation, self._reads)
        if self.leadership is not None:
            self.leadership.read(read, self.node)
        elif self.leader:
            self.out.send.append(AskRead(self.node, self.leader, self.term, read))
        else:
            raise NotLeader(0)
        return read

    def appended(self, token: int) -> None:
        """COMMIT of the write `token` returned success: what it carried is durable, what waited for it may leave."""
        if self._flight is None or self._flight[0].token != token:
            return
        (write, after), self._flight = self._flight, None
        self._saved, self.write_ticks = write.hard, 0
        if write.entries:
            self.log.wrote(write.entries[-1].index)
        self._release(after)
        if self.leadership is not None:
            self.leadership.advance_commit()

    def apply_done(self, index: int) -> None:
        """Everything up to `index` is applied; older entries may leave the memory."""
        self.applied = max(self.applied, index)
        self.log.trim(min(self.applied, self.commit), self.config.tail_bytes)

    def fetched(self, peer: int, term: int, entries: Sequence[Record]) -> None:
        """Answers a Fetch. Ignored when the term it was asked in is over."""
        if self.leadership is not None and term == self.term:
            self.leadership.fetched(peer, entries)

    def unreachable(self, peer: int) -> None:
        """The connection to `peer` broke. Of the leader that is a hint to ask early; a pre-vote disturbs nobody."""
        if self.leadership is not None:
            self.leadership.unreachable(peer)
        elif peer == self.leader:
            self._elapsed = max(self._elapsed, self.config.election_ticks)
            self._timeout = self._elapsed + self._rng.randrange(1, self.config.election_ticks // 2 + 1)

    @property
    def room(self) -> int:
        """How many entries a leader may propose now; 0 while it waits for a follower that lags."""
        return self.leadership.pace.room if self.leadership is not None else UNLIMITED

    def transfer(self, to: int) -> None:
        """Hands leadership to `to`. Raises NotLeader, ConfRefused."""
        if self.leadership is None:
            raise NotLeader(self.leader)
        self.leadership.transfer(to)

    def ready(self) -> Ready:
        """What is to be done now. Each thing is handed out once."""
        if self.leadership is not None:
            self.leadership.flush()
        if self._flight is None:
            self._start_write()
        ready, self.out = self.out, Ready()
        soft = Soft(self.role, self.leader, self.term)
        if soft != self._soft:
            ready.soft = self._soft = soft
        safe = min(self.commit, self.log.durable)
        if safe > self._applied_out:
            ready.apply = self._applied_out = safe
        return ready

    def _start_write(self) -> None:
        truncate_from, entries = self.log.take_unwritten(self.config.max_write_bytes, self.config.max_write_entries)
        hard = HardState(self.term, self.vote, min(self.commit, self.log.written))
        voted = (hard.term, hard.vote) != (self._saved.term, self._saved.vote)
        # Under load the next entries carry the commit index along; alone it is written only after a while of rest.
        flush = self._unwritten_ticks >= self.config.heartbeat_ticks and hard.commit != self._saved.commit
        if entries or truncate_from or voted or flush:
            self.writes += 1
            sync = bool(entries or truncate_from or voted)
            self.out.write = Write(self.writes, hard, truncate_from, entries, sync)
            # What waits may rest on any entry held so far: a write that takes only some of them lets nothing go.
            whole = self.log.written == self.log.last_index
            after, self._after = (self._after, []) if whole else ([], self._after)
            self._flight = (self.out.write, after)
            self._unwritten_ticks = 0
        else:
            after, self._after = self._after, []
            self._release(after)

    def _release(self, after: list[Message]) -> None:
        """Lets go of what waited for durability; what was said in an older term is no longer true and stays."""
        for message in after:
            if message.term < self.term:
                continue
            if message.to == self.node:
                self.step(message)
            else:
                self.out.send.append(message)

    # -- terms and roles

    def _adopt_term(self, message: Message) -> bool:
        """Deals with a higher term; False when the message is to be dropped."""
        match message:
            case PreVote() | PreVoteReply(granted=True):
                return True
            case Vote(transfer=False) if self._hears_leader():
                return False
            case Append() | Heartbeat() | Committed():
                self._become_follower(message.term, message.sender)
            case _:
                self._become_follower(message.term, 0)
        return True

    def _answer_stale(self, message: Message) -> None:
        """Tells a deposed leader or a lagging candidate the term, so that it does not linger."""
        match message:
            case PreVote():
                self._after.append(PreVoteReply(self.node, message.sender, self.term, False))
            case Append() | Heartbeat() | Committed():
                self._after.append(AppendReply(self.node, message.sender, self.term, 0, refused=-1))
            case _:
                pass

    def _hears_leader(self) -> bool:
        return self.leader != 0 and (self.leadership is not None or self._elapsed < self.config.election_ticks)

    def _reset_timer(self) -> None:
        self._elapsed = 0
        self._timeout = self._rng.randrange(self.config.election_ticks, 2 * self.config.election_ticks)

    def _become_follower(self, term: int, leader: int) -> None:
        """A vote given in this very term is kept: forgetting it would allow a second one (trap 2)."""
        if term > self.term:
            self.term, self.vote = term, 0
        self.role, self.leader = FOLLOWER, leader
        self.leadership = None
        self._reset_timer()

    def step_down(self) -> None:
        """Leads no longer, in the same term: a majority was silent for an election timeout (CheckQuorum)."""
        self._become_follower(self.term, 0)

    # -- elections

    def _precampaign(self) -> None:
        """Asks whether an election could be won, before disturbing anyone with a new term."""
        self.role, self.leader = PRECANDIDATE, 0
        self._votes = {self.node: True}
        self._reset_timer()
        self._ask_for_votes(PreVote, self.term + 1, transfer=False)
        self._count_votes()

    def _campaign(self, *, transfer: bool = False) -> None:
        self.role, self.leader = CANDIDATE, 0
        self.term, self.vote = self.term + 1, self.node
        self._votes = {}
        self._reset_timer()
        self._ask_for_votes(Vote, self.term, transfer=transfer)
        self._after.append(VoteReply(self.node, self.node, self.term, True))

    def _ask_for_votes(self, kind: type[PreVote] | type[Vote], term: int, *, transfer: bool) -> None:
        """The request waits until term, vote and the entries it boasts of are durable (trap 26)."""
        last_index, last_term = self.log.last_index, self.log.last_term
        for voter in self.log.conf.voters:
            if voter != self.node:
                self._after.append(kind(self.node, voter, term, last_index, last_term, transfer))

    def _is_up_to_date(self, message: PreVote | Vote) -> bool:
        return (message.last_term, message.last_index) >= (self.log.last_term, self.log.last_index)

    def _on_prevote(self, message: PreVote) -> None:
        """Writes nothing and touches no timer: a pre-vote promises nothing (trap 17)."""
        granted = message.term > self.term and not self._hears_leader() and self._is_up_to_date(message)
        term = message.term if granted else self.term
        self._after.append(PreVoteReply(self.node, message.sender, term, granted))

    def _on_vote(self, message: Vote) -> None:
        free = self.vote in (0, message.sender) and self.leader in (0, message.sender)
        granted = free and self._is_up_to_date(message)
        if granted:
            self.vote = message.sender
            self._reset_timer()
        self._after.append(VoteReply(self.node, message.sender, self.term, granted))

    def _on_vote_reply(self, message: PreVoteReply | VoteReply) -> None:
        if isinstance(message, PreVoteReply):
            expected = self.role == PRECANDIDATE and (not message.granted or message.term == self.term + 1)
        else:
            expected = self.role == CANDIDATE
        if expected:
            self._votes[message.sender] = message.granted
            self._count_votes()

    def _count_votes(self) -> None:
        voters = self.log.conf.voters
        granted = {voter for voter, yes in self._votes.items() if yes}
        if is_lost(set(self._votes) - granted, voters):
            self._become_follower(self.term, 0)
        elif has_majority(granted, voters):
            if self.role == PRECANDIDATE:
                self._campaign()
            else:
                self._lead()

    def _lead(self) -> None:
        self.role, self.leader = LEADER, self.node
        self.leadership = Leadership(self)
        self.leadership.open_term()
        self.leadership.beat()

    # -- following

    def _on_append(self, message: Append) -> None:
        self._follow(message.sender)
        if self.log.term(message.prev_index) != message.prev_term:
            self._refuse_append(message)
            return
        match = message.prev_index + len(message.entries)
        self._take_entries(message)
        self.commit_to(min(message.commit, match))
        reply = AppendReply(self.node, message.sender, self.term, match)
        newest = self._after[-1] if self._after else None
        if isinstance(newest, AppendReply) and not newest.refused and newest.term == self.term:
            # Two appends in one write are answered by one reply, for the further of the two.
            self._after.pop()
            reply = newest if newest.match > match else reply
        self._after.append(reply)

    def _follow(self, leader: int) -> None:
        if self.leadership is not None:
            raise Halt(f"two leaders in term {self.term}: {self.node} and {leader}")
        if self.role == FOLLOWER:
            self.leader, self._elapsed = leader, 0
        else:
            self._become_follower(self.term, leader)

    def _refuse_append(self, message: Append) -> None:
        """Hints at the last place that may match: skip our entries of terms newer than the leader's."""
        prev = message.prev_index
        hint = self.log.last_of_term(min(prev, self.log.last_index), message.prev_term, 0)
        reply = AppendReply(self.node, message.sender, self.term, 0, prev, hint, self.log.term(hint))
        self._after.append(reply)

    def _take_entries(self, message: Append) -> None:
        """Keeps what it has, drops only a real conflict, appends the rest (trap 6)."""
        for position, entry in enumerate(message.entries):
            if self.log.term(entry.index) == entry.term:
                continue
            if entry.index <= self.commit:
                raise Halt(f"conflict at {entry.index}, at or below commit {self.commit}")
            new = message.entries[position:]
            before = self.log.entry(entry.index - 1)
            for record in new:
                self.check(before, record)
                before = record
            if entry.index <= self.log.last_index:
                dropped = self.log.truncate(entry.index, self.commit)
                self.out.failed.extend(Ticket(old.term, old.index) for old in dropped)
            self.log.append(new)
            return

    def _on_heartbeat(self, message: Heartbeat | Committed) -> None:
        self._follow(message.sender)
        self.commit_to(min(message.commit, self.log.last_index))
        if isinstance(message, Heartbeat):
            self.out.send.append(HeartbeatReply(self.node, message.sender, self.term, message.round))

    def commit_to(self, index: int) -> None:
        """Commit only rises (trap 8)."""
        if index > self.commit:
            if self.leadership is not None:
                self.leadership.on_commit(index)
            self.commit = index
