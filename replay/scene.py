"""What the checks of an audit share: the log so far, the elections in it, and where findings go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from typing import Any

from ..ledger.membership import Membership
from ..voting.definition import ElectionDefinition
from ..voting.fold import key_hash
from .events import Event
from .logtree import LogTree
from .pool import Check, Flaw, Pool
from .report import Findings, Level, Minting, Recovered
from .scratch import Scratch, Spool
from .series import Series
from .table import Table

HASH_BYTES, PLACE_BYTES = 32, 8


@dataclass
class Election:
    """What the log has said about one election so far.

    `draft` is the newest, `document` the definition made of it. `added` and `roll` give the weight of each voter on the
    draft roll, until it is frozen, and on the frozen one.
    `registrars`: weight to modulus. `invited` is the name of each trustee by user, `trustees` (name, modulus) of those
    that enrolled, in that order. `issued_for`: how many credentials were issued for each weight. `spent` holds the ids
    of ballot keys on the board, `claimed` those claimed as unused. `epoch` is the one that is published next,
    `epoch_at` the entry that ended it, if any. `board` and `seeds` keep what the count needs.

    `claims_until_us` is when claims end, 0 where they never do; `claims` keeps them in order, `unspent` counts those
    whose key is not on the board, `claimed_weights` all by weight. `seed_places`: (first ballot, entry) of each chunk
    of seeds, `stated` the valid and invalid ballots of the published count, `attested` node to digest, `attested_at`
    node to entry. `spans` has for a kind of entry (first index, last index, how many).
    """

    election: bytes
    scratch: InitVar[Scratch]
    draft: bytes = b""
    status: str = "draft"
    eid: bytes = b""
    definition: ElectionDefinition | None = None
    document: bytes = b""
    registrars: dict[int, bytes] = field(default_factory=dict)
    added: Table = field(init=False)
    roll: Table = field(init=False)
    roll_root: bytes = b""
    invited: dict[bytes, str] = field(default_factory=dict)
    enrolments: int = 0
    trustees: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    issued: Table = field(init=False)
    issued_for: Counter[int] = field(default_factory=Counter)
    casts: int = 0
    chunks: int = 0
    last_name: bytes = b""
    spent: Table = field(init=False)
    board: Spool = field(init=False)
    published_at: int = 0
    epoch: int = 0
    epoch_at: int = 0
    epoch_casts: int = 0
    epoch_begun: bool = False
    epoch_since_us: int = 0
    claimed: Table = field(init=False)
    claims: Spool = field(init=False)
    claims_until_us: int = 0
    unspent: int = 0
    claimed_weights: Counter[int] = field(default_factory=Counter)
    released: dict[int, tuple[int, int]] = field(default_factory=dict)
    seed_chunks: int = 0
    seeds: Spool = field(init=False)
    seed_places: list[tuple[int, int]] = field(default_factory=list)
    seeds_ended: bool = False
    tally: bytes = b""
    tally_at: int = 0
    stated: tuple[int, int] = (0, 0)
    attested: dict[int, bytes] = field(default_factory=dict)
    attested_at: dict[int, int] = field(default_factory=dict)
    spans: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    minting: Minting | None = None
    series: Series = field(default_factory=Series)

    def __post_init__(self, scratch: Scratch) -> None:
        self.added, self.roll, self.issued, self.spent, self.claimed = (Table(scratch) for _ in range(5))
        self.board, self.seeds, self.claims = (Spool(scratch) for _ in range(3))

    @property
    def closed(self) -> bool:
        return self.status in ("closed", "published", "tallied")

    def span(self, kind: str, index: int) -> None:
        """One more entry of this kind."""
        first, _, count = self.spans.get(kind, (index, 0, 0))
        self.spans[kind] = (first, index, count + 1)

    def spill(self) -> None:
        """Frees the memory, once little more can happen."""
        for kept in (self.added, self.roll, self.issued, self.spent, self.board, self.seeds):
            kept.spill()

    def claim(self, bid: bytes, index: int) -> bool:
        """The credential of this ballot key was never cast, entry `index` says; False when one said so before."""
        is_new = self.claimed.add(bid)
        if is_new:
            self.claims.append(bid + index.to_bytes(PLACE_BYTES, "big"))
        return is_new

    def claimants(self) -> Iterator[tuple[bytes, int]]:
        """(ballot key id, entry) of all claims, in order."""
        for kept in self.claims:
            yield kept[:HASH_BYTES], int.from_bytes(kept[HASH_BYTES:], "big")


@dataclass
class Scene:
    """`genesis` is the hash of entry 1, `time_us` the time of the entry being read. `owners` says whose each cluster
    key is: one key, one purpose. Unless `deep`, costly checks are not made. `touched` are the elections that something
    happened to since the last checkpoint.
    """

    findings: Findings
    pool: Pool
    deep: bool = True
    scratch: Scratch = field(default_factory=Scratch)
    tree: LogTree = field(init=False)
    membership: Membership | None = None
    genesis: bytes = b""
    time_us: int = 0
    elections: dict[bytes, Election] = field(default_factory=dict)
    recoveries: list[Recovered] = field(default_factory=list)
    owners: dict[bytes, str] = field(default_factory=dict)
    touched: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tree, self._moduli = LogTree(self.scratch), Spool(self.scratch)
        self._identities, self._replaced = Table(self.scratch), Table(self.scratch)
        self._owned: dict[bytes, tuple[int, list[tuple[int, str]]]] = {}

    def find(self, level: Level, name: str, index: int, detail: str) -> None:
        self.findings.add(level, name, index, detail)

    def report(self, index: int, flaw: Flaw) -> None:
        self.findings.add(flaw.level, flaw.name, index, flaw.detail)

    def check(self, index: int, check: Check, *arguments: Any) -> None:
        """Has a costly check made, some time before the end, unless the audit stops below them all."""
        if self.deep:
            self.pool.submit(index, check, *arguments)

    def election(self, index: int, election: bytes, eid: bytes | None = None) -> Election | None:
        """The election an event names; None, with a finding, when there is none or its eid is another."""
        found = self.elections.get(election)
        if found is None:
            self.find(Level.BALLOTS, "UnknownElection", index, f"election {election.hex()} was never drafted")
        elif eid is not None and (eid != found.eid or not eid):
            self.find(Level.BALLOTS, "WrongElection", index, f"eid {eid.hex()} is not that of the election")
            return None
        if found is not None:
            self.touched.add(election)
        return found

    def enrol(self, index: int, user: bytes, modulus: bytes) -> None:
        """From here on this is the user's identity key. A finding when a newer one had replaced it, and when it is a
        key of the cluster.
        """
        name = key_hash(modulus)
        place = self._moduli.append(name + modulus)
        before = self._identities.put(user, place)
        if before is not None:
            if name in list(self._enrolled(before))[1:]:
                self.find(Level.SIGNATURES, "KeySuperseded", index, f"user {user.hex()} had replaced this identity key")
            self._replaced.put(place.to_bytes(PLACE_BYTES, "big"), before)
        if name in self.owners:
            self.find(Level.SIGNATURES, "KeyReused", index, f"user {user.hex()} has the key of {self.owners[name]}")

    def identity(self, user: bytes) -> tuple[bytes, bytes] | None:
        """(hash, modulus) of the identity key in force."""
        place = self._identities.get(user)
        if place is None:
            return None
        kept = self._moduli.read(place)
        return kept[:HASH_BYTES], kept[HASH_BYTES:]

    def _enrolled(self, place: int | None) -> Iterator[bytes]:
        """The hashes of one user's keys, the one that is kept at `place` first, then those before it."""
        while place is not None:
            yield self._moduli.read(place)[:HASH_BYTES]
            place = self._replaced.get(place.to_bytes(PLACE_BYTES, "big"))

    def own(self, index: int, modulus: bytes, owner: str) -> None:
        """Notes that a node, a trustee or a registrar has this key. A finding when it is another one's already, and at
        the end when it was a voter's.
        """
        name = key_hash(modulus)
        known = self.owners.setdefault(name, owner)
        if known != owner:
            self.find(Level.SIGNATURES, "KeyReused", index, f"the key of {owner} is that of {known}")
        else:
            self._owned.setdefault(name, (self._moduli.count, []))[1].append((index, owner))

    def settle(self) -> None:
        """At the end of the log: a key of the cluster that had been a voter's before is found wherever it was noted."""
        for number, kept in enumerate(self._moduli):
            name = kept[:HASH_BYTES]
            if name in self._owned and number < self._owned[name][0]:
                for index, owner in self._owned.pop(name)[1]:
                    self.find(Level.SIGNATURES, "KeyReused", index, f"the key of {owner} is that of a voter")

    def close(self) -> None:
        self.scratch.close()


Handler = Callable[[Scene, int, Any], None]
"""Checks one event at an index: `handler(scene, index, event)`, the event of the type it is registered for."""

Handlers = dict[type[Event], Handler]
