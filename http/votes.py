"""/api/votes: casting, without anything that could tell who casts; and what became of a ballot."""

from __future__ import annotations

from typing import Literal

import msgspec
from falcon.asgi import Request, Response

from ..ledger import receipt as receipts
from ..ledger import rsa
from ..ledger.client import Answer
from ..ledger.frame import frame
from ..projections import queries
from ..voting import commands as c
from ..voting.ballot import (
    BALLOT_KEY_BYTES,
    CREDENTIAL_BYTES,
    EID_BYTES,
    PREFIX_BYTES,
    Ballot,
    BallotError,
    parse_ballot,
    verify_credential,
    verify_signature,
)
from ..voting.envelope import EnvelopeError, check_shape
from ..voting.keycheck import WeakKey, check_one_use_key
from .describe import route
from .opened import Opened
from .parse import B64, JSON, OCTETS, answer, b64, decode, media_type, read_body, read_json
from .problems import Refused
from .services import Services

LINKABLE = ("Authorization", "Cookie", "Ledger-Index", "Idempotency-Key")


class CastBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ballot as JSON, for clients that cannot send octets."""

    ballot: B64


class CastView(msgspec.Struct, frozen=True):
    """`receipt` is a C2SP tlog-proof of the entry whose header and salt come with it."""

    index: int
    header: B64
    salt: B64
    receipt: str


class UnusedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`election` is the eid; `signature` is PSS(ballot key, F(unused, eid, bpk, prefix, credential))."""

    election: B64
    bpk: B64
    prefix: B64
    credential: B64
    signature: B64


class UnusedView(msgspec.Struct, frozen=True):
    index: int


class BallotStatus(msgspec.Struct, frozen=True):
    status: Literal["unknown", "recorded", "published", "counted"]


def refuse_linkable(req: Request) -> None:
    """Raises Refused(LinkableRequest): whoever sends a session along has a client that is not to be trusted."""
    for name in LINKABLE:
        if req.get_header(name) is not None:
            raise Refused("LinkableRequest", f"send this without the header {name}")


def check_ballot(opened: Opened, ballot: Ballot) -> None:
    """Everything about a ballot that needs no consensus, the cheap things first. Raises Refused."""
    if len(ballot.body) != opened.body_bytes:
        raise Refused("MalformedBallot", f"a ballot of this election has {opened.body_bytes} bytes")
    try:
        check_one_use_key(ballot.bpk)
        check_shape(opened.context(ballot.bid), ballot.envelope)
        check_credential(opened, ballot.bpk, ballot.prefix, ballot.credential)
        verify_signature(ballot)
    except WeakKey as error:
        raise Refused("WeakKey", f"the ballot key is refused: {error}") from error
    except EnvelopeError as error:
        raise Refused("BadEnvelope", str(error)) from error
    except BallotError as error:
        raise Refused(error.name, str(error)) from error


def check_credential(opened: Opened, bpk: bytes, prefix: bytes, credential: bytes) -> None:
    """Raises BallotError unless one of the election's registrar keys signed for this ballot key."""
    *others, last = opened.registrars.values()
    for registrar in others:
        try:
            return verify_credential(registrar, opened.eid, bpk, prefix, credential)
        except BallotError:
            continue
    return verify_credential(last, opened.eid, bpk, prefix, credential)


class Votes:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._limit = services.settings.max_ballot

    @route(
        "cast",
        "Cast a ballot",
        "nobody",
        {200: CastView, 201: CastView},
        "MalformedBallot UnknownElection WrongElection ElectionNotOpen ElectionClosed ElectionCancelled "
        "AlreadyCast AlreadyPublished WeakKey BadEnvelope BadCredential BadSignature TooLarge VoteInProgress "
        "Overloaded",
        body=CastBody,
        media=(OCTETS, JSON),
        limited=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        refuse_linkable(req)
        services = self._services
        services.casts.take()
        body = await self._body(req)
        with services.gate:
            cast = await self._record(body)
        answer(resp, _receipt_view(cast), 201 if cast.new else 200)

    async def _record(self, body: bytes) -> Answer:
        services = self._services
        try:
            ballot = parse_ballot(body)
        except BallotError as error:
            raise Refused(error.name, str(error)) from error
        opened = await services.opened.by_eid(ballot.eid)
        check_ballot(opened, ballot)
        async with services.mutex.hold(f"cast:{b64(ballot.eid)}:{b64(ballot.bid)}"):
            return await services.submit(c.CastBallot(opened.election, body), receipt=True)

    async def _body(self, req: Request) -> bytes:
        media = media_type(req)
        if media == OCTETS:
            return await read_body(req, self._limit)
        if media == JSON:
            # Four characters for three bytes, and the object around them.
            return bytes(decode(CastBody, await read_body(req, self._limit * 4 // 3 + 64)).ballot)
        raise Refused("WrongContentType", f"send {OCTETS} or {JSON}")


def _receipt_view(cast: Answer) -> CastView:
    # A receipt counts leaves from 0, the log its entries from 1.
    receipt = receipts.Receipt(cast.index - 1, cast.header, cast.salt, cast.proof, cast.note)
    return CastView(cast.index, B64(cast.header), B64(cast.salt), receipts.encode(receipt).decode())


class Unused:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "claimUnused",
        "Claim that a credential was never used",
        "nobody",
        {200: UnusedView, 201: UnusedView},
        "BadRequest UnknownElection NotClosed WrongElection AlreadyCast WeakKey BadCredential BadSignature TooLarge",
        body=UnusedBody,
        limited=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        refuse_linkable(req)
        services = self._services
        services.casts.take()
        body = await read_json(req, UnusedBody, services.settings.max_body)
        claim = tuple(map(bytes, (body.election, body.bpk, body.prefix, body.credential)))
        if tuple(map(len, claim)) != (EID_BYTES, BALLOT_KEY_BYTES, PREFIX_BYTES, CREDENTIAL_BYTES):
            raise Refused("BadRequest", "a field has the wrong length")
        eid, bpk, prefix, credential = claim
        opened = await services.opened.by_eid(eid)
        signature = bytes(body.signature)
        try:
            check_one_use_key(bpk)
            check_credential(opened, bpk, prefix, credential)
            rsa.verify(bpk, signature, frame("unused", *claim))
        except WeakKey as error:
            raise Refused("WeakKey", f"the ballot key is refused: {error}") from error
        except BallotError as error:
            raise Refused(error.name, str(error)) from error
        except rsa.BadSignature as error:
            raise Refused("BadSignature", "the ballot key did not sign this claim") from error
        command = c.ClaimUnused(opened.election, eid, bpk, prefix, credential, signature)
        recorded = await services.submit(command)
        answer(resp, UnusedView(recorded.index), 201 if recorded.new else 200)


class BallotLookup:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route("ballotStatus", "What became of a ballot", "nobody", {200: BallotStatus})
    async def on_get(self, req: Request, resp: Response, name: bytes) -> None:
        """Better not asked at all: whoever looks for a ballot on the board does not tell which one."""
        refuse_linkable(req)
        async with self._services.reading() as connection:
            status = await queries.ballot_status(connection, name)
        answer(resp, msgspec.convert({"status": status}, BallotStatus))
