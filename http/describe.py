"""What each route does, said on the responder that does it.

From these descriptions come the checks that all routes share (query, Accept, Idempotency-Key) and the OpenAPI document.
They cannot drift from the code: the types are those that parse and answer, `parse.read_json` and `parse.answer` hold
the responder to them, and the running app is fuzzed against the document.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from http import HTTPStatus
from typing import Any, Literal, TypeVar, cast

import msgspec
from falcon.asgi import Request, Response

from .parse import JSON, read_query
from .problems import REFUSALS, Refused

Who = Literal["anyone", "nobody", "guest", "user", "organiser", "admin"]
"""`nobody` is anyone who sends nothing that could tell who they are, `guest` is anyone, who may say who they are and
then see more; `organiser` is that of the election in the path, or whoever holds the role."""

KEY = "^[!-~]([ -~]{0,126}[!-~])?$"
"""An Idempotency-Key: up to 128 printable ASCII characters, no space at either end."""

Responder = TypeVar("Responder", bound=Callable[..., Awaitable[None]])


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A route that takes no parameters."""


@dataclass(frozen=True)
class Media:
    """A body that is not a JSON document of one of our types. `events`: what server-sent events carry, by name."""

    media: str
    what: str
    events: Mapping[str, type[msgspec.Struct]] = field(default_factory=dict)


Body = type[msgspec.Struct] | Media | None


@dataclass(frozen=True)
class Operation:
    """`answers`: status of success to what its body is. `refusals` names those that no other field implies. `example`
    is a body that is taken. `current`: what it answers or does is right only as of now, so a node that is no member of
    the cluster refuses it.

    `appends`: honours an Idempotency-Key. `limited`: its rate is. `etag`, `gzip`: as the answer may be the same again,
    and as it is the same for everybody who may see it and reflects nothing of the request (see docs/adr/0018).
    `links`: operation to {parameter: expression}, where an answer leads.
    """

    id: str
    summary: str
    who: Who
    answers: Mapping[int, Body]
    body: Body = None
    media: tuple[str, ...] = (JSON,)
    query: type[msgspec.Struct] = NoQuery
    refusals: tuple[str, ...] = ()
    appends: bool = False
    current: bool = True
    limited: bool = False
    etag: bool = False
    gzip: bool = False
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    example: Any = None
    description: str = ""

    @cached_property
    def offers(self) -> tuple[str, ...]:
        """The media types of its answers."""
        return tuple(media_of(body) for body in self.answers.values() if body is not None)

    def all_refusals(self, *, in_path: bool) -> list[str]:
        """Every refusal that a request may meet, in the order of their statuses."""
        names = {*self.refusals, *self._implied(), *(["NotFound"] if in_path else [])}
        return sorted(names, key=lambda name: (REFUSALS[name][0], name))

    @cached_property
    def may_refuse(self) -> frozenset[str]:
        """Every refusal that is no news; what nobody foresaw is logged anyway."""
        return frozenset(self.all_refusals(in_path=True)) | {"InternalError"}

    def _implied(self) -> Iterator[str]:
        # An older node refuses what asks for a newer state by Ledger-Index or consistency, whatever the route.
        yield from ("BadParameter", "Unavailable", "NotAMember")
        if self.who != "nobody":
            yield "BadRange"  # A Ledger-Index beyond the end of the log.
        if self.offers:
            yield "NotAcceptable"
        if self.body is not None:
            yield from ("MalformedBody", "BodyTooLarge", "WrongContentType", "RequestTimeout")
        if self.who in ("guest", "user", "organiser", "admin"):
            yield from ("NotAuthenticated", "InvalidToken")
        if self.who == "nobody":
            yield "LinkableRequest"
        if self.who == "admin":
            yield "RoleMissing"
        if self.appends:
            yield "TooLarge"
        if self.limited:
            yield "TooManyRequests"

    def check(self, req: Request) -> None:
        """What every request must meet. Raises Refused(BadParameter, NotAcceptable, NotAMember)."""
        if self.current:
            req.context.position.require_member()
        if self.offers and not any(map(req.client_accepts, self.offers)):
            raise Refused("NotAcceptable", f"this answers with {', '.join(dict.fromkeys(self.offers))}")
        key = req.get_header("Idempotency-Key") if self.appends else None
        if key is not None and not re.fullmatch(KEY, key):
            raise Refused("BadParameter", "an Idempotency-Key has 1 to 128 printable ASCII characters")
        req.context.query = read_query(req, self.query)


def media_of(body: Body) -> str:
    return body.media if isinstance(body, Media) else JSON


def route(
    id: str, summary: str, who: Who, answers: Mapping[int, Body], refusals: str = "", **more: Any
) -> Callable[[Responder], Responder]:
    """Describes a responder and makes it keep to that. `refusals` are names, separated by spaces."""

    def describe(responder: Responder) -> Responder:
        text = " ".join((responder.__doc__ or "").split())
        operation = Operation(id, summary, who, answers, refusals=tuple(refusals.split()), description=text, **more)
        unknown = set(operation.refusals) - REFUSALS.keys()
        if unknown:
            raise TypeError(f"{id}: refusals without a status: {unknown}")

        @wraps(responder)
        async def checked(self: object, req: Request, resp: Response, **params: Any) -> None:
            req.context.operation = resp.context.operation = operation
            operation.check(req)
            await responder(self, req, resp, **params)

        checked.operation = operation  # type: ignore[attr-defined]
        return cast(Responder, checked)

    return describe


def operation_of(responder: object) -> Operation | None:
    return getattr(responder, "operation", None)


def status_words(status: int) -> str:
    return HTTPStatus(status).phrase
