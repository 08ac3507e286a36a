"""What Raft nodes say to each other, and what the core hands to its driver.

Node ids are positive integers and never reused. A message's `term` is its sender's term (for a pre-vote: the
term it would campaign in).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Conf:
    """A configuration: who votes, and who only receives the log."""

    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()

    @property
    def everyone(self) -> tuple[int, ...]:
        return self.voters + self.learners


class Record(Protocol):
    """An entry as the core sees it: a place in the log, a size, and perhaps a new configuration."""

    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def conf(self) -> Conf | None: ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """A proposal's place. It succeeded if and only if the entry applied at `index` has `term` (rule R5)."""

    term: int
    index: int


class ReadId(NamedTuple):
    """Names one read request: node, that process's incarnation, and a counter."""

    node: int
    incarnation: int
    counter: int


@dataclass(frozen=True, slots=True)
class Message:
    sender: int
    to: int
    term: int


@dataclass(frozen=True, slots=True)
class PreVote(Message):
    last_index: int
    last_term: int
    transfer: bool = False


@dataclass(frozen=True, slots=True)
class PreVoteReply(Message):
    granted: bool


@dataclass(frozen=True, slots=True)
class Vote(Message):
    last_index: int
    last_term: int
    transfer: bool = False


@dataclass(frozen=True, slots=True)
class VoteReply(Message):
    granted: bool


@dataclass(frozen=True, slots=True)
class Append(Message):
    prev_index: int
    prev_term: int
    commit: int
    entries: Sequence[Record]


@dataclass(frozen=True, slots=True)
class AppendReply(Message):
    """`match`: the last index this follower shares durably, as far as the answered append proved it.

    When refused, `match` is 0, `refused` is the append's prev_index and `hint` the best place to try next.
    """

    match: int
    refused: int = 0
    hint: int = 0
    hint_term: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    commit: int
    round: int


@dataclass(frozen=True, slots=True)
class Committed(Message):
    """News of the commit index for a follower that holds the entries. Wants no answer; heartbeats repeat it."""

    commit: int


@dataclass(frozen=True, slots=True)
class HeartbeatReply(Message):
    round: int


@dataclass(frozen=True, slots=True)
class AskRead(Message):
    read: ReadId


@dataclass(frozen=True, slots=True)
class ReadReply(Message):
    read: ReadId
    index: int


@dataclass(frozen=True, slots=True)
class TimeoutNow(Message):
    pass


MESSAGES: tuple[type[Message], ...] = (
    PreVote,
    PreVoteReply,
    Vote,
    VoteReply,
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    AskRead,
    ReadReply,
    TimeoutNow,
    Committed,
)


@dataclass(frozen=True, slots=True)
class HardState:
    """What must survive a crash besides the entries. `vote` 0 means none in this term."""

    term: int = 0
    vote: int = 0
    commit: int = 0


@dataclass(frozen=True, slots=True)
class Soft:
    role: str
    leader: int
    term: int


@dataclass(frozen=True, slots=True)
class Write:
    """One transaction for the log table (rule R1). Answers that depend on it stay inside the core until
    `appended(token)` says that COMMIT succeeded (rule R2), so that no driver can send them early.
    """

    token: int
    hard: HardState
    truncate_from: int
    entries: Sequence[Record]
    sync: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Entries the core no longer holds in memory and needs for a follower that lags."""

    peer: int
    term: int
    first: int


@dataclass(slots=True)
class Ready:
    """The to-do list. `send` may overlap the write; everything up to `apply` is committed and locally durable.

    `failed` are tickets whose entries were overwritten here. That is no verdict: a node that kept such an entry may
    yet lead and commit it, so the answer is what gets applied at the ticket's index (rule R5).
    """

    soft: Soft | None = None
    send: list[Message] = field(default_factory=list)
    write: Write | None = None
    apply: int = 0
    reads: list[tuple[ReadId, int]] = field(default_factory=list)
    failed: list[Ticket] = field(default_factory=list)
    fetch: list[Fetch] = field(default_factory=list)


class NotLeader(Exception):
    """Only the leader may do this; `hint` is the leader as far as this node knows (0: unknown)."""

    def __init__(self, hint: int) -> None:
        super().__init__(f"not the leader; try node {hint}" if hint else "no leader is known")
        self.hint = hint


class Overloaded(Exception):
    """More is uncommitted than the limit allows: refuse now, lose nothing."""


class ConfRefused(Exception):
    """A configuration change that may not start now; the argument says why."""


class Halt(Exception):
    """The log contradicts what was committed (rule R6): this node must stop and be looked at."""
