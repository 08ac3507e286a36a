"""A small but whole election as a log: five on the roll, four credentials, three ballots of which one is invalid.

Every event is made by the real decisions from real keys. `Draft`s are what the log says; `seal_drafts` makes the
chain, the tree and the checkpoints over them, so an attack is written as a change of drafts (by insiders, who can sign
again) or of records (by anyone who holds the file).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import UNSET, UnsetType

from ballot.ledger import rsa
from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, rsa_line
from ballot.ledger.entry import ZERO_HASH, Entry, decode_map, encode_map, seal
from ballot.ledger.frame import frame, u32, u64
from ballot.ledger.membership import Membership, NodeRecord
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.proof import root_of
from ballot.ledger.receipt import Receipt, encode
from ballot.replay.export import CheckpointRecord, EndRecord, EntryRecord, Record
from ballot.voting import commands as c
from ballot.voting.ballot import cast_frame, credential_message, roll_leaf
from ballot.voting.blind import BlindSigner, blind, finalize
from ballot.voting.choice import encode_choice
from ballot.voting.decide import decide
from ballot.voting.definition import (
    ElectionDefinition,
    Question,
    Registrar,
    Roll,
    Trustee,
    decode_definition,
    election_id,
    encode_definition,
    pad_length,
)
from ballot.voting.envelope import Context, ballot_id
from ballot.voting.envelope import seal as seal_envelope
from ballot.voting.fold import fold
from ballot.voting.tables import TABLES, Clear, Key, Row, merge
from ballot.voting.tally import count_document, open_board, seeds_of
from tests.support.keys import load_key, long_key

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "envelope-vectors.json").read_text())
TEST_KEYS: dict[str, str] = json.loads((DATA / "test-keys.json").read_text())
ORIGIN = "ballot.example/log"
NODE_NAMES = [f"{ORIGIN}/node{number}" for number in (1, 2, 3)]
SIGNING = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
ELECTION = b"e" * 16
ORGANISER = b"o" * 16
START_US = 1_700_000_000_000_000
STEP_US = 1_000_000
CHECKPOINT_EVERY = 4
QUESTIONS = [
    Question("Mayor?", "irv", ["Ada", "Bo", "Cy"], 3),
    Question("Parks?", "approval", ["Hill", "Pond"], 2),
]
ANSWERS = [[[0, 1], [0]], [[0], [0, 1]]]


@cache
def key(name: str) -> RSAPrivateKey:
    """The key with this name, out of tests/data; one that is not there is made once a session."""
    fixed = {"trustee": 0, "registrar": 1, "identity0": 2}
    if name in fixed:
        return rsa.load_private(VECTORS["trustees"][fixed[name]].encode())
    if name in ("trustee2", "trustee3"):
        return long_key(int(name[-1]) + 2)
    if name == "ballot0":
        return rsa.load_private(VECTORS["ballot_key"].encode())
    if name in TEST_KEYS:
        return load_key(TEST_KEYS[name])
    return rsa.generate(2048 if name.startswith("ballot") else 3072)


def modulus(name: str) -> bytes:
    return rsa.modulus(key(name))


@dataclass(frozen=True)
class Draft:
    """What an entry says. A release is signed again for the log as it then is, unless it is `pinned`."""

    kind: str
    public: dict[str, Any]
    private: bytes | None = None
    pinned: bool = False

    def but(self, **changes: Any) -> Draft:
        return replace(self, public={**self.public, **changes}, pinned=True)


@dataclass
class Sealer:
    """Seals drafts one by one."""

    entries: list[Entry] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)

    def append(self, draft: Draft) -> Entry:
        index = len(self.entries) + 1
        public = release_of(self.tree, draft) if draft.kind == "TrusteeKeyReleased" else draft.public
        term, time_us = self.stamp(index)
        entry = seal(
            prev_hash=self.entries[-1].hash if self.entries else ZERO_HASH,
            index=index,
            term=term,
            time_us=time_us,
            kind=draft.kind,
            public=encode_map(public),
            private=draft.private,
            salt=b"" if draft.private is None else hashlib.sha256(b"salt %d" % index).digest(),
        )
        self.entries.append(entry)
        self.tree.append(leaf_hash(entry.header))
        return entry

    def stamp(self, index: int) -> tuple[int, int]:
        """The term and the time of an entry."""
        return (0 if index == 1 else 1), START_US + index * STEP_US


def trustee_key(number: int) -> RSAPrivateKey:
    return key("trustee" if number == 1 else f"trustee{number}")


def factors_of(number: int) -> tuple[bytes, bytes]:
    """p and q of a trustee's key, the larger first."""
    numbers = trustee_key(number).private_numbers()
    p, q = (value.to_bytes(192, "big") for value in sorted((numbers.p, numbers.q), reverse=True))
    return p, q


def release_of(tree: Tree, draft: Draft) -> dict[str, Any]:
    if draft.pinned:
        return draft.public
    size, root = tree.size, tree.root()
    signature = rsa.sign(trustee_key(draft.public["number"]), frame("release", draft.public["eid"], u64(size), root))
    return {**draft.public, "size": size, "root": root, "signature": signature}


def sign_note(tree: Tree, size: int, cosigners: tuple[int, ...] = (0, 1)) -> bytes:
    """The checkpoint of the first `size` entries, signed by node 1 as the leader, cosigned by these of the three."""
    return sign_point(Checkpoint(ORIGIN, size, tree.root(size)), cosigners)


# Many tests seal the same tree.
@cache
def sign_point(point: Checkpoint, cosigners: tuple[int, ...]) -> bytes:
    lines = [cosign(SIGNING[node], NODE_NAMES[node], point, START_US // STEP_US) for node in cosigners]
    return assemble(point, [rsa_line(key("node1"), NODE_NAMES[0], point), *lines])


def records_of(entries: Sequence[Entry]) -> list[Record]:
    """The export of these entries: a checkpoint every few entries and at the end."""
    tree = Tree()
    records: list[Record] = []
    for entry in entries:
        tree.append(leaf_hash(entry.header))
        records.append(EntryRecord(entry.header, entry.public))
        if tree.size % CHECKPOINT_EVERY == 0 or tree.size == len(entries):
            records.append(CheckpointRecord(sign_note(tree, tree.size)))
    return [*records, EndRecord(len(entries), len(entries))]


def seal_drafts(drafts: Iterable[Draft]) -> list[Record]:
    """What a majority of dishonest nodes could publish: anything, in a log that is in order."""
    sealer = Sealer()
    for draft in drafts:
        sealer.append(draft)
    return records_of(sealer.entries)


def genesis() -> Draft:
    nodes = [
        NodeRecord(number, name, signing.public_key().public_bytes_raw(), modulus(f"node{number}"))
        for number, (name, signing) in enumerate(zip(NODE_NAMES, SIGNING, strict=True), 1)
    ]
    return Draft("Genesis", Membership(ORIGIN, tuple(nodes)).to_fields())


class Log:
    """A log under construction, with the state that decisions see."""

    def __init__(self) -> None:
        self.sealer = Sealer()
        self.drafts: list[Draft] = []
        self.tables: dict[str, dict[Key, Row]] = {name: {} for name in TABLES}
        self.add(genesis())
        self.add(Draft("TermOpened", {"node": 1}))

    @property
    def entries(self) -> list[Entry]:
        return self.sealer.entries

    def get(self, table: str, *key: Any) -> Row | None:
        return self.tables[table].get(key)

    def add(self, draft: Draft) -> Entry:
        entry = self.sealer.append(draft)
        self.drafts.append(replace(draft, public=decode_map(entry.public)))
        for change in fold(entry):
            rows = self.tables[change.table]
            if isinstance(change, Clear):
                gone = [row_key for row_key, row in rows.items() if row.get(change.column) == change.value]
                for row_key in gone:
                    del rows[row_key]
            else:
                rows[change.key] = merge(rows.get(change.key), change, entry.index)
        return entry

    def submit(self, command: c.AnyCommand) -> Entry:
        """Carries a command out; the last entry it became."""
        drafts = decide(self, command, START_US + (len(self.entries) + 1) * STEP_US)
        assert isinstance(drafts, list), drafts
        return [self.add(Draft(draft.kind, decode_map(draft.public), draft.private)) for draft in drafts][-1]


@dataclass(frozen=True)
class Voter:
    number: int
    weight: int = 1

    @property
    def id(self) -> bytes:
        return hashlib.sha256(b"voter %d" % self.number).digest()[:16]

    @property
    def tag(self) -> bytes:
        return hashlib.sha256(b"tag %d" % self.number).digest()

    @property
    def address(self) -> str:
        return f"voter{self.number}@example.org"

    @property
    def identity(self) -> RSAPrivateKey:
        return key(f"identity{self.number}")

    @property
    def ballot_key(self) -> RSAPrivateKey:
        return key(f"ballot{self.number}")

    @property
    def bpk(self) -> bytes:
        return rsa.modulus(self.ballot_key)

    @property
    def prefix(self) -> bytes:
        return hashlib.sha256(b"prefix %d" % self.number).digest()

    @property
    def registrar(self) -> str:
        """The name of the key that signs credentials of the voter's weight."""
        return "registrar" if self.weight == 1 else f"registrar{self.weight}"

    @property
    def leaf(self) -> bytes:
        return roll_leaf(self.id, self.weight, hashlib.sha256(self.address.encode()).digest())


VOTERS = [Voter(number) for number in range(5)]


def make_credential(eid: bytes, voter: Voter) -> tuple[bytes, bytes, bytes]:
    """(blinded, blind_sig, credential)."""
    message = voter.prefix + credential_message(eid, voter.bpk)
    blinded = blind(modulus(voter.registrar), message)
    blind_sig = BlindSigner(key(voter.registrar)).sign(blinded.message)
    return blinded.message, blind_sig, finalize(modulus(voter.registrar), message, blind_sig, blinded.inverse)


def sign_issue(eid: bytes, voter: Voter, blinded: bytes) -> bytes:
    identity = ballot_id(rsa.modulus(voter.identity))
    return rsa.sign(voter.identity, frame("issue", eid, voter.id, identity, blinded))


def make_body(definition: ElectionDefinition, eid: bytes, voter: Voter, credential: bytes, choice: bytes) -> bytes:
    """A ballot, F(ballot, cast, sig)."""
    trustees = tuple(bytes.fromhex(trustee.n) for trustee in definition.trustees)
    context = Context(eid, ballot_id(voter.bpk), definition.k, trustees, definition.pad_len)
    envelope = seal_envelope(context, choice, hashlib.sha256(b"seed %d" % voter.number).digest())
    return sign_cast(voter, cast_frame(eid, voter.bpk, voter.prefix, credential, envelope))


def sign_cast(voter: Voter, cast: bytes) -> bytes:
    return frame("ballot", cast, rsa.sign(voter.ballot_key, cast))


class ElectionLog(Log):
    """The whole election. `bodies` are the ballots in the order they were cast, `credentials` by voter number.

    With `trustees`, so many are invited and enrol, more than half of them are needed, and the last ones release keys.
    """

    def __init__(self, voters: Sequence[Voter] = VOTERS, claims_s: int | UnsetType = UNSET, trustees: int = 0) -> None:
        super().__init__()
        self.voters, self.claims_s, self.trustees = voters, claims_s, range(1, trustees + 1)
        self.credentials: dict[int, bytes] = {}
        self.bodies: list[bytes] = []
        self._accounts()
        self._open()
        for voter in voters[:4]:
            self._issue(voter)
        for voter, choice in zip(voters, [*map(encode_choice, ANSWERS), b"no choice"], strict=False):
            self.bodies.append(make_body(self.definition, self.eid, voter, self.credentials[voter.number], choice))
            self.submit(c.CastBallot(ELECTION, self.bodies[-1]))
        self._publish()
        self._count()

    def _accounts(self) -> None:
        self.submit(c.RegisterUser(b"c" * 16, ORGANISER, b"t" * 32, "organiser@example.org", b"hash"))
        self.submit(c.GrantRole(bytes(16), ORGANISER, "organiser", b""))
        for voter in self.voters[:4]:
            command = hashlib.sha256(b"register" + voter.tag).digest()[:16]
            self.submit(c.RegisterUser(command, voter.id, voter.tag, voter.address, b"hash"))
            n = rsa.modulus(voter.identity)
            self.submit(c.EnrolIdentityKey(voter.id, n, rsa.sign(voter.identity, frame("identity-key", voter.id, n))))

    def _open(self) -> None:
        self.submit(c.DraftElection(ELECTION, ORGANISER, b"{}"))
        roll = [c.NewVoter(voter.id, voter.tag, voter.address, b"s" * 32, voter.weight) for voter in self.voters]
        self.submit(c.AddVoters(b"a" * 16, ELECTION, ORGANISER, roll))
        self._enrol_trustees()
        leaves = sorted(voter.leaf for voter in self.voters)
        document = encode_definition(self._definition(root_of(leaves)))
        keys = [b"registrar" for _ in self._registrars()], b"" if self.trustees else b"trustee"
        opening = c.OpenElection(ELECTION, ORGANISER, b"{}", document, leaves, root_of(leaves), *keys, self._changes)
        self.submit(opening)

    @property
    def _changes(self) -> int:
        return 2 * len(self.trustees)

    def _enrol_trustees(self) -> None:
        for number in self.trustees:
            name, n = f"Trustee {number}", rsa.modulus(trustee_key(number))
            user, command = b"trustee %d......." % number, b"invitation %d...." % number
            self.submit(c.InviteTrustee(command, ELECTION, ORGANISER, user, user * 2, f"{number}@example.org", name))
            proof = rsa.sign(trustee_key(number), frame("trustee-key", ELECTION, name.encode(), n))
            self.submit(c.EnrolTrustee(ELECTION, user, name, n, proof))

    def _registrars(self) -> list[Registrar]:
        names = {voter.weight: voter.registrar for voter in self.voters}
        return [Registrar(weight, modulus(names[weight]).hex()) for weight in sorted(names)]

    def _definition(self, root: bytes) -> ElectionDefinition:
        return ElectionDefinition(
            title="City election",
            questions=QUESTIONS,
            opens_us=START_US,
            closes_us=0,
            pad_len=pad_length(QUESTIONS),
            k=max(len(self.trustees), 1) // 2 + 1,
            trustees=[Trustee(f"Trustee {number}", rsa.modulus(trustee_key(number)).hex()) for number in self.trustees]
            or [Trustee("Cluster", modulus("trustee").hex())],
            registrars=self._registrars(),
            roll=Roll(len(self.voters), root.hex()),
            origin=ORIGIN,
            genesis=self.entries[0].hash.hex(),
            claims_s=self.claims_s,
        )

    @cached_property
    def document(self) -> bytes:
        """The definition's bytes."""
        return bytes(self.tables["elections"][ELECTION,]["definition"])

    @cached_property
    def definition(self) -> ElectionDefinition:
        return decode_definition(self.document)

    @cached_property
    def eid(self) -> bytes:
        return election_id(self.document)

    def _issue(self, voter: Voter) -> None:
        blinded, blind_sig, credential = make_credential(self.eid, voter)
        self.credentials[voter.number] = credential
        identity = ballot_id(rsa.modulus(voter.identity))
        request = sign_issue(self.eid, voter, blinded)
        self.submit(c.IssueCredential(ELECTION, self.eid, voter.id, identity, blinded, request, blind_sig))

    def _publish(self) -> None:
        casts = [entry.index for entry in self.entries if entry.kind == "BallotCast"]
        self.submit(c.CloseElection(ELECTION, ORGANISER))
        board = self.board
        self.submit(c.PublishBallots(ELECTION, 0, False, board[:2]))
        self.submit(c.PublishBallots(ELECTION, 1, True, board[2:]))
        self.submit(c.EraseCasts(ELECTION, casts[0], casts[-1], True))
        self.add(claim(self.eid, self.voters[3], self.credentials[3]))

    @property
    def board(self) -> list[bytes]:
        """The ballots in the order of their names."""
        return sorted(self.bodies, key=lambda body: hashlib.sha256(body).digest())

    def _count(self) -> None:
        releasing = list(self.trustees or [1])[-self.definition.k :]
        for number in releasing:
            p, q = factors_of(number)
            self.submit(c.ReleaseTrusteeKey(ELECTION, number, p, q, len(self.entries), b"", b""))
        keys = {number: trustee_key(number) for number in releasing}
        votes = open_board(self.definition, self.eid, self.board, keys)
        self.submit(c.PublishSeeds(ELECTION, 0, True, seeds_of(votes)))
        made = count_document(self.definition, self.eid, votes)
        self.submit(c.PublishTally(ELECTION, made))
        for node in (1, 2, 3):
            self.submit(c.AttestTally(ELECTION, node, *attestation(self.eid, node, made)))

    def records(self) -> list[Record]:
        """The export."""
        return records_of(self.entries)

    def find(self, kind: str, number: int = 0) -> int:
        """The place in `drafts` (the log index is one more) of the number-th entry of this kind."""
        return [place for place, draft in enumerate(self.drafts) if draft.kind == kind][number]

    def receipt(self, place: int, size: int | None = None) -> bytes:
        """The receipt of the entry at this place, under the checkpoint of `size` entries."""
        count = size or len(self.entries)
        entry, tree = self.entries[place], self.sealer.tree
        proof = tuple(tree.inclusion_proof(place, count))
        return encode(Receipt(place, entry.header, entry.salt, proof, sign_note(tree, count)))


def claim(eid: bytes, voter: Voter, credential: bytes) -> Draft:
    """A voter says that the credential was not used."""
    signature = rsa.sign(voter.ballot_key, frame("unused", eid, voter.bpk, voter.prefix, credential))
    public = {"bpk": voter.bpk, "prefix": voter.prefix, "credential": credential, "signature": signature}
    return Draft("CredentialUnused", {"election": ELECTION, "eid": eid, **public})


def attestation(eid: bytes, node: int, document: bytes) -> tuple[bytes, bytes]:
    """(digest, signature) of a node's count."""
    digest = hashlib.sha256(document).digest()
    return digest, rsa.sign(key(f"node{node}"), frame("attest", eid, u32(node), digest))


@cache
def election_log() -> ElectionLog:
    """Made once a session; tests copy what they change."""
    return ElectionLog()


@cache
def trustee_election_log() -> ElectionLog:
    """The same, opened by two of three trustees."""
    return ElectionLog(trustees=3)
