"""/api/elections: drafting, looking, opening, closing, cancelling."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal, cast

import msgspec
from falcon.asgi import Request, Response
from msgspec import UNSET, UnsetType
from redis.exceptions import RedisError

from ..ledger.client import Answer
from ..ledger.entry import decode_map
from ..ledger.frame import read_u64, u64
from ..mail.letter import Language
from ..projections import queries
from ..projections.trustees import Trustee
from ..projections.trustees import of as trustees_of
from ..voting import commands as c
from ..voting.question import Question
from .describe import route
from .drafts import DraftBody, DraftChange, EpochsBody, amended, decode_draft, draft_of, encode_draft, shown_epochs
from .opening import open_election
from .parse import B64, Cursor, answer, b64, query_of, read_json, to_time, unb64
from .problems import Refused
from .services import Services, derive_id
from .trustee_state import KeyState, TrusteeView, trustee_view

Status = Literal["draft", "frozen", "scheduled", "open", "closed", "published", "tallied", "cancelled"]

MOST_LISTED, LISTED = 200, 50
ASKED_FOR_S = 3600


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A POST that needs no more than its address."""


class ElectionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`role`: only elections that the user organises, is on the roll of, or is a trustee of.

    `cursor`: the `next` of the page before.
    """

    status: Status | UnsetType = UNSET
    role: Literal["organiser", "voter", "trustee"] | UnsetType = UNSET
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_LISTED)] = LISTED
    cursor: Cursor | UnsetType = UNSET


class ElectionView(msgspec.Struct, frozen=True):
    """An election as its users see it; `definition` is the exact bytes that `eid` is the hash of.

    `weight` is what the user's own ballot weighs, if the user is on the roll. `keys_needed` of the `trustees` open the
    ballots; no trustees in a draft mean that the cluster will be the only one. `keys_missing`: the board is published,
    and the count waits for so many more trustees' keys.
    """

    id: B64
    title: str
    status: Status
    organiser: B64
    questions: list[Question]
    opens_at: datetime | None
    closes_at: datetime | None
    language: Language
    claims_s: int
    claims_until: datetime | None
    eid: B64 | None
    definition: B64 | None
    opened_at: int | None
    closed_at: int | None
    published_at: int | None
    keys_needed: int
    trustees: list[TrusteeView]
    keys_missing: int
    roll_size: int
    issued: int
    cast: int
    published: int
    on_roll: bool
    weight: int | None
    credential_issued: bool
    disputed: bool
    epochs: EpochsBody | None


class ElectionList(msgspec.Struct, frozen=True):
    """`next` is the cursor of the following page."""

    elections: list[ElectionView]
    next: str | None


def view(seen: queries.Seen, trustees: Sequence[Trustee]) -> ElectionView:
    row = seen.election
    draft = decode_draft(row.draft)
    keys = KeyState.of(row.status, draft, trustees)
    return ElectionView(
        id=B64(row.election),
        title=draft.title,
        status=cast(Status, row.status),
        organiser=B64(row.organiser),
        questions=draft.questions,
        opens_at=to_time(draft.opens_us),
        closes_at=to_time(draft.closes_us),
        language=draft.language,
        claims_s=draft.claims_s,
        claims_until=to_time(row.claims_until_us or 0),
        eid=None if row.eid is None else B64(row.eid),
        definition=None if row.definition is None else B64(row.definition),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        published_at=row.published_at,
        keys_needed=keys.needed,
        trustees=[trustee_view(trustee) for trustee in trustees],
        keys_missing=keys.missing,
        roll_size=row.roll_size,
        issued=row.issued,
        cast=row.cast_count,
        published=row.published,
        on_roll=seen.on_roll,
        weight=seen.weight,
        credential_issued=seen.credential_issued,
        disputed=row.disputed,
        epochs=shown_epochs(draft),
    )


_PATH = {"election": "$response.body#/id"}
EXAMPLE = {
    "title": "Board of trustees 2027",
    "questions": [
        {"text": "Who shall chair?", "method": "irv", "options": ["Ada", "Grace", "Katherine"], "max_choices": 3}
    ],
    "closes_at": None,
}
LEADS = dict.fromkeys(
    (
        *("election", "amendElection", "addToRoll", "openElection", "closeElection", "cancelElection", "results"),
        *("orderMail", "mail", "inviteTrustee", "withdrawTrustee", "invitedTrustees", "enrolTrustee"),
        "releaseTrusteeKey",
    ),
    _PATH,
)


class _ElectionResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._limit = services.settings.max_body

    async def _show(self, resp: Response, election: bytes, user: bytes, status: int = 200) -> None:
        """Answers with the election. Raises Refused(UnknownElection)."""
        async with self._services.reading() as connection:
            seen = await seen_election(connection, election, user)
            trustees = await trustees_of(connection, [election])
        answer(resp, view(seen, trustees[election]), status)


class Elections(_ElectionResource):
    @route("elections", "Elections, newest first", "user", {200: ElectionList}, query=ElectionsQuery, etag=True)
    async def on_get(self, req: Request, resp: Response) -> None:
        user = self._services.user(req)
        query = query_of(req, ElectionsQuery)
        before = min(read_u64(unb64(query.cursor)), sys.maxsize) if query.cursor else sys.maxsize
        async with self._services.reading() as connection:
            page = await queries.list_seen(
                connection,
                user,
                status=query.status or None,
                role=query.role or None,
                before=before,
                limit=query.limit + 1,
            )
            trustees = await trustees_of(connection, [seen.election.election for seen in page])
        views = [view(seen, trustees[seen.election.election]) for seen in page[: query.limit]]
        more = page[query.limit - 1].election.drafted_at if len(page) > query.limit else None
        following = None if more is None else b64(u64(more))
        answer(resp, ElectionList(views, following))

    @route(
        "draftElection",
        "Draft an election",
        "organiser",
        {201: ElectionView},
        "RoleMissing BadDefinition IdempotencyKeyReused",
        body=DraftBody,
        appends=True,
        links=LEADS,
        example=EXAMPLE,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        user = self._services.user(req)
        body = await read_json(req, DraftBody, self._limit)
        draft = encode_draft(draft_of(body))
        await self._services.require_role(user, "organiser")
        election = derive_id(req, user)
        recorded = await self._services.submit(c.DraftElection(election, user, draft))
        _refuse_other_draft(recorded, draft)
        await self._show(resp, election, user, 201)


def _refuse_other_draft(recorded: Answer, draft: bytes) -> None:
    """A key that comes again with another draft would leave its sender believing that this one is recorded."""
    if not recorded.new and decode_map(recorded.public)["draft"] != draft:
        raise Refused("IdempotencyKeyReused", "another draft was recorded under this Idempotency-Key")


class Election(_ElectionResource):
    @route("election", "One election", "user", {200: ElectionView}, "UnknownElection", etag=True)
    async def on_get(self, req: Request, resp: Response, election: bytes) -> None:
        await self._show(resp, election, self._services.user(req))

    @route(
        "amendElection",
        "Change a draft",
        "organiser",
        {200: ElectionView},
        "UnknownElection NotOrganiser NotADraft BadDefinition IdempotencyKeyReused",
        body=DraftChange,
        appends=True,
    )
    async def on_patch(self, req: Request, resp: Response, election: bytes) -> None:
        user = self._services.user(req)
        change = await read_json(req, DraftChange, self._limit)
        async with self._services.reading() as connection:
            row = await own_election(connection, election, user)
        draft = encode_draft(amended(decode_draft(row.draft), change))
        recorded = await self._services.submit(c.AmendElection(derive_id(req, user), election, user, draft))
        _refuse_other_draft(recorded, draft)
        await self._show(resp, election, user)


async def seen_election(connection: queries.Connection, election: bytes, user: bytes) -> queries.Seen:
    """Raises Refused(UnknownElection), also for somebody else's draft that the user is not to be a trustee of."""
    seen = await queries.seen(connection, election, user)
    hidden = seen is not None and seen.election.status in ("draft", "frozen") and not seen.invited
    if seen is None or (hidden and seen.election.organiser != user):
        raise Refused("UnknownElection", "there is no such election")
    return seen


async def own_election(connection: queries.Connection, election: bytes, user: bytes) -> queries.Election:
    """Raises Refused(UnknownElection, NotOrganiser)."""
    row = await queries.election(connection, election)
    if row is None:
        raise Refused("UnknownElection", "there is no such election")
    if row.organiser != user:
        raise Refused("NotOrganiser", "only the election's organiser may do this")
    return row


class Open(_ElectionResource):
    @route(
        "openElection",
        "Freeze the roll and open",
        "organiser",
        {200: ElectionView},
        "UnknownElection NotOrganiser NotADraft AlreadyOpened RollEmpty RollChanged DraftChanged TrusteesChanged "
        "TrusteeMissing BadDefinition",
        body=Nothing,
        appends=True,
    )
    async def on_post(self, req: Request, resp: Response, election: bytes) -> None:
        user = self._services.user(req)
        await read_json(req, Nothing, self._limit)
        async with self._services.reading() as connection:
            row = await own_election(connection, election, user)
        again = await self._was_asked(req, user, row)
        try:
            await open_election(self._services, row)
        except Refused as refused:
            # An answer that was lost on its way: keys are fresh each time, so only the request can be recognised.
            if not (again and refused.refusal == "AlreadyOpened"):
                raise
        await self._show(resp, election, user)

    async def _was_asked(self, req: Request, user: bytes, row: queries.Election) -> bool:
        """Whether this very request came before while the election was not open yet, as far as Redis can tell."""
        if req.get_header("Idempotency-Key") is None:
            return False
        redis, name = self._services.deps.redis, f"opening:{derive_id(req, user).hex()}"
        try:
            if row.eid is not None:
                return bool(await redis.exists(name))
            return await redis.set(name, b"1", nx=True, ex=ASKED_FOR_S) is None
        except RedisError:
            return False


class End(_ElectionResource):
    """`close` and `cancel`."""

    @route(
        "closeElection",
        "Close before its time",
        "organiser",
        {200: ElectionView},
        "UnknownElection NotOrganiser NotOpen",
        body=Nothing,
        appends=True,
    )
    async def on_post_close(self, req: Request, resp: Response, election: bytes) -> None:
        await self._end(req, resp, election, c.CloseElection)

    @route(
        "cancelElection",
        "Cancel for good",
        "organiser",
        {200: ElectionView},
        "UnknownElection NotOrganiser TooLate",
        body=Nothing,
        appends=True,
    )
    async def on_post_cancel(self, req: Request, resp: Response, election: bytes) -> None:
        await self._end(req, resp, election, c.CancelElection)

    async def _end(
        self,
        req: Request,
        resp: Response,
        election: bytes,
        command: Callable[[bytes, bytes], c.CloseElection | c.CancelElection],
    ) -> None:
        user = self._services.user(req)
        await read_json(req, Nothing, self._limit)
        await self._services.submit(command(election, user))
        await self._show(resp, election, user)
