"""Makes exports that an audit passes, of any length: elections of up to 25,000 voters, four entries a voter."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, rsa_line
from ballot.ledger.entry import ZERO_HASH, encode_map, seal
from ballot.ledger.frame import frame, u32, u64
from ballot.ledger.membership import Membership, NodeRecord
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.proof import root_of
from ballot.replay.export import ExportWriter
from ballot.voting.ballot import roll_leaf
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
from ballot.voting.fold import key_hash
from ballot.voting.tally import Vote, count_document

from .keys import QuickKey, make_quick_key
from .voters import OPTIONS, Booth, Made, make_voters, voter_id

ORIGIN = "bench.example/log"
START_US = 1_700_000_000_000_000
CHECKPOINT_EVERY = 100
MOST_VOTERS = 25_000
CHUNK, ROLL_CHUNK, PIECE = 500, 2_000, 250
IDENTITIES = 64
QUESTIONS = [Question("Who?", "plurality", OPTIONS, 1)]
ORGANISER = b"o" * 16

Told = Callable[[int], None]


@dataclass
class Nodes:
    """Three nodes' signing keys; the first leads."""

    rsa: list[RSAPrivateKey]
    ed25519: list[Ed25519PrivateKey]

    @classmethod
    def make(cls) -> Nodes:
        return cls([rsa.generate(3072) for _ in range(3)], [Ed25519PrivateKey.generate() for _ in range(3)])

    def name(self, node: int) -> str:
        return f"{ORIGIN}/node{node}"

    def membership(self) -> Membership:
        pairs = enumerate(zip(self.ed25519, self.rsa, strict=True), 1)
        return Membership(
            ORIGIN,
            tuple(
                NodeRecord(node, self.name(node), signing.public_key().public_bytes_raw(), rsa.modulus(key))
                for node, (signing, key) in pairs
            ),
        )

    def sign(self, point: Checkpoint) -> bytes:
        lines = [cosign(self.ed25519[node - 1], self.name(node), point, START_US // 10**6) for node in (1, 2)]
        return assemble(point, [rsa_line(self.rsa[0], self.name(1), point), *lines])


class Log:
    """Seals entries one after another into an export."""

    def __init__(self, writer: ExportWriter, nodes: Nodes, told: Told) -> None:
        self._writer, self._nodes, self._told = writer, nodes, told
        self.tree = Tree()
        self._hash = ZERO_HASH
        self.checkpoints = 0
        self.genesis = self.add("Genesis", nodes.membership().to_fields())
        self.add("TermOpened", {"node": 1})

    def add(self, kind: str, public: dict[str, Any], private: bytes | None = None) -> bytes:
        """The new entry's hash."""
        index = self.tree.size + 1
        entry = seal(
            prev_hash=self._hash,
            index=index,
            term=min(index - 1, 1),
            time_us=START_US + index,
            kind=kind,
            public=encode_map(public),
            private=private,
            salt=b"" if private is None else bytes(32),
        )
        self._hash = entry.hash
        self.tree.append(leaf_hash(entry.header))
        self.tree.completed_tiles()
        self._writer.entry(entry.header, entry.public)
        if index % CHECKPOINT_EVERY == 0:
            self.checkpoint()
        self._told(index)
        return entry.hash

    def checkpoint(self) -> None:
        point = Checkpoint(ORIGIN, self.tree.size, self.tree.root())
        self._writer.checkpoint(self._nodes.sign(point))
        self.checkpoints += 1


@dataclass(frozen=True)
class Store:
    """Keys that all elections of a log draw from."""

    identities: list[QuickKey]
    ballot_primes: list[int]

    @classmethod
    def make(cls) -> Store:
        primes = {prime for _ in range(16) for prime in make_quick_key(2048).primes}
        return cls([make_quick_key(3072) for _ in range(IDENTITIES)], sorted(primes))


class Election:
    """One election from the draft to the attested count, with keys of its own."""

    def __init__(self, log: Log, nodes: Nodes, store: Store, first: int, voters: int) -> None:
        self._log, self._nodes, self._first, self._voters = log, nodes, first, voters
        self.id = hashlib.sha256(b"election %d" % first).digest()[:16]
        self._trustee, registrar = rsa.generate(3072), make_quick_key(3072)
        ids = [voter_id(number) for number in range(first, first + voters)]
        self._ids = ids
        self._leaves = sorted(roll_leaf(voter, 1, hashlib.sha256(voter).digest()) for voter in ids)
        trustee = rsa.modulus(self._trustee)
        self._definition = ElectionDefinition(
            title=f"Election {first}",
            questions=QUESTIONS,
            opens_us=START_US,
            closes_us=0,
            pad_len=pad_length(QUESTIONS),
            k=1,
            trustees=[Trustee("Cluster", trustee.hex())],
            registrars=[Registrar(1, registrar.modulus.hex())],
            roll=Roll(voters, root_of(self._leaves).hex()),
            origin=ORIGIN,
            genesis=log.genesis.hex(),
        )
        self._document = encode_definition(self._definition)
        self._eid = election_id(self._document)
        self._booth = Booth(
            self._eid, (trustee,), 1, self._definition.pad_len, registrar, store.identities, store.ballot_primes
        )

    def run(self, pool: ProcessPoolExecutor) -> None:
        pieces = ahead(pool, self._booth, self._first, self._voters)
        for voter in self._ids:
            self._log.add("UserRegistered", {"command": voter, "user": voter}, b"address")
        self._open()
        made = [self._take(one) for piece in pieces for one in piece]
        for _ in made:
            self._log.add("BallotCast", self._named(), b"a ballot")
        self._log.add("ElectionClosed", self._named() | {"casts": len(made), "by": ORGANISER})
        self._finish(sorted(made, key=lambda one: hashlib.sha256(one.body).digest()))

    def _named(self) -> dict[str, Any]:
        return {"election": self.id, "eid": self._eid}

    def _open(self) -> None:
        log, election = self._log, {"election": self.id}
        log.add("ElectionDrafted", election | {"organiser": ORGANISER, "draft": b"{}"})
        for chunk in chunks(self._ids, ROLL_CHUNK):
            log.add("VotersAdded", election | {"command": chunk[0], "voters": [[voter, 1] for voter in chunk]})
        root = root_of(self._leaves)
        log.add("RollFrozen", election | {"leaves": self._leaves, "root": root, "size": len(self._leaves)})
        log.add("ElectionOpened", self._named() | {"definition": self._document})

    def _take(self, one: Made) -> Made:
        """A voter enrols a key and is issued a credential."""
        self._log.add("IdentityKeyEnrolled", {"user": one.user, "n": one.n, "signature": one.enrolled})
        issued = {"voter": one.user, "identity": key_hash(one.n), "blinded": one.blinded}
        signed = {"identity_sig": one.requested, "blind_sig": one.blind_sig}
        self._log.add("CredentialIssued", self._named() | issued | signed)
        return one

    def _finish(self, board: Sequence[Made]) -> None:
        self._chunks("BallotsPublished", "ballots", [one.body for one in board])
        self._release()
        self._chunks("TallySeeds", "seeds", [one.seed for one in board])
        made = count_document(self._definition, self._eid, (Vote(one.seed, [[one.answer]], 1) for one in board))
        self._log.add("TallyPublished", self._named() | {"document": made})
        digest = hashlib.sha256(made).digest()
        for node, key in enumerate(self._nodes.rsa, 1):
            signature = rsa.sign(key, frame("attest", self._eid, u32(node), digest))
            attested = {"node": node, "agrees": True, "digest": digest, "signature": signature}
            self._log.add("TallyAttested", self._named() | attested)

    def _chunks(self, kind: str, what: str, values: Sequence[bytes]) -> None:
        for number, chunk in enumerate(chunks(values, CHUNK)):
            last = (number + 1) * CHUNK >= len(values)
            self._log.add(kind, self._named() | {"chunk": number, "last": last, what: list(chunk)})

    def _release(self) -> None:
        numbers = self._trustee.private_numbers()
        p, q = (value.to_bytes(192, "big") for value in sorted((numbers.p, numbers.q), reverse=True))
        size, root = self._log.tree.size, self._log.tree.root()
        signature = rsa.sign(self._trustee, frame("release", self._eid, u64(size), root))
        released = {"number": 1, "p": p, "q": q, "size": size, "root": root, "signature": signature}
        self._log.add("TrusteeKeyReleased", self._named() | released)


def make_export(path: Path, entries: int, workers: int, told: Told) -> dict[str, int]:
    """Writes an export of about so many entries; `told` hears how many there are so far.

    Returns how many verifications of each kind an audit of its signatures cannot do without: `rsa3072`, `rsa2048` and
    `ed25519`, as `bare.run_bare` knows them. The check of a blind signature counts as one of RSA-3072.
    """
    nodes, store, voters = Nodes.make(), Store.make(), entries // 4
    with (
        path.open("wb") as file,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        writer = ExportWriter(file)
        log = Log(writer, nodes, told)
        for first in range(0, voters, MOST_VOTERS):
            Election(log, nodes, store, first, min(MOST_VOTERS, voters - first)).run(pool)
        log.checkpoint()
        writer.finish()
    elections = -(-voters // MOST_VOTERS)
    # Of a voter: identity key, request, blind signature, credential; of an election: release, three attestations.
    long = 4 * voters + 4 * elections + log.checkpoints
    return {"rsa3072": long, "rsa2048": voters, "ed25519": 2 * log.checkpoints}


def ahead(pool: ProcessPoolExecutor, booth: Booth, first: int, count: int) -> Iterator[list[Made]]:
    """The voters in pieces, some of them made ahead."""
    starts = range(first, first + count, PIECE)
    making: deque[Future[list[Made]]] = deque()
    for start in starts:
        making.append(pool.submit(make_voters, booth, start, min(PIECE, first + count - start)))
    while making:
        yield making.popleft().result()


def chunks(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
