"""The trustee: a key enrolled before an election opens, and released once the log shows the whole board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..ledger import rsa
from ..ledger.checkpoint import Checkpoint
from ..ledger.entry import Entry
from ..voting.fold import key_hash
from ..voting.trustee import PRIME_BYTES, Factors, enrolment_message, key_problem, release_message
from . import vote
from .account import Account
from .api import b64, unb64
from .log import Log
from .trust import Trust, Untrusted
from .voter import NotReady


@dataclass(frozen=True)
class Invitation:
    """To hold a key of this election (the 16-byte id of its draft), as a node shows it: nothing of it is proven yet.

    `fields` are those of the election's view.
    """

    election: bytes
    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Board:
    """An election whose whole board is in the log, proven: what a release stands for.

    `number` is the trustee's in the definition; `casts` is how many there were at the close; the others are places in
    the log.
    """

    election: vote.Election
    number: int
    opened_at: int
    closed_at: int
    casts: int
    published_at: int
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Released:
    """`missing`: how many more keys the count waits for, as the node says."""

    index: int
    missing: int


class Trustee:
    """One trustee on one account. Every method may be called again after a failure."""

    def __init__(self, account: Account, log: Log, key: RSAPrivateKey) -> None:
        self.account, self.log, self._key = account, log, key
        self.n = rsa.modulus(key)

    @property
    def fingerprint(self) -> str:
        """H(rsa-key, n) in hex, by which others name the key."""
        return key_hash(self.n).hex()

    async def invitation(self, election: bytes) -> Invitation:
        """Raises NotReady for who is not invited, Refused, NoAnswer, Untrusted."""
        fields = await self._fields(election)
        try:
            own = [one for one in fields["trustees"] if one["user"] == b64(self.account.id)]
            name = str(own[0]["name"]) if own else ""
        except (KeyError, TypeError) as error:
            raise Untrusted("the election shown does not parse") from error
        if not name:
            raise NotReady("this account is not invited as a trustee of this election")
        return Invitation(election, name, fields)

    async def enrol(self, invitation: Invitation) -> Entry:
        """Signs the key's enrolment and sends it; the entry, proven to be in the log. Raises as `invitation`."""
        election, name = invitation.election, invitation.name
        proof = rsa.sign(self._key, enrolment_message(election, name, self.n))
        fields = {"n": b64(self.n), "name": name, "proof": b64(proof)}
        reply = await self.account.api.ask("POST", f"{_path(election)}/trustees", fields)
        expected = {"election": election, "user": self.account.id, "name": name, "n": self.n}
        return _expect(await self.log.entry(_place(reply.json(), "index")), "TrusteeEnrolled", expected)

    async def board(self, election: bytes) -> Board:
        """The election once its board is whole, each step proven to be in the log that a majority of the nodes signed
        and that continues what was seen before. Raises NotReady, Untrusted, Refused, NoAnswer.
        """
        fields = await self._fields(election)
        if fields.get("definition") is None:
            raise NotReady("the election has not opened")
        if fields.get("published_at") is None:
            raise NotReady(f"the board is not published yet: the election is {fields.get('status')}")
        places = [_place(fields, name) for name in ("opened_at", "closed_at", "published_at")]
        if not 0 < places[0] < places[1] < places[2]:
            raise Untrusted("opening, close and board are not in this order")
        opened, closed, published = [await self.log.entry(place) for place in places]
        believed = _believe(self.log.trust, election, fields, opened)
        named = {"election": election, "eid": believed.eid}
        _expect(closed, "ElectionClosed", named)
        _expect(published, "BallotsPublished", named | {"last": True})
        checkpoint = await self.log.checkpoint(published.index)
        casts = _place(closed.fields, "casts")
        return Board(believed, self._number(believed), places[0], places[1], casts, places[2], checkpoint)

    async def release(self, board: Board) -> Released:
        """Gives the key away, and sees it in the log. Raises Refused, NoAnswer, Untrusted when it is not there."""
        election, checkpoint = board.election, board.checkpoint
        p, q = factors(self._key)
        if problem := key_problem(self.n, p, q):
            raise ValueError(f"the key opens no ballots: {problem}")
        signature = rsa.sign(self._key, release_message(election.eid, checkpoint.size, checkpoint.root))
        fields = {
            "p": b64(p),
            "q": b64(q),
            "size": checkpoint.size,
            "root": b64(checkpoint.root),
            "signature": b64(signature),
        }
        api = self.account.api
        # No node answers before it has what was signed.
        api.index = max(api.index, checkpoint.size)
        answer = (await api.ask("POST", f"{_path(election.id)}/trustee-key", fields)).json()
        expected = {"election": election.id, "eid": election.eid, "number": board.number, "p": p, "q": q}
        entry = _expect(await self.log.entry(_place(answer, "index")), "TrusteeKeyReleased", expected)
        return Released(entry.index, _place(answer, "missing"))

    def _number(self, election: vote.Election) -> int:
        moduli = [bytes.fromhex(trustee.n) for trustee in election.definition.trustees]
        if self.n not in moduli:
            raise Untrusted("the election was opened without this key: its definition names others")
        return moduli.index(self.n) + 1

    async def _fields(self, election: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = (await self.account.api.ask("GET", _path(election))).json()
        return fields


def factors(key: RSAPrivateKey) -> Factors:
    """p and q of a trustee's key, the larger first."""
    numbers = key.private_numbers()
    larger, smaller = sorted((numbers.p, numbers.q), reverse=True)
    return larger.to_bytes(PRIME_BYTES, "big"), smaller.to_bytes(PRIME_BYTES, "big")


def _believe(trust: Trust, election: bytes, fields: Mapping[str, Any], opened: Entry) -> vote.Election:
    try:
        data, eid = unb64(fields["definition"]), unb64(fields["eid"])
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted("the election shown does not parse") from error
    return vote.believe(trust, election, data, eid, opened)


def _expect(entry: Entry, kind: str, fields: Mapping[str, Any]) -> Entry:
    if entry.kind != kind or any(entry.fields.get(name) != value for name, value in fields.items()):
        raise Untrusted(f"entry {entry.index} is not the {kind} that was spoken of")
    return entry


def _place(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Untrusted(f"an answer without {name}")
    return value


def _path(election: bytes) -> str:
    return f"/api/elections/{b64(election)}"
