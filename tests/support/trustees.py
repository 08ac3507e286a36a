"""A cluster in memory that invites a trustee, takes keys, and closes, as the trustee's side sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ballot.client.api import b64, unb64
from ballot.ledger import rsa
from ballot.voting.definition import Trustee, election_id
from ballot.voting.trustee import enrolment_message, release_message
from tests.support.keys import long_key
from tests.support.registrar import ELECTION, USER, MemoryCluster, MemoryLine, make_definition

NAME = "Tess"
TOKENS = {
    "access_token": "access",
    "refresh_token": "refresh",
    "device": "device",
    "user": {"id": b64(USER), "email": "tess@example.org", "roles": []},
}


class TrusteeCluster(MemoryCluster):
    """Of its two trustees one is asked here; the key of the other is `long_key(5)`."""

    def __init__(self) -> None:
        super().__init__()
        self.enrolled = b""
        self.view: dict[str, Any] = {
            "title": "City election",
            "status": "draft",
            "questions": [{"text": "Mayor?"}],
            "keys_needed": 2,
            "trustees": [{"user": b64(USER), "name": NAME, "status": "invited"}],
            "definition": None,
            "eid": None,
        }

    def hold(self, n: bytes, *, last: bool = True, casts: int = 3) -> None:
        """The election with this key, until its board is published."""
        moduli = [rsa.modulus(long_key(5)), n]
        holders = [Trustee(f"Trustee {number}", modulus.hex()) for number, modulus in enumerate(moduli)]
        self.definition = make_definition(self.genesis, k=2, trustees=holders)
        self.open()
        named = {"election": ELECTION, "eid": election_id(self.definition)}
        self.closed_at = self.append("ElectionClosed", named | {"casts": casts, "by": b""}).index
        published = {"chunk": 0, "last": last, "ballots": []}
        self.published_at = self.append("BallotsPublished", named | published).index
        self.view |= {
            "status": "published",
            "definition": b64(self.definition),
            "eid": b64(named["eid"]),
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "published_at": self.published_at,
        }

    def enrol(self, fields: Mapping[str, str]) -> dict[str, Any]:
        n, proof = unb64(fields["n"]), unb64(fields["proof"])
        rsa.verify(n, proof, enrolment_message(ELECTION, fields["name"], n))
        public = {"election": ELECTION, "user": USER, "number": 1, "name": fields["name"], "n": n, "proof": proof}
        return {"number": 1, "fingerprint": "", "index": self.append("TrusteeEnrolled", public).index}

    def release(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        p, q, root, signature = (unb64(fields[name]) for name in ("p", "q", "root", "signature"))
        n = (int.from_bytes(p, "big") * int.from_bytes(q, "big")).to_bytes(384, "big")
        eid = election_id(self.definition)
        rsa.verify(n, signature, release_message(eid, fields["size"], root))
        assert root == self.tree.root(fields["size"])
        public = {"election": ELECTION, "eid": eid, "number": 2, "p": p, "q": q, "size": fields["size"], "root": root}
        return {"number": 2, "index": self.append("TrusteeKeyReleased", public | {"signature": signature}).index}


class TrusteeLine(MemoryLine):
    """`posted` are the paths of what was sent, those of the election without what is the same in all."""

    def __init__(self, cluster: TrusteeCluster) -> None:
        super().__init__(cluster)
        self.trusting = cluster
        self.posted: list[str] = []

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        election = f"/api/elections/{b64(ELECTION)}"
        path = urlsplit(path).path if method == "POST" else path
        if method == "POST":
            self.posted.append(path.removeprefix(election))
        if path in ("/api/auth/login", "/api/auth/register"):
            return 202, {"challenge": "c", "expires_in": 600}
        if path == "/api/auth/otp/verify":
            return 200, TOKENS
        if path == election:
            return 200, self.trusting.view
        if path == f"{election}/trustees":
            return 201, self.trusting.enrol(json.loads(body))
        if path == f"{election}/trustee-key":
            return 201, self.trusting.release(json.loads(body)) | {"missing": 1}
        return super()._answer(method, path, body)
