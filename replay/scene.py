"""What the checks of an audit share: the log so far, the elections in it, and where findings go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..ledger.membership import Membership
from ..voting.definition import ElectionDefinition
from ..voting.fold import key_hash
from .events import Event
from .logtree import LogTree
from .pool import Check, Flaw, Pool
from .report import Findings, Level, Recovered
from .spool import Spool


@dataclass
class Election:
    """What the log has said about one election so far.

    `added` and `roll` give the weight of each voter on the draft roll and the frozen one. `trustees` are name and
    modulus of those that enrolled. `spent` holds the ids of
    ballot keys on the board, `claimed` those claimed as unused. `epoch` is the one that is published next, `epoch_at`
    the entry that ended it, if any. `board` and `seeds` keep what the count needs.
    """

    election: bytes
    status: str = "draft"
    eid: bytes = b""
    definition: ElectionDefinition | None = None
    document: bytes = b""
    added: dict[bytes, int] = field(default_factory=dict)
    roll: dict[bytes, int] = field(default_factory=dict)
    roll_root: bytes = b""
    trustees: list[tuple[str, bytes]] = field(default_factory=list)
    issued: set[bytes] = field(default_factory=set)
    casts: int = 0
    chunks: int = 0
    last_name: bytes = b""
    spent: set[bytes] = field(default_factory=set)
    board: Spool = field(default_factory=Spool)
    published_at: int = 0
    epoch: int = 0
    epoch_at: int = 0
    epoch_casts: int = 0
    epoch_begun: bool = False
    epoch_since_us: int = 0
    claimed: dict[bytes, int] = field(default_factory=dict)
    released: dict[int, tuple[int, int]] = field(default_factory=dict)
    seed_chunks: int = 0
    seeds: Spool = field(default_factory=Spool)
    tally: bytes = b""
    tally_at: int = 0
    attested: dict[int, bytes] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        return self.status in ("closed", "published", "tallied")

    def close(self) -> None:
        self.board.close()
        self.seeds.close()


@dataclass
class Scene:
    """`genesis` is the hash of entry 1, `time_us` the time of the entry being read. `owners` says whose each cluster
    key is: one key, one purpose.
    """

    findings: Findings
    pool: Pool
    tree: LogTree = field(default_factory=LogTree)
    membership: Membership | None = None
    genesis: bytes = b""
    time_us: int = 0
    elections: dict[bytes, Election] = field(default_factory=dict)
    recoveries: list[Recovered] = field(default_factory=list)
    owners: dict[bytes, str] = field(default_factory=dict)
    _moduli: Spool = field(default_factory=Spool)
    _identities: dict[bytes, int] = field(default_factory=dict)
    _enrolled: dict[bytes, list[bytes]] = field(default_factory=dict)

    def find(self, level: Level, name: str, index: int, detail: str) -> None:
        self.findings.add(level, name, index, detail)

    def report(self, index: int, flaw: Flaw) -> None:
        self.findings.add(flaw.level, flaw.name, index, flaw.detail)

    def check(self, index: int, check: Check, *arguments: Any) -> None:
        """Has a costly check made, some time before the end."""
        self.pool.submit(index, check, *arguments)

    def election(self, index: int, election: bytes, eid: bytes | None = None) -> Election | None:
        """The election an event names; None, with a finding, when there is none or its eid is another."""
        found = self.elections.get(election)
        if found is None:
            self.find(Level.BALLOTS, "UnknownElection", index, f"election {election.hex()} was never drafted")
        elif eid is not None and (eid != found.eid or not eid):
            self.find(Level.BALLOTS, "WrongElection", index, f"eid {eid.hex()} is not that of the election")
            return None
        return found

    def enrol(self, index: int, user: bytes, modulus: bytes) -> None:
        """From here on this is the user's identity key. A finding when a newer one had replaced it."""
        enrolled = self._enrolled.setdefault(user, [])
        if key_hash(modulus) in enrolled[:-1]:
            self.find(Level.SIGNATURES, "KeySuperseded", index, f"user {user.hex()} had replaced this identity key")
        enrolled.append(key_hash(modulus))
        self._identities[user] = self._moduli.append(modulus)

    def identity(self, user: bytes) -> bytes | None:
        """The modulus of the identity key in force."""
        place = self._identities.get(user)
        return None if place is None else self._moduli.read(place)

    def own(self, index: int, modulus: bytes, owner: str) -> None:
        """Notes whose key this is. A finding when it is somebody else's already."""
        known = self.owners.setdefault(key_hash(modulus), owner)
        if known != owner:
            self.find(Level.SIGNATURES, "KeyReused", index, f"the key of {owner} is that of {known}")

    def close(self) -> None:
        self.tree.close()
        self._moduli.close()
        for election in self.elections.values():
            election.close()


Handler = Callable[[Scene, int, Any], None]
"""Checks one event at an index: `handler(scene, index, event)`, the event of the type it is registered for."""

Handlers = dict[type[Event], Handler]
