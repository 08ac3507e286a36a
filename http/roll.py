"""/api/elections/{id}/roll: who may vote, as JSON or as lines of comma-separated values."""

from __future__ import annotations

import codecs
import csv
import re
import secrets

import msgspec
from falcon.asgi import Request, Response

from ..mail.address import normal_address
from ..projections import queries
from ..voting import commands as c
from .describe import route
from .elections import own_election
from .opening import MOST_WEIGHTS
from .parse import CSV, JSON, answer, decode, media_type, read_body
from .problems import Refused
from .services import Services, derive_id

CHUNK = 500
SALT_BYTES, VOTER_BYTES = 32, 16
MOST_WEIGHT = 2**32 - 1
COLUMNS = ("email", "weight")
DELIMITERS = ",;\t"
_SHOWN = 200


class RollVoter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email: str
    weight: int = 1


class RollBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    voters: list[RollVoter]


class RefusedLine(msgspec.Struct, frozen=True):
    """`line` counts from 1: lines of the file, the header's included, or places in the list."""

    line: int
    value: str
    reason: str


class RollAnswer(msgspec.Struct, frozen=True):
    """`already` of the refused lines name voters who were on the roll before."""

    accepted: int
    already: int
    refused: list[RefusedLine]
    roll_size: int


class Upload:
    """An upload, read line by line: address to weight of what can be taken, and what was refused."""

    def __init__(self) -> None:
        self.voters: dict[str, int] = {}
        self.lines: dict[str, tuple[int, str]] = {}
        self.refused: list[RefusedLine] = []

    def take(self, line: int, email: str, weight: str | int) -> None:
        try:
            address, units = normal_address(email), _check_weight(weight)
        except ValueError as error:
            self.refuse(line, email, str(error))
            return
        if address in self.voters:
            self.refuse(line, email, f"the address is on line {self.lines[address][0]} already")
        else:
            self.voters[address], self.lines[address] = units, (line, email)

    def refuse(self, line: int, value: str, reason: str) -> None:
        self.refused.append(RefusedLine(line, value.strip()[:_SHOWN], reason))


def _check_weight(weight: str | int) -> int:
    text = str(weight).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= MOST_WEIGHT):
        raise ValueError(f"a weight is a whole number from 1 to {MOST_WEIGHT}")
    return int(text)


def read_upload(media: str, data: bytes) -> Upload:
    """Raises Refused(WrongContentType, MalformedBody, BadEncoding)."""
    upload = Upload()
    if media == JSON:
        for place, voter in enumerate(decode(RollBody, data).voters, 1):
            upload.take(place, voter.email, voter.weight)
    elif media == CSV:
        _read_csv(upload, _decode(data))
    else:
        raise Refused("WrongContentType", f"send {JSON} or {CSV}")
    return upload


def _decode(data: bytes) -> str:
    """Raises Refused(BadEncoding), naming what the bytes seem to be: a guess would turn one name into another."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise Refused("BadEncoding", "this looks like UTF-16: save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        detail = f"line {line} is not UTF-8, perhaps Latin-1 or Windows-1252: save the file as UTF-8"
        raise Refused("BadEncoding", detail) from error


def _read_csv(upload: Upload, text: str) -> None:
    """Every line by itself: no address or weight goes over several, and so a stray quote spoils only its own line."""
    lines = re.split("\r\n|\n|\r", text)
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((char for char in DELIMITERS if char in first), DELIMITERS[0])
    columns: list[str] | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            (fields,) = csv.reader([line], delimiter=delimiter, strict=True)
        except csv.Error as error:
            upload.refuse(number, line, f"not comma-separated values: {error}")
            continue
        fields = [field.strip() for field in fields]
        if columns is None:
            columns = _header(fields)
            if columns is not None:
                continue
            columns = list(COLUMNS)
        _take_row(upload, number, line, dict(zip(columns, fields, strict=False)), len(fields) - len(columns))


def _header(fields: list[str]) -> list[str] | None:
    """The columns that a first line names; None when it is a voter's. Raises Refused(MalformedBody)."""
    names = ["email" if name.lower() == "e-mail" else name.lower() for name in fields]
    if "email" not in names:
        return None
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or len(set(names)) != len(names):
        raise Refused("MalformedBody", f"the columns are {' and '.join(COLUMNS)}, each once")
    return names


def _take_row(upload: Upload, number: int, line: str, row: dict[str, str], too_many: int) -> None:
    if too_many > 0:
        upload.refuse(number, line, "there are more columns than email and weight")
    elif row.get("weight") == "":
        upload.refuse(number, line, "the weight is missing")
    else:
        upload.take(number, row["email"], row.get("weight", 1))


class RollResource:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "addToRoll",
        "Add voters, as JSON or comma-separated values",
        "organiser",
        {200: RollAnswer},
        "UnknownElection NotOrganiser NotADraft BadEncoding TooManyWeights",
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
        async with services.reading() as connection:
            weights = await queries.weights(connection, election)
        if len(weights | set(upload.voters.values())) > MOST_WEIGHTS:
            raise Refused("TooManyWeights", f"an election has at most {MOST_WEIGHTS} different weights")
        added = await self._add(req, election, user, list(upload.voters.items()))
        async with services.reading() as connection:
            row = await queries.election(connection, election)
            known = await self._refuse_known(connection, election, upload, added)
        size = 0 if row is None else row.roll_size
        upload.refused.sort(key=lambda refused: refused.line)
        answer(resp, RollAnswer(len(upload.voters) - known, known, upload.refused, size))

    async def _add(self, req: Request, election: bytes, user: bytes, voters: list[tuple[str, int]]) -> set[int]:
        """The entries that hold the voters. Sent again after a failure, it goes on where it stopped."""
        added = set()
        for start in range(0, len(voters), CHUNK):
            command = derive_id(req, user, str(start))
            new = [self._new_voter(*voter) for voter in voters[start : start + CHUNK]]
            added.add((await self._services.submit(c.AddVoters(command, election, user, new))).index)
        return added

    async def _refuse_known(
        self, connection: queries.Connection, election: bytes, upload: Upload, added: set[int]
    ) -> int:
        """Names the lines whose address some earlier upload put on the roll; how many there are."""
        tags = {self._services.deps.vault.address_tag(address): address for address in upload.voters}
        places = await queries.roll_places(connection, election, list(tags))
        known = 0
        for tag, address in tags.items():
            # Not there at all: the same person is on the roll under another address.
            if places.get(tag) not in added:
                known += 1
                upload.refuse(*upload.lines[address], "the address is on the roll already")
        return known

    def _new_voter(self, address: str, weight: int) -> c.NewVoter:
        tag = self._services.deps.vault.address_tag(address)
        return c.NewVoter(secrets.token_bytes(VOTER_BYTES), tag, address, secrets.token_bytes(SALT_BYTES), weight)
