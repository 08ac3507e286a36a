"""A cluster in memory, as its clients see it: a log, a majority that signs it, a registrar, and a line to all that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.client.api import Line, NoAnswer, Refused, Reply, b64, unb64
from ballot.ledger import rsa
from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, rsa_line
from ballot.ledger.entry import ZERO_HASH, Entry, encode_map, seal
from ballot.ledger.membership import ANNOUNCED, CONF_KINDS, Membership, NodeRecord
from ballot.ledger.merkle import Tree
from ballot.ledger.proof import leaf_hash
from ballot.ledger.receipt import Receipt, encode
from ballot.ledger.recovery import KIND as RECOVERED
from ballot.ledger.succession import handover_fields
from ballot.replay.export import CheckpointRecord, EndRecord, EntryRecord, Record
from ballot.voting.ballot import parse_ballot
from ballot.voting.blind import BlindSigner
from ballot.voting.definition import (
    ElectionDefinition,
    Question,
    Registrar,
    Roll,
    Trustee,
    election_id,
    encode_definition,
)

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())
ORIGIN = "ballot.example/log"
ELECTION = b"e" * 16
USER = b"u" * 16
SALT = b"s" * 32
MOST_LISTS = 4
QUESTION = Question("Mayor?", "irv", ["Ada", "Bo", "Cy"], 3)


@cache
def long_key(number: int) -> RSAPrivateKey:
    """One of three fixed RSA-3072 keys: 0 trustee and nodes, 1 registrar, 2 identity."""
    return rsa.load_private(VECTORS["trustees"][number].encode())


@cache
def ballot_key() -> RSAPrivateKey:
    return rsa.load_private(VECTORS["ballot_key"].encode())


def node_key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def node_record(number: int) -> NodeRecord:
    """A node that signs. All share one RSA key, which their names still tell apart."""
    public = node_key(number).public_key().public_bytes_raw()
    return NodeRecord(number, f"{ORIGIN}/node{number}", public, rsa.modulus(long_key(0)))


class FixedKeys:
    """The identity key and the ballot key of the vectors, and how often each was asked for."""

    def __init__(self) -> None:
        self.made: list[int] = []

    async def make(self, bits: int) -> RSAPrivateKey:
        self.made.append(bits)
        return long_key(2) if bits == 3072 else ballot_key()


def make_definition(first: Entry, /, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "title": "City election",
        "questions": [QUESTION],
        "opens_us": 1,
        "closes_us": 0,
        "pad_len": 64,
        "k": 1,
        "trustees": [Trustee("Cluster", rsa.modulus(long_key(0)).hex())],
        "registrars": [Registrar(1, rsa.modulus(long_key(1)).hex())],
        "roll": Roll(1, "0" * 64),
        "origin": ORIGIN,
        "genesis": first.hash.hex(),
    }
    return encode_definition(ElectionDefinition(**(fields | changes)))


class MemoryCluster:
    """`entries` and `tree` are the log; `definition` is what voters are shown.

    Of the members in force `cosigners` sign, those listed last; None: just a majority.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.tree = Tree()
        self.cosigners: int | None = None
        self.lists = [(1, Membership(ORIGIN, tuple(map(node_record, (1, 2, 3)))))]
        self.genesis = self.append("Genesis", self.lists[0][1].to_fields())
        self.definition = make_definition(self.genesis)
        self.opened_at = 0
        self.identity = b""
        self.issued: dict[bytes, bytes] = {}
        self.cast_index: dict[bytes, int] = {}

    def append(self, kind: str, public: Mapping[str, Any], private: bytes | None = None) -> Entry:
        index = len(self.entries) + 1
        entry = seal(
            prev_hash=self.entries[-1].hash if self.entries else ZERO_HASH,
            index=index,
            term=0 if index == 1 else 1,
            time_us=index,
            kind=kind,
            public=encode_map(dict(public)),
            private=private,
            salt=b"" if private is None else SALT,
        )
        return self.take(entry)

    def take(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        self.tree.append(leaf_hash(entry.header))
        return entry

    # -- members

    @property
    def members(self) -> Membership:
        return self.lists[-1][1]

    def announce(self, after: Membership) -> Entry:
        return self.append(ANNOUNCED, after.to_fields() | {"before": self.lists[-1][0]})

    def change(self, kind: str, after: Membership) -> Entry:
        """A change of members as the ledger makes one: announced, signed for, put in force."""
        announced = self.announce(after).index
        return self.enforce(kind, after, handover_fields(self.lists[-1][0], announced, self.note()))

    def enforce(self, kind: str, after: Membership, handover: dict[str, Any]) -> Entry:
        entry = self.append(kind, after.to_fields() | handover)
        self.lists.append((entry.index, after))
        return entry

    def replace(self, old: int, new: int) -> None:
        """One node for another, in the three steps that it takes."""
        self.change("NodeAdded", self.members.with_learner(node_record(new)))
        self.change("NodeAdded", self.members.with_voter(new))
        self.change("NodeRemoved", self.members.without(old))

    def recover(self, *survivors: int) -> Entry:
        """What the operator does when the majority is gone: a list that nobody signed for."""
        nodes = tuple(node for node in self.members.nodes if node.id in survivors)
        return self.enforce(RECOVERED, Membership(ORIGIN, nodes, self.members.highest_id), {})

    # -- elections and signatures

    def open(self, definition: bytes | None = None) -> None:
        """Opens the election with this definition; voters are shown `self.definition` whatever the log says."""
        data = definition or self.definition
        public = {"election": ELECTION, "eid": election_id(data), "definition": data}
        self.opened_at = self.append("ElectionOpened", public).index

    def note(self, size: int | None = None, cosigners: int | None = None) -> bytes:
        count = len(self.entries) if size is None else size
        return self.sign(Checkpoint(self.members.origin, count, self.tree.root(count)), cosigners)

    def sign(self, checkpoint: Checkpoint, cosigners: int | None = None) -> bytes:
        members = next(one for index, one in reversed(self.lists) if index <= max(checkpoint.size, 1))
        voters = [node for node in members.nodes if node.voter]
        count = self.cosigners if cosigners is None else cosigners
        count = len(voters) // 2 + 1 if count is None else count
        signing = voters[len(voters) - count :]
        lines = [cosign(node_key(node.id), node.name, checkpoint, 1) for node in signing]
        return assemble(checkpoint, [rsa_line(long_key(0), voters[-1].name, checkpoint), *lines])

    def receipt(self, index: int, size: int | None = None) -> bytes:
        """The receipt of entry `index` under the checkpoint of `size` entries."""
        count = len(self.entries) if size is None else size
        entry = self.entries[index - 1]
        proof = tuple(self.tree.inclusion_proof(index - 1, count))
        return encode(Receipt(index - 1, entry.header, entry.salt, proof, self.note(count)))

    def records(self) -> list[Record]:
        """The export, with a checkpoint at its end."""
        entries: list[Record] = [EntryRecord(entry.header, entry.public) for entry in self.entries]
        return [*entries, CheckpointRecord(self.note()), EndRecord(len(entries), len(entries))]

    def cast(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """(status, answer) of POST /api/votes."""
        name = sha256(body).digest()
        known = name in self.cast_index
        if not known:
            ballot = parse_ballot(body)
            self.cast_index[name] = self.append("BallotCast", {"election": ELECTION, "eid": ballot.eid}, body).index
        index = self.cast_index[name]
        entry = self.entries[index - 1]
        answer = {"index": index, "header": b64(entry.header), "salt": b64(SALT)}
        return (200 if known else 201), answer | {"receipt": self.receipt(index).decode()}

    def claim(self, fields: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """(status, answer) of POST /api/votes/unused."""
        public = {"eid" if name == "election" else name: unb64(value) for name, value in fields.items()}
        for entry in self.entries:
            if entry.kind == "CredentialUnused" and entry.fields["bpk"] == public["bpk"]:
                return 200, {"index": entry.index}
        return 201, {"index": self.append("CredentialUnused", {"election": ELECTION} | public).index}

    def credential(self, fields: Mapping[str, str]) -> dict[str, Any]:
        blinded = unb64(fields["blinded"])
        if self.issued and blinded not in self.issued:
            raise Refused(409, "AlreadyIssued", "a credential was issued for another ballot key")
        self.issued.setdefault(blinded, BlindSigner(long_key(1)).sign(blinded))
        return {"blind_sig": b64(self.issued[blinded]), "index": 1}


class MemoryLine(Line):
    """A line to one MemoryCluster. `requests` are (node, method, path, headers, fresh); `mute` nodes do not answer."""

    def __init__(self, cluster: MemoryCluster, nodes: int = 3) -> None:
        super().__init__([f"memory:{number}" for number in range(nodes)], patience_s=0.5)
        self.cluster = cluster
        self.requests: list[tuple[int, str, str, dict[str, str], bool]] = []
        self.mute: set[int] = set()
        self.spoil: dict[str, Any] = {}
        self.claims: list[bytes] = []

    async def send(
        self,
        node: int,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        fresh: bool = False,
    ) -> Reply:
        self.requests.append((node, method, path, dict(headers or {}), fresh))
        if node in self.mute:
            raise NoAnswer("mute")
        status, answer = self._answer(method, path, body or b"")
        content = answer if isinstance(answer, bytes) else json.dumps(answer | self.spoil).encode()
        return Reply(status, len(self.cluster.entries), content)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        split = urlsplit(path)
        query = {name: int(values[0]) for name, values in parse_qs(split.query).items()}
        cluster = self.cluster
        if path == "/api/votes":
            return cluster.cast(body)
        if path == "/api/votes/unused":
            self.claims.append(body)
            return cluster.claim(json.loads(body))
        if split.path.startswith("/api/ledger/"):
            return 200, _ledger(cluster, split.path.removeprefix("/api/ledger/"), query)
        if path == "/api/auth/identity-key":
            fields = json.loads(body)
            cluster.identity = unb64(fields["n"])
            return 200, {"user_id": b64(USER), "n": fields["n"]}
        if path == f"/api/elections/{b64(ELECTION)}":
            return 200, _election(cluster)
        if path.endswith("/credential"):
            return 201, cluster.credential(json.loads(body))
        raise Refused(404, "NotFound", f"{method} {path}")


def _ledger(cluster: MemoryCluster, what: str, query: Mapping[str, int]) -> Any:
    if what == "checkpoint":
        return cluster.note()
    if what == "entries":
        return _shown(cluster, cluster.entries[query["from"] - 1 : query["to"]])
    if what == "members":
        lists = [entry for entry in cluster.entries if entry.kind in CONF_KINDS and entry.index >= query["from"]]
        following = lists[MOST_LISTS - 1].index + 1 if len(lists) >= MOST_LISTS else None
        return _shown(cluster, lists[:MOST_LISTS]) | {"next": following}
    if what == "proof/inclusion":
        return {"proof": [b64(node) for node in cluster.tree.inclusion_proof(query["index"] - 1, query["size"])]}
    proof = [b64(node) for node in cluster.tree.consistency_proof(query["old"], query["new"])]
    return {"proof": proof, "members": max(index for index, _ in cluster.lists if index <= query["new"])}


def _shown(cluster: MemoryCluster, shown: Sequence[Entry]) -> dict[str, Any]:
    entries = [{"index": e.index, "header": b64(e.header), "public": b64(e.public)} for e in shown]
    return {"entries": entries, "last": len(cluster.entries)}


def _election(cluster: MemoryCluster) -> dict[str, Any]:
    return {
        "status": "open" if cluster.opened_at else "draft",
        "definition": b64(cluster.definition) if cluster.opened_at else None,
        "eid": b64(election_id(cluster.definition)) if cluster.opened_at else None,
        "opened_at": cluster.opened_at or None,
    }
