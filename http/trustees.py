"""/api/elections/{id}/trustees and /trustee-key: trustees are invited, enrol a key, and release it after the close."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import msgspec
from falcon.asgi import Request, Response

from ..ledger import rsa
from ..ledger.checkpoint import read_note
from ..ledger.client import Answer
from ..ledger.entry import decode_map
from ..ledger.proof import ProofError, verify_consistency
from ..ledger.submit import Unavailable
from ..mail.address import normal_address
from ..projections import queries
from ..projections import trustees as rows
from ..voting import commands as c
from ..voting.definition import DefinitionError, check_trustee_name
from ..voting.fold import key_hash
from ..voting.keycheck import WeakKey, check_long_lived_key
from ..voting.trustee import PRIME_BYTES, enrolment_message, key_problem, product, release_message
from .accounts import USER_BYTES
from .describe import route
from .drafts import decode_draft
from .elections import own_election, seen_election
from .parse import B64, Index, answer, b64, read_json
from .problems import Refused
from .services import Services, derive_id
from .trustee_state import KeyState, TrusteeView, trustee_view

ROOT_BYTES = 32


class InviteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is what the definition will call the trustee, for everybody to see."""

    email: str
    name: str


class WithdrawBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: B64


class EnrolBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`proof` is PSS(trustee, F(trustee-key, election, name, n)), `name` that of the invitation."""

    n: B64
    name: str
    proof: B64


class ReleaseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The factors, p the larger; `signature` is PSS(trustee, F(release, eid, u64 size, root)) for a checkpoint that
    covers the whole board.
    """

    p: B64
    q: B64
    size: Index
    root: B64
    signature: B64


class InvitedView(msgspec.Struct, frozen=True):
    """`email` is None where it was erased."""

    email: str | None
    trustee: TrusteeView


class InvitedList(msgspec.Struct, frozen=True):
    """`keys_needed` of the trustees open the ballots; without any, the cluster will be the only one."""

    keys_needed: int
    invited: list[InvitedView]


class EnrolledView(msgspec.Struct, frozen=True):
    """`fingerprint` is H(rsa-key, n) in hex; `index` the entry that has it."""

    number: int
    fingerprint: str
    index: int


class ReleasedView(msgspec.Struct, frozen=True):
    """`missing`: how many more keys the count waits for."""

    number: int
    index: int
    missing: int


class Invitations:
    """`invite` and `withdraw`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "inviteTrustee",
        "Invite somebody to hold a key",
        "organiser",
        {201: InvitedList},
        "UnknownElection NotOrganiser NotADraft BadAddress BadDefinition TooManyTrustees AlreadyInvited AccountChanged "
        "IdempotencyKeyReused MalformedCommand",
        body=InviteBody,
        appends=True,
        example={"email": "tess@example.org", "name": "Tess Teller"},
    )
    async def on_post_invite(self, req: Request, resp: Response, election: bytes) -> None:
        """Mails an invitation. Invited again under the same name, somebody is mailed again, and invited once."""
        services = self._services
        organiser = services.user(req)
        body = await read_json(req, InviteBody, services.settings.max_body)
        address = normal_address(body.email)
        try:
            check_trustee_name(body.name)
        except DefinitionError as error:
            raise Refused("BadDefinition", str(error)) from error
        async with services.reading() as connection:
            row = await own_election(connection, election, organiser)
        await self._invite(derive_id(req, organiser), election, organiser, address, body.name)
        draft = decode_draft(row.draft)
        values = {"title": draft.title, "name": body.name, "site": services.settings.site, "election": b64(election)}
        services.outbox.post(address, "trustee", draft.language, **values)
        answer(resp, await invited_list(services, election), 201)

    async def _invite(self, command: bytes, election: bytes, organiser: bytes, address: str, name: str) -> None:
        tag = self._services.deps.vault.address_tag(address)
        try:
            recorded = await self._submit(command, election, organiser, tag, address, name)
        except Refused as refused:
            if refused.refusal != "AccountChanged":
                raise
            # This node was behind when it looked for the address's id.
            self._services.position.note(await self._services.deps.ledger.read_index())
            recorded = await self._submit(command, election, organiser, tag, address, name)
        invited = decode_map(recorded.public)
        if (invited["user"], invited["name"]) != (await self._user(tag), name):
            raise Refused("IdempotencyKeyReused", "somebody else was invited under this Idempotency-Key")

    async def _submit(
        self, command: bytes, election: bytes, organiser: bytes, tag: bytes, address: str, name: str
    ) -> Answer:
        user = await self._user(tag) or secrets.token_bytes(USER_BYTES)
        return await self._services.submit(c.InviteTrustee(command, election, organiser, user, tag, address, name))

    async def _user(self, tag: bytes) -> bytes | None:
        """The id of the address with this tag, as far as this node knows: once recorded here, it does."""
        async with self._services.reading() as connection:
            account = await queries.account_by_tag(connection, tag)
        return None if account is None else account.user_id

    @route(
        "withdrawTrustee",
        "Take an invitation back, and the key with it",
        "organiser",
        {200: InvitedList},
        "UnknownElection NotOrganiser NotADraft UnknownTrustee IdempotencyKeyReused",
        body=WithdrawBody,
        appends=True,
    )
    async def on_post_withdraw(self, req: Request, resp: Response, election: bytes) -> None:
        services = self._services
        organiser = services.user(req)
        body = await read_json(req, WithdrawBody, services.settings.max_body)
        user = bytes(body.user)
        recorded = await services.submit(c.WithdrawTrustee(derive_id(req, organiser), election, organiser, user))
        if decode_map(recorded.public)["user"] != user:
            raise Refused("IdempotencyKeyReused", "somebody else was withdrawn under this Idempotency-Key")
        answer(resp, await invited_list(services, election))


async def invited_list(services: Services, election: bytes) -> InvitedList:
    async with services.reading() as connection:
        row = await queries.election(connection, election)
        if row is None:
            raise Refused("UnknownElection", "there is no such election")
        found = (await rows.of(connection, [election]))[election]
        hidden = await services.private.many(connection, (one.invited_at for one in found if one.invited_at))
    addresses = {index: fields.get("address") for index, fields in hidden.items()}
    invited = [InvitedView(addresses.get(one.invited_at or 0), trustee_view(one)) for one in found]
    return InvitedList(decode_draft(row.draft).needed(len(found)), invited)


class Trustees:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "invitedTrustees",
        "The trustees and their addresses",
        "organiser",
        {200: InvitedList},
        "UnknownElection NotOrganiser",
        etag=True,
    )
    async def on_get(self, req: Request, resp: Response, election: bytes) -> None:
        services = self._services
        user = services.user(req)
        async with services.reading() as connection:
            await own_election(connection, election, user)
        answer(resp, await invited_list(services, election))

    @route(
        "enrolTrustee",
        "Enrol a key as an invited trustee",
        "user",
        {200: EnrolledView, 201: EnrolledView},
        "UnknownElection NotInvited NotADraft AlreadyEnrolled TrusteesChanged KeyReused WeakKey BadSignature "
        "MalformedCommand",
        body=EnrolBody,
        appends=True,
    )
    async def on_post(self, req: Request, resp: Response, election: bytes) -> None:
        services = self._services
        user = services.user(req)
        body = await read_json(req, EnrolBody, services.settings.max_body)
        n, proof = bytes(body.n), bytes(body.proof)
        async with services.reading() as connection:
            seen = await seen_election(connection, election, user)
        if not seen.invited:
            raise Refused("NotInvited", "this account is not invited as a trustee of this election")
        try:
            await asyncio.to_thread(check_long_lived_key, n)
            rsa.verify(n, proof, enrolment_message(election, body.name, n))
        except WeakKey as error:
            raise Refused("WeakKey", f"the trustee's key is refused: {error}") from error
        except (rsa.BadSignature, UnicodeEncodeError) as error:
            raise Refused("BadSignature", "the key did not sign its own enrolment under this name") from error
        recorded = await services.submit(c.EnrolTrustee(election, user, body.name, n, proof))
        number = decode_map(recorded.public)["number"]
        answer(resp, EnrolledView(number, key_hash(n).hex(), recorded.index), 201 if recorded.new else 200)


class KeyRelease:
    """Whoever knows the factors may release them: they speak for themselves."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "releaseTrusteeKey",
        "Release a trustee's key after the close",
        "user",
        {200: ReleasedView, 201: ReleasedView},
        "UnknownElection NotPublished BadTrusteeKey BadSignature CheckpointTooEarly CheckpointDiffers BadRange "
        "UnknownTrustee",
        body=ReleaseBody,
        appends=True,
    )
    async def on_post(self, req: Request, resp: Response, election: bytes) -> None:
        """A key that is refused counts as withheld. Keys are taken after the count too, and change nothing then."""
        services = self._services
        user = services.user(req)
        body = await read_json(req, ReleaseBody, services.settings.max_body)
        row, trustees, applied = await self._state(election, user)
        if row.eid is None or not row.published_at:
            raise Refused("NotPublished", "keys are released after the board is published")
        number = await _check_key(body, row.eid, trustees)
        await self._check_point(body, row.published_at, applied)
        p, q, root, signature = map(bytes, (body.p, body.q, body.root, body.signature))
        command = c.ReleaseTrusteeKey(election, number, p, q, body.size, root, signature)
        recorded = await services.submit(command)
        row, trustees, _ = await self._state(election, user)
        missing = KeyState.of(row.status, decode_draft(row.draft), trustees).missing
        answer(resp, ReleasedView(number, recorded.index, missing), 201 if recorded.new else 200)

    async def _state(self, election: bytes, user: bytes) -> tuple[queries.Election, list[rows.Trustee], int]:
        """The election, its trustees, and the applied index. Raises Refused(UnknownElection)."""
        async with self._services.reading() as connection:
            row = (await seen_election(connection, election, user)).election
            trustees = (await rows.of(connection, [election]))[election]
            return row, trustees, await queries.applied(connection)

    async def _check_point(self, body: ReleaseBody, published_at: int, applied: int) -> None:
        """The tree that was signed has the whole board in it and is this log's."""
        if body.size < published_at:
            raise Refused("CheckpointTooEarly", f"the whole board is in the log from entry {published_at} on")
        if body.size > applied:
            raise Refused("BadRange", f"this node has applied {applied} entries")
        ledger = self._services.deps.ledger
        note = await ledger.checkpoint()
        newest = read_note(note) if note else None
        if newest is None or newest.size < body.size:
            raise Unavailable("this node has no checkpoint as new as that yet")
        proof = await ledger.consistency(body.size, newest.size) if body.size < newest.size else []
        try:
            verify_consistency(body.size, newest.size, bytes(body.root), newest.root, proof)
        except ProofError as error:
            raise Refused("CheckpointDiffers", "the checkpoint is not one of this log") from error


async def _check_key(body: ReleaseBody, eid: bytes, trustees: Sequence[rows.Trustee]) -> int:
    """The number of the trustee whose key this is. Raises Refused(BadTrusteeKey, BadSignature)."""
    p, q = bytes(body.p), bytes(body.q)
    if len(p) != PRIME_BYTES or len(q) != PRIME_BYTES:
        raise Refused("BadTrusteeKey", f"p and q have {PRIME_BYTES} bytes each")
    n = product(p, q)
    number = next((one.number for one in trustees if one.n == n), None)
    if number is None:
        raise Refused("BadTrusteeKey", "p and q are not the factors of any trustee's modulus")
    if problem := await asyncio.to_thread(key_problem, n, p, q):
        raise Refused("BadTrusteeKey", problem)
    if len(body.root) != ROOT_BYTES:
        raise Refused("CheckpointDiffers", f"a root has {ROOT_BYTES} bytes")
    try:
        rsa.verify(n, bytes(body.signature), release_message(eid, body.size, bytes(body.root)))
    except rsa.BadSignature as error:
        raise Refused("BadSignature", "the key did not sign this checkpoint for this election") from error
    return number
