"""/api/elections/{id}/results and /ballots: the count, the accounting, and the board."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from typing import Any, cast

import msgspec
from falcon.asgi import Request, Response
from msgspec import UNSET, UnsetType

from ..ledger.entry import decode_map
from ..projections import queries
from ..replay.report import CAVEAT
from ..voting.question import Question
from .describe import Media, route
from .drafts import decode_draft
from .elections import Status, seen_election
from .parse import B64, Name, answer, b64, encode, query_of, unb64
from .problems import Refused
from .services import Services

NDJSON = "application/x-ndjson"


class BoardQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the name of the last ballot that is there already; the lines behind it follow."""

    after: Name | UnsetType = UNSET


class AttestationView(msgspec.Struct, frozen=True):
    node: int
    agrees: bool


class Accounting(msgspec.Struct, frozen=True):
    """`silent` = issued - published - unused, and `silent_votes` the most votes that these could have been worth.

    They are known once the board is complete, `valid` and `invalid` once it is counted. `margins` are those of the
    questions, None where a question has none, and `caveat` says what they are to be compared with.
    """

    roll: int
    issued: int
    cast: int
    published: int
    valid: int | None
    invalid: int | None
    unused: int
    silent: int | None
    silent_votes: int | None
    margins: list[int | None]
    caveat: str


class ResultsView(msgspec.Struct, frozen=True):
    """`tally` is the count document; every round of every question is in it."""

    status: Status
    title: str
    questions: list[Question]
    tally: dict[str, Any] | None
    disputed: bool
    attestations: list[AttestationView]
    accounting: Accounting


class BoardLine(msgspec.Struct, frozen=True):
    """One line of the board: a ballot's name, its exact bytes, and the epoch that it was published with, from 0."""

    name: B64
    ballot: B64
    epoch: int


def accounting_of(row: queries.Election, tally: dict[str, Any] | None, issued: Mapping[int, int]) -> Accounting:
    """`issued`: how many credentials for each weight."""
    counted = {} if tally is None else tally["ballots"]
    complete = row.status in ("published", "tallied")
    silent = row.issued - row.published - row.unused if complete else None
    return Accounting(
        roll=row.roll_size,
        issued=row.issued,
        cast=row.cast_count,
        published=row.published,
        valid=counted.get("valid"),
        invalid=counted.get("invalid"),
        unused=row.unused,
        silent=silent,
        silent_votes=None if silent is None else most_votes(silent, issued, tally),
        margins=[] if tally is None else [question.get("margin") for question in tally["questions"]],
        caveat=CAVEAT,
    )


def most_votes(silent: int, issued: Mapping[int, int], tally: dict[str, Any] | None) -> int:
    """What so many credentials can have been worth: the heaviest of those whose ballots did not count."""
    counted = {} if tally is None else tally["weights"]
    worth = 0
    for weight in sorted(issued, reverse=True):
        left = min(silent, max(0, issued[weight] - counted.get(str(weight), 0)))
        worth, silent = worth + left * weight, silent - left
    return worth


class Results:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "results",
        "The count, every round of it, and the accounting",
        "user",
        {200: ResultsView},
        "UnknownElection",
        etag=True,
        gzip=True,
    )
    async def on_get(self, req: Request, resp: Response, election: bytes) -> None:
        user = self._services.user(req)
        async with self._services.reading() as connection:
            row = (await seen_election(connection, election, user)).election
            attested = await queries.attestations(connection, election)
            issued = await queries.issued_weights(connection, election)
        draft = decode_draft(row.draft)
        tally: dict[str, Any] | None = None if row.tally is None else msgspec.json.decode(row.tally)
        answer(
            resp,
            ResultsView(
                status=cast(Status, row.status),
                title=draft.title,
                questions=draft.questions,
                tally=tally,
                disputed=row.disputed,
                attestations=[AttestationView(one.node, one.digest == row.tally_digest) for one in attested],
                accounting=accounting_of(row, tally, issued),
            ),
        )


class Ballots:
    """The board as lines of JSON, in board order, an entry of the log at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "board",
        "The published ballots",
        "user",
        {200: Media(NDJSON, "one BoardLine a line, epoch by epoch, in the order of their names")},
        "UnknownElection UnknownBallot",
        query=BoardQuery,
        etag=True,
        gzip=True,
    )
    async def on_get(self, req: Request, resp: Response, election: bytes) -> None:
        user = self._services.user(req)
        after = query_of(req, BoardQuery).after
        async with self._services.reading() as connection:
            row = (await seen_election(connection, election, user)).election
            start = await _start(connection, row.eid or b"", unb64(after) if after else b"")
            indexes = [] if row.eid is None else await queries.board_entries(connection, row.eid, start.published_at)
        resp.content_type = NDJSON
        # The board only grows, so its length tells one state from another.
        resp.set_header("ETag", f'W/"{b64(row.eid or b"")}.{row.published}.{after or ""}"')
        resp.stream = self._lines(indexes, start)

    async def _lines(self, indexes: list[int], start: queries.Place) -> AsyncIterator[bytes]:
        for index in indexes:
            # A connection for each chunk: one held through the whole answer would be at the mercy of a slow reader.
            async with self._services.deps.db.connection() as connection:
                entry = await queries.entry(connection, index)
            if entry is None:
                raise Refused("InternalError", "a board entry is missing")
            fields = decode_map(entry.public)
            epoch, skipped = fields.get("epoch", 0), start.position if index == start.published_at else 0
            yield b"".join(_line(body, epoch) for body in fields["ballots"][skipped:])


async def _start(connection: queries.Connection, eid: bytes, after: bytes) -> queries.Place:
    """The first place behind the ballot named `after`. Raises Refused(UnknownBallot)."""
    if not after:
        return queries.Place(0, 0)
    place = await queries.board_place(connection, eid, after)
    if place is None:
        raise Refused("UnknownBallot", "after: there is no ballot of this name on the board")
    return queries.Place(place.published_at, place.position + 1)


def _line(body: bytes, epoch: int) -> bytes:
    return encode(BoardLine(B64(sha256(body).digest()), B64(body), epoch)) + b"\n"
