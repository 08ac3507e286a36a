"""/api/elections/{id}/credential: a blind signature for whoever is on the roll, once."""

from __future__ import annotations

import msgspec
from falcon.asgi import Request, Response

from ..ledger import rsa
from ..ledger.client import Answer
from ..ledger.entry import decode_map
from ..ledger.frame import frame, frame_hash
from ..projections import queries
from ..voting import commands as c
from ..voting.blind import BlindError
from .describe import route
from .opened import Opened
from .parse import B64, answer, b64, read_json
from .problems import Refused
from .services import Services


class CredentialBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`identity_sig` is PSS(identity, F(issue, eid, voter_id, H(rsa-key, identity), blinded))."""

    blinded: B64
    identity_sig: B64


class IssuedView(msgspec.Struct, frozen=True):
    blind_sig: B64
    index: int


class Credential:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "issueCredential",
        "Have a ballot key signed blindly",
        "user",
        {200: IssuedView, 201: IssuedView},
        "UnknownElection ElectionNotOpen ElectionClosed ElectionCancelled NotOnRoll WrongIdentityKey BadSignature "
        "BadRequest AlreadyIssued VoteInProgress Overloaded",
        body=CredentialBody,
        appends=True,
    )
    async def on_post(self, req: Request, resp: Response, election: bytes) -> None:
        services = self._services
        voter = services.user(req)
        body = await read_json(req, CredentialBody, services.settings.max_body)
        with services.gate:
            opened, elector = await self._look(election, voter)
            async with services.mutex.hold(f"credential:{b64(opened.eid)}:{b64(voter)}"):
                issued = await self._issue(opened, elector, voter, body)
        # The leader sees it in the log and mails the voter a note.
        # What consensus recorded, never what was computed here: an uncommitted signature leaves no node.
        blind_sig = decode_map(issued.public)["blind_sig"]
        answer(resp, IssuedView(B64(blind_sig), issued.index), 201 if issued.new else 200)

    async def _look(self, election: bytes, voter: bytes) -> tuple[Opened, queries.Elector]:
        async with self._services.reading() as connection:
            row = await queries.election(connection, election)
            elector = await queries.elector(connection, election, voter)
        if row is None:
            raise Refused("UnknownElection", "there is no such election")
        opened = self._services.opened.of_row(row)
        if elector is None:
            raise Refused("NotOnRoll", "the voter is not on the roll of this election")
        return opened, elector

    async def _issue(self, opened: Opened, elector: queries.Elector, voter: bytes, body: CredentialBody) -> Answer:
        if elector.identity_n is None:
            raise Refused("WrongIdentityKey", "enrol an identity key first")
        identity = frame_hash("rsa-key", elector.identity_n)
        blinded, signature = bytes(body.blinded), bytes(body.identity_sig)
        try:
            rsa.verify(elector.identity_n, signature, frame("issue", opened.eid, voter, identity, blinded))
        except rsa.BadSignature as error:
            raise Refused("BadSignature", "the identity key in force did not sign this request") from error
        signer = await self._services.opened.signer(opened, elector.weight)
        try:
            # Inline: it takes three milliseconds and holds the interpreter's lock, so a thread would not help.
            blind_sig = signer.sign(blinded)
        except BlindError as error:
            raise Refused("BadRequest", str(error)) from error
        return await self._services.submit(
            c.IssueCredential(opened.election, opened.eid, voter, identity, blinded, signature, blind_sig)
        )
