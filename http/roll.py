"""/api/elections/{id}/roll: who may vote, as JSON or as lines of comma-separated values."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterator

import msgspec
from falcon.asgi import Request, Response

from ..ledger.entry import decode_map
from ..projections import queries
from ..voting import commands as c
from .describe import route
from .elections import own_election
from .mail import check_address
from .parse import CSV, JSON, answer, decode, media_type, read_body
from .problems import Refused
from .services import Services, derive_id

CHUNK = 500
SALT_BYTES, VOTER_BYTES = 32, 16
MOST_WEIGHT = 2**32 - 1
_SHOWN = 200


class RollVoter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email: str
    weight: int = 1


class RollBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    voters: list[RollVoter]


class RefusedLine(msgspec.Struct, frozen=True):
    """`line` counts from 1: lines of the file, or places in the list."""

    line: int
    value: str
    reason: str


class RollAnswer(msgspec.Struct, frozen=True):
    accepted: int
    already: int
    refused: list[RefusedLine]
    roll_size: int


class Upload:
    """An upload, read line by line: address to weight of what can be taken, and what was refused."""

    def __init__(self) -> None:
        self.voters: dict[str, int] = {}
        self.refused: list[RefusedLine] = []

    def take(self, line: int, email: str, weight: str | int) -> None:
        try:
            address, units = check_address(email), _check_weight(weight)
        except Refused as refused:
            self.refused.append(RefusedLine(line, email[:_SHOWN], refused.detail))
            return
        if address in self.voters:
            self.refused.append(RefusedLine(line, email[:_SHOWN], "the address is on an earlier line"))
        else:
            self.voters[address] = units


def _check_weight(weight: str | int) -> int:
    text = str(weight).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= MOST_WEIGHT):
        raise Refused("BadParameter", f"a weight is a whole number from 1 to {MOST_WEIGHT}")
    return int(text)


def read_upload(media: str, data: bytes) -> Upload:
    """Raises Refused(WrongContentType, MalformedBody)."""
    upload = Upload()
    if media == JSON:
        for place, voter in enumerate(decode(RollBody, data).voters, 1):
            upload.take(place, voter.email, voter.weight)
    elif media == CSV:
        for line, row in _csv_rows(data):
            if len(row) > 2:
                upload.refused.append(RefusedLine(line, ",".join(row)[:_SHOWN], "more than two columns"))
            else:
                upload.take(line, row[0], row[1] if len(row) == 2 else 1)
    else:
        raise Refused("WrongContentType", f"send {JSON} or {CSV}")
    return upload


def _csv_rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) without blank lines and without a header."""
    try:
        text = data.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        for row in reader:
            fields = [field.strip() for field in row]
            if any(fields) and not (reader.line_num == 1 and fields[0].lower() in ("email", "e-mail")):
                yield reader.line_num, fields
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused("MalformedBody", f"not comma-separated values in UTF-8: {error}") from error


class RollResource:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "addToRoll",
        "Add voters, as JSON or comma-separated values",
        "organiser",
        {200: RollAnswer},
        "UnknownElection NotOrganiser NotADraft",
        body=RollBody,
        media=(JSON, CSV),
        example={"voters": [{"email": "ada@example.org"}, {"email": "grace@example.org", "weight": 2}]},
        appends=True,
    )
    async def on_post(self, req: Request, resp: Response, election: bytes) -> None:
        services = self._services
        user = services.user(req)
        async with services.reading() as connection:
            await own_election(connection, election, user)
        upload = read_upload(media_type(req), await read_body(req, services.settings.max_roll))
        accepted = await self._add(req, election, user, list(upload.voters.items()))
        async with services.reading() as connection:
            row = await queries.election(connection, election)
        size = 0 if row is None else row.roll_size
        answer(resp, RollAnswer(accepted, len(upload.voters) - accepted, upload.refused, size))

    async def _add(self, req: Request, election: bytes, user: bytes, voters: list[tuple[str, int]]) -> int:
        """How many of the voters are new. Sent again after a failure, it goes on where it stopped."""
        accepted = 0
        for start in range(0, len(voters), CHUNK):
            command = derive_id(req, user, str(start))
            new = [self._new_voter(*voter) for voter in voters[start : start + CHUNK]]
            recorded = await self._services.submit(c.AddVoters(command, election, user, new))
            accepted += len(decode_map(recorded.public)["voters"])
        return accepted

    def _new_voter(self, address: str, weight: int) -> c.NewVoter:
        tag = self._services.deps.vault.address_tag(address)
        return c.NewVoter(secrets.token_bytes(VOTER_BYTES), tag, address, secrets.token_bytes(SALT_BYTES), weight)
