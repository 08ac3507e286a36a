"""The log that every run begins with, an election just opened, and all commands that clients may send it.

Nothing here depends on the seed, so it is made once a process. Signatures, keys and envelopes are filler: whoever
submits a command checks them before the ledger sees it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ballot.ledger.decision import Draft
from ballot.ledger.entry import ZERO_HASH, Entry, encode_map, seal
from ballot.ledger.frame import frame
from ballot.ledger.membership import Membership, NodeRecord
from ballot.ledger.raft.messages import Conf
from ballot.voting import commands as c
from ballot.voting.ballot import cast_frame
from ballot.voting.decide import decide
from ballot.voting.definition import (
    ElectionDefinition,
    Question,
    Registrar,
    Roll,
    Trustee,
    election_id,
    encode_definition,
    pad_length,
)
from ballot.voting.fold import fold, key_hash
from ballot.voting.tables import Change, Clear, Key, Put, Row, merge

START_US = 1_700_000_000_000_000
VOTERS = 64
ELECTION, ORGANISER = b"e" * 16, b"o" * 16
KINDS = ("register", "enrol", "issue", "cast")

Place = tuple[str, Key]
Rows = dict[Place, Row]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """A command with a name for the trace. Variants of one kind and voter exclude each other."""

    name: str
    command: c.AnyCommand
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    entries: Sequence[Entry]
    rows: Rows
    confs: Sequence[tuple[int, Conf]]


class RowsView:
    """A `View` of rows with nothing in flight."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, table: str, *key: Any) -> Row | None:
        return self._rows.get((table, key))


def puts(changes: Sequence[Change]) -> Sequence[Put]:
    """The changes of a run: nothing in it is ever cleared."""
    assert not any(isinstance(change, Clear) for change in changes)
    return [change for change in changes if isinstance(change, Put)]


def filler(what: str, size: int) -> bytes:
    return hashlib.shake_128(what.encode()).digest(size)


@cache
def node_record(node: int, voter: bool = True) -> NodeRecord:
    return NodeRecord(node, f"sim/node{node}", filler(f"ed25519 {node}", 32), filler(f"rsa {node}", 384), voter)


@cache
def conf_draft(kind: str, conf: Conf) -> Draft:
    """The membership entry that puts `conf` in force."""
    nodes = [node_record(node) for node in conf.voters] + [node_record(node, False) for node in conf.learners]
    return Draft(kind, encode_map(Membership("sim/log", tuple(nodes)).to_fields()))


@cache
def definition() -> bytes:
    questions = [Question("Mayor?", "approval", ["Ada", "Bo"], 2)]
    return encode_definition(
        ElectionDefinition(
            title="Simulated",
            questions=questions,
            opens_us=1,
            closes_us=0,
            pad_len=pad_length(questions),
            k=1,
            trustees=[Trustee("Cluster", filler("trustee", 384).hex())],
            registrars=[Registrar(1, filler("registrar", 384).hex())],
            roll=Roll(VOTERS, bytes(32).hex()),
            origin="sim/log",
            genesis=bytes(32).hex(),
        )
    )


def voter_id(voter: int) -> bytes:
    return filler(f"voter {voter}", 16)


def tag(voter: int) -> bytes:
    return filler(f"tag {voter}", 32)


@cache
def opening(nodes: int) -> Opening:
    """The log up to the opened election, of a cluster of the nodes 1 to `nodes`."""
    conf = Conf(tuple(range(1, nodes + 1)))
    entries: list[Entry] = []
    rows: Rows = {}
    _extend(entries, rows, [conf_draft("Genesis", conf)])
    roll = [c.NewVoter(voter_id(v), tag(v), f"v{v}@ballot.example", filler(f"salt {v}", 32), 1) for v in range(VOTERS)]
    leaves = [filler(f"leaf {v}", 32) for v in range(VOTERS)]
    commands = (
        c.DraftElection(ELECTION, ORGANISER, b"draft"),
        c.AddVoters(filler("add", 16), ELECTION, ORGANISER, roll),
        c.OpenElection(ELECTION, ORGANISER, b"draft", definition(), leaves, bytes(32), [], b""),
    )
    for command in commands:
        decision = decide(RowsView(rows), command, START_US)
        assert isinstance(decision, list), decision
        _extend(entries, rows, decision)
    return Opening(entries, rows, [(1, conf)])


def _extend(entries: list[Entry], rows: Rows, drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        entry = seal(
            prev_hash=entries[-1].hash if entries else ZERO_HASH,
            index=len(entries) + 1,
            term=0,
            time_us=START_US + len(entries),
            kind=draft.kind,
            public=draft.public,
            private=draft.private,
            salt=b"" if draft.private is None else bytes(32),
        )
        entries.append(entry)
        for change in puts(fold(entry)):
            place = (change.table, change.key)
            rows[place] = merge(rows.get(place), change, entry.index)


def _operation(name: str, command: c.AnyCommand) -> Operation:
    return Operation(name, command, c.encode_command(command))


@cache
def operations(kind: str, voter: int) -> Sequence[Operation]:
    """All commands of one kind for one voter."""
    eid, user, identity = election_id(definition()), voter_id(voter), filler(f"identity {voter}", 24)
    made: list[c.AnyCommand] = []
    if kind == "enrol":
        made.append(c.EnrolIdentityKey(user, identity, b"signature"))
    for variant in (0, 1) if kind != "enrol" else ():
        what = f"{kind} {voter} {variant}"
        if kind == "register":
            address = f"v{voter}@ballot.example"
            made.append(c.RegisterUser(filler(what, 16), user, tag(voter), address, b"password"))
        elif kind == "issue":
            made.append(c.IssueCredential(ELECTION, eid, user, key_hash(identity), filler(what, 24), b"id", b"blind"))
        else:
            cast = cast_frame(eid, filler(f"bpk {voter}", 256), bytes(32), bytes(384), filler(what, 16))
            made.append(c.CastBallot(ELECTION, frame("ballot", cast, bytes(256))))
    return [_operation(f"{kind} {voter}" + "ab"[variant], command) for variant, command in enumerate(made)]


@cache
def closing() -> Operation:
    return _operation("close", c.CloseElection(ELECTION, ORGANISER))
