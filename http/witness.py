"""/api/ledger/witness: outsiders who watch the log leave their cosignatures here, for everybody to see."""

from __future__ import annotations

import logging

import msgspec
from falcon.asgi import Request, Response

from ..ledger.checkpoint import Checkpoint
from ..ledger.witness import Unknown, Witness, WitnessError, read_cosignatures, with_lines
from ..projections import queries
from .describe import Media, route
from .parse import TEXT, answer, media_type, read_body
from .problems import Refused
from .services import Services

log = logging.getLogger("ballot.http")

MOST_BYTES = 16 * 1024


class Witnessed(msgspec.Struct, frozen=True):
    """How many lines were taken, all under the checkpoint of `size` entries."""

    size: int
    taken: int


class WitnessResource:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "witness",
        "Leave a witness's cosignature",
        "anyone",
        {200: Witnessed},
        "UnknownWitness UnknownCheckpoint BadSignature MalformedNote",
        body=Media(TEXT, "a signed note: a checkpoint of this log with the witness's own line (C2SP tlog-cosignature)"),
        media=(TEXT,),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Taken from the witnesses that this node is set up with, under a checkpoint that it holds itself.

        Of each witness the line under its largest checkpoint is kept, and shown in `/api/ledger/checkpoint`.
        """
        body = await read_body(req, MOST_BYTES)
        if media_type(req) != TEXT:
            raise Refused("WrongContentType", f"send {TEXT}")
        checkpoint, lines = _read(body, self._services.settings.witnesses)
        await self._check_ours(checkpoint)
        for witness, line in lines.items():
            await self._services.deps.ledger.witness(witness.vkey, checkpoint.size, line)
        answer(resp, Witnessed(checkpoint.size, len(lines)))

    async def _check_ours(self, checkpoint: Checkpoint) -> None:
        async with self._services.reading() as connection:
            note = await queries.checkpoint_note(connection, checkpoint.size)
        if note is None:
            raise Refused("UnknownCheckpoint", "this node holds no checkpoint of this size")
        if not note.startswith(checkpoint.body() + b"\n"):
            # A witness that was configured here saw another log: either it was lied to, or we were.
            log.error("a witness cosigned another log", extra={"size": checkpoint.size})
            raise Refused("UnknownCheckpoint", "this node's checkpoint of this size is another one")


def _read(note: bytes, witnesses: tuple[Witness, ...]) -> tuple[Checkpoint, dict[Witness, str]]:
    try:
        return read_cosignatures(note, witnesses)
    except Unknown as error:
        raise Refused("UnknownWitness", str(error)) from error
    except WitnessError as error:
        refusal = "BadSignature" if "does not verify" in str(error) else "MalformedNote"
        raise Refused(refusal, str(error)) from error


async def newest_witnessed(services: Services) -> bytes:
    """The largest checkpoint that a witness cosigned, with all lines under it. Raises Refused(NoCheckpoint)."""
    async with services.reading() as connection:
        size = await queries.newest_witnessed(connection)
        note = await queries.checkpoint_note(connection, size) if size else None
    if note is None:
        raise Refused("NoCheckpoint", "no witness has cosigned a checkpoint here")
    return await with_witnesses(services, note, size)


async def with_witnesses(services: Services, note: bytes, size: int) -> bytes:
    """The note of a checkpoint of ours with the lines of the witnesses that this node is set up with."""
    known = [witness.vkey for witness in services.settings.witnesses]
    if not known:
        return note
    async with services.reading() as connection:
        return with_lines(note, await queries.witness_lines(connection, size, known))
