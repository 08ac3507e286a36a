"""The voter: identity key, credential, ballot, receipt. Everything secret is stored before anything of it is sent."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..ledger import rsa
from ..voting.counting import Choice
from . import vote
from .account import Account
from .api import Reply, b64, unb64
from .claims import NotClaimable, claim_unused
from .log import Log
from .trust import Untrusted
from .wallet import Secrets, Store, decode_secrets, encode_secrets

IDENTITY_BITS, BALLOT_KEY_BITS = 3072, 2048
IDENTITY_RECORD = "identity"


class NotReady(Exception):
    """A step was asked for before the one that it rests on."""


class KeyMaker(Protocol):
    async def make(self, bits: int) -> RSAPrivateKey:
        """A fresh key that nobody else gets."""


class OwnKeys:
    """Makes each key when it is asked for, in a thread."""

    async def make(self, bits: int) -> RSAPrivateKey:
        return await asyncio.to_thread(rsa.generate, bits)


class Voter:
    """One voter on one account. Every method may be called again after a failure or a crash and takes up from there."""

    def __init__(self, account: Account, log: Log, store: Store, keys: KeyMaker) -> None:
        self.account, self.log = account, log
        self._store, self._keys = store, keys
        # Loading a key checks it and takes a fifth of a second, so those in use are kept.
        self._loaded: dict[bytes, RSAPrivateKey] = {}

    async def identity_key(self) -> bytes:
        """The modulus of the identity key, made at the first call."""
        return rsa.modulus(await self._identity())

    async def enrol(self) -> None:
        """Enrols the identity key, made at the first call. Raises Refused, NoAnswer."""
        identity = await self._identity()
        await self.account.enrol_identity(rsa.modulus(identity), vote.identity_proof(identity, self.account.id))

    async def view(self, election: bytes) -> dict[str, Any]:
        """The election with this id as a node shows it, nothing of it proven. Raises Refused, NoAnswer."""
        fields: dict[str, Any] = (await self.account.api.ask("GET", f"/api/elections/{b64(election)}")).json()
        return fields

    async def fetch_election(self, election: bytes) -> vote.Election:
        """The open election with this id, checked against the log. Raises Untrusted, Refused, NoAnswer, NotReady."""
        fields = await self.view(election)
        if fields["definition"] is None or fields["opened_at"] is None:
            raise NotReady("the election has not opened")
        try:
            data, eid = unb64(fields["definition"]), unb64(fields["eid"])
        except (TypeError, ValueError) as error:
            raise Untrusted("the election shown does not parse") from error
        entry = await self.log.entry(int(fields["opened_at"]))
        return vote.believe(self.log.trust, election, data, eid, entry, fields.get("weight"))

    async def ask_credential(self, election: vote.Election) -> None:
        """Gets the credential for a ballot key of its own. Raises Refused, NoAnswer, BlindError."""
        secrets = self.secrets(election) or await self._begin(election)
        if secrets.credential:
            return
        identity, voter = await self._identity(), self.account.id
        signature = vote.issue_request(identity, election, voter, secrets.blinded)
        fields = {"blinded": b64(secrets.blinded), "identity_sig": b64(signature)}
        reply = await self.account.api.ask("POST", f"/api/elections/{b64(election.id)}/credential", fields)
        bpk = rsa.modulus(self._key(secrets.ballot_key))
        credential = vote.unblind(election, secrets, bpk, unb64(reply.json()["blind_sig"]))
        self._keep(msgspec.structs.replace(secrets, credential=credential))

    def fill_in(self, election: vote.Election, answers: Choice) -> bytes:
        """Seals, signs and stores the ballot; its bytes, ready to be cast. A ballot once sealed stays as it is.

        Raises NotReady without a credential, InvalidChoice.
        """
        secrets = self.secrets(election)
        if secrets is None or not secrets.credential:
            raise NotReady("there is no credential yet")
        if secrets.body:
            return secrets.body
        body = vote.seal_ballot(election, self._key(secrets.ballot_key), secrets, answers)
        self._keep(msgspec.structs.replace(secrets, body=body))
        return body

    async def cast(self, election: vote.Election, node: int) -> Reply:
        """One try to cast the stored ballot at one node. After NoAnswer, the same at any other node is safe.

        The vote is recorded only once `accept` has verified the answer. Raises Refused, NoAnswer, NotReady.
        """
        return await self.log.public.cast(self._body(election), node)

    async def accept(self, election: vote.Election, answer: dict[str, Any]) -> int:
        """Verifies and stores the receipt in the answer to a cast; the index at which the vote is recorded.

        Raises Untrusted, NoAnswer.
        """
        try:
            text = str(answer["receipt"]).encode()
        except KeyError as error:
            raise Untrusted("the answer has no receipt") from error
        index = await self.log.receipt(text, self._body(election))
        if index != answer.get("index"):
            raise Untrusted("the answer names another place than its receipt")
        secrets = self.secrets(election)
        assert secrets is not None
        older, proof = self.log.trust.step
        self._keep(msgspec.structs.replace(secrets, receipt=text, older=older.body(), consistency=proof))
        return index

    def recheck(self, election: vote.Election) -> int:
        """Verifies the kept receipt once more, without asking anybody; the index. Raises Untrusted, NotReady."""
        secrets = self.secrets(election)
        if secrets is None or not secrets.receipt:
            raise NotReady("there is no receipt")
        return self.log.trust.receipt(secrets.receipt, secrets.body)[0]

    async def claim_unused(self, election: vote.Election) -> int:
        """After the close: claims that the credential was never cast; the index at which the claim stands.

        Raises NotClaimable, Refused, Untrusted, NoAnswer.
        """
        secrets = self.secrets(election)
        if secrets is None:
            raise NotClaimable("there is no credential")
        return await claim_unused(self.log, secrets, self._key(secrets.ballot_key), self._keep)

    def is_published(self, election: vote.Election, names: set[bytes]) -> bool:
        """Whether the stored ballot is among the names on the downloaded board."""
        return vote.check_published(names, self._body(election))

    async def _begin(self, election: vote.Election) -> Secrets:
        ballot_key = await self._keys.make(BALLOT_KEY_BITS)
        secrets = vote.begin(election, ballot_key)
        self._loaded[secrets.ballot_key] = ballot_key
        self._keep(secrets)
        return secrets

    async def _identity(self) -> RSAPrivateKey:
        pem = self._store.load(IDENTITY_RECORD)
        if pem is None:
            identity = await self._keys.make(IDENTITY_BITS)
            pem = rsa.dump_private(identity)
            self._store.save(IDENTITY_RECORD, pem)
            self._loaded[pem] = identity
        return self._key(pem)

    def _key(self, pem: bytes) -> RSAPrivateKey:
        if pem not in self._loaded:
            self._loaded[pem] = rsa.load_private(pem)
        return self._loaded[pem]

    def _body(self, election: vote.Election) -> bytes:
        secrets = self.secrets(election)
        if secrets is None or not secrets.body:
            raise NotReady("there is no sealed ballot yet")
        return secrets.body

    def secrets(self, election: vote.Election) -> Secrets | None:
        """What is kept of this election; None before a credential was asked for. Raises WalletError, Untrusted."""
        data = self._store.load(_record(election))
        if data is None:
            return None
        secrets = decode_secrets(data)
        if not hmac.compare_digest(secrets.eid, election.eid):
            raise Untrusted("the stored secrets are of another election")
        return secrets

    def _keep(self, secrets: Secrets) -> None:
        self._store.save(secrets.eid.hex(), encode_secrets(secrets))


def _record(election: vote.Election) -> str:
    return election.eid.hex()
