"""/api/elections/{id}/mail: invitations and reminders, and what became of every mail to the roll."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import msgspec
from falcon.asgi import Request, Response
from msgspec import UNSET, UnsetType

from ..ledger.entry import decode_map
from ..projections import mail_views
from ..voting import commands as c
from .describe import route
from .elections import own_election
from .parse import B64, answer, b64, b64_pattern, matching, query_of, read_json, unb64
from .problems import Refused
from .services import Services, derive_id

MOST_LISTED, LISTED = 1000, 200
VOTER_BYTES = 16

Kind = Literal["invitation", "reminder", "issued"]
State = Literal["queued", "sending", "sent", "deferred", "bounced", "unknown"]
# The last mail on the page before: its voter and its kind.
Cursor = Annotated[
    str,
    matching(
        f"{b64_pattern(VOTER_BYTES).removesuffix('$')}[.](invitation|reminder|issued)$",
        "what `next` said on the page before",
    ),
]


class MailQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cursor`: the `next` of the page before."""

    kind: Kind | UnsetType = UNSET
    state: State | UnsetType = UNSET
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_LISTED)] = LISTED
    cursor: Cursor | UnsetType = UNSET


class MailBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`invitation` goes to everybody on the roll who had none yet, `reminder` to those without a credential."""

    kind: Literal["invitation", "reminder"]


class MailCount(msgspec.Struct, frozen=True):
    kind: Kind
    state: State
    count: int


class MailView(msgspec.Struct, frozen=True):
    """One voter's newest mail of a kind. `unknown`: it may have been sent or not, and will not be sent again."""

    voter: B64
    email: str | None
    kind: Kind
    state: State
    reason: str
    attempt: int


class MailList(msgspec.Struct, frozen=True):
    """`counts` are of all mail, whatever is listed. `next` is the cursor of the following page."""

    counts: list[MailCount]
    mail: list[MailView]
    next: str | None


class Mail:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "orderMail",
        "Mail an invitation or a reminder to the roll",
        "organiser",
        {202: MailList},
        "UnknownElection NotOrganiser NotOpen RollEmpty MailInProgress TooSoon IdempotencyKeyReused",
        body=MailBody,
        appends=True,
        example={"kind": "invitation"},
    )
    async def on_post(self, req: Request, resp: Response, election: bytes) -> None:
        services = self._services
        user = services.user(req)
        body = await read_json(req, MailBody, services.settings.max_body)
        recorded = await services.submit(c.OrderMail(derive_id(req, user), election, user, body.kind))
        if decode_map(recorded.public)["kind"] != body.kind:
            raise Refused("IdempotencyKeyReused", "mail of another kind was ordered under this Idempotency-Key")
        async with services.reading() as connection:
            counts = await mail_views.counts(connection, election)
        answer(resp, MailList([_count(found) for found in counts], [], None), 202)

    @route(
        "mail",
        "What became of the mail to the roll",
        "organiser",
        {200: MailList},
        "UnknownElection NotOrganiser",
        query=MailQuery,
        etag=True,
    )
    async def on_get(self, req: Request, resp: Response, election: bytes) -> None:
        services = self._services
        user = services.user(req)
        query = query_of(req, MailQuery)
        limit = query.limit
        voter, _, last = (query.cursor or "").partition(".")
        async with services.reading() as connection:
            await own_election(connection, election, user)
            counts = await mail_views.counts(connection, election)
            page = await mail_views.page(
                connection, election, query.kind or None, query.state or None, (unb64(voter), last), limit + 1
            )
            hidden = await services.private.many(connection, (mail.added_at for mail in page[:limit]))
        addresses = {
            (index, voter): address
            for index, fields in hidden.items()
            for voter, _tag, address, _salt in fields.get("addresses", ())
        }
        more = page[limit - 1] if len(page) > limit else None
        answer(
            resp,
            MailList(
                [_count(found) for found in counts],
                [_view(mail, addresses.get((mail.added_at, mail.voter))) for mail in page[:limit]],
                None if more is None else f"{b64(more.voter)}.{more.kind}",
            ),
        )


def _count(found: mail_views.Count) -> MailCount:
    return MailCount(cast(Kind, found.kind), cast(State, found.state), found.count)


def _view(mail: mail_views.Mail, address: str | None) -> MailView:
    kind, state = cast(Kind, mail.kind), cast(State, mail.state)
    return MailView(B64(mail.voter), address, kind, state, mail.reason, mail.attempt)
