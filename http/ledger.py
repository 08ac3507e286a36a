"""/api/ledger: the transparency log, for everybody.

What is asked for by its place in the log is right for ever, so a node that is no member goes on showing it: a removed
node's record is evidence. What claims to be the newest (`checkpoint`, `digest`) it refuses.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal

import msgspec
from falcon.asgi import Request, Response

from ..ledger.rpc import size_of
from ..projections import queries
from ..projections.digest import public_digest
from ..replay.export import exportable, stream_export
from .describe import Media, route
from .limits import too_many
from .parse import B64, OCTETS, Index, answer, query_of
from .problems import Refused
from .services import Services
from .witness import newest_witnessed, with_witnesses

MOST_ENTRIES, MOST_BYTES = 500, 4 * 1024 * 1024
MOST_LISTS = 100
EXPORTS_AT_ONCE = 2


class CheckpointQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    witnessed: Literal[0, 1] = 0


class EntriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first: Index = msgspec.field(name="from", default=1)
    last: Index = msgspec.field(name="to", default=sys.maxsize)


class MembersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first: Index = msgspec.field(name="from", default=1)


class ExportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first: Index = msgspec.field(name="from", default=1)


class InclusionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: Index
    size: Index


class ConsistencyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    new: Index
    old: Annotated[int, msgspec.Meta(ge=0, le=sys.maxsize)]


class EntryView(msgspec.Struct, frozen=True):
    index: int
    header: B64
    public: B64


class Entries(msgspec.Struct, frozen=True):
    """`last` is the newest index there is; `next` is where the following page begins, if there is one."""

    entries: list[EntryView]
    last: int
    next: int | None


class InclusionProof(msgspec.Struct, frozen=True):
    """That entry `index` is in the tree of `size` entries; hashes from the leaf's sibling upwards."""

    index: int
    size: int
    proof: list[B64]


class ConsistencyProof(msgspec.Struct, frozen=True):
    """That the tree of `new` entries begins with the tree of `old` (RFC 9162, section 2.1.4).

    `members` is the newest entry among them that carries a list of members: whoever knows only older ones asks for
    `/api/ledger/members`.
    """

    old: int
    new: int
    proof: list[B64]
    members: int


class Digest(msgspec.Struct, frozen=True):
    """The public state digest at entry `index`, in hex."""

    index: int
    digest: str


def _views(entries: Sequence[queries.LogEntry]) -> list[EntryView]:
    return [EntryView(entry.index, B64(entry.header), B64(entry.public)) for entry in entries]


class Checkpoint:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "checkpoint",
        "The newest tree head that a majority signed",
        "anyone",
        {200: Media("text/plain; charset=utf-8", "a signed note (C2SP tlog-checkpoint)")},
        "NoCheckpoint",
        query=CheckpointQuery,
        etag=True,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Below the members' lines stand those of the witnesses who cosigned this very checkpoint. With `witnessed` it
        is the newest one that any witness cosigned.
        """
        if query_of(req, CheckpointQuery).witnessed:
            note = await newest_witnessed(self._services)
        else:
            note = await self._services.deps.ledger.checkpoint()
            if not note:
                raise Refused("NoCheckpoint", "no majority has signed a checkpoint yet")
            note = await with_witnesses(self._services, note, size_of(note))
        resp.content_type = "text/plain; charset=utf-8"
        resp.data = note


class EntryRange:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "entries",
        "Entries of the log",
        "anyone",
        {200: Entries},
        query=EntriesQuery,
        current=False,
        etag=True,
        gzip=True,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        query = query_of(req, EntriesQuery)
        last = min(query.last, query.first + MOST_ENTRIES - 1)
        async with self._services.reading() as connection:
            newest = await queries.applied(connection)
            found = await queries.entries(connection, query.first, last, MOST_BYTES)
        following = found[-1].index + 1 if found else query.first
        answer(resp, Entries(_views(found), newest, following if following <= min(query.last, newest) else None))


class Members:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "members",
        "Who the members are and were before",
        "anyone",
        {200: Entries},
        query=MembersQuery,
        current=False,
        etag=True,
        gzip=True,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Every entry from `from` on that carries a list of members, the genesis' being the first.

        Each other one says where it was announced and holds a checkpoint over that, signed by a majority of the members
        before it (`ledger/succession.py`): from the genesis on, anyone can tell who signs today without trusting this
        node. As with `entries`, fewer than there are only means: ask again from `next`, until there is none.
        """
        first = query_of(req, MembersQuery).first
        async with self._services.reading() as connection:
            newest = await queries.applied(connection)
            found = await queries.membership_entries(connection, first, MOST_LISTS)
        following = found[-1].index + 1 if len(found) == MOST_LISTS else None
        answer(resp, Entries(_views(found), newest, following))


class Proofs:
    """`inclusion` and `consistency`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "inclusionProof",
        "That an entry is in a tree",
        "anyone",
        {200: InclusionProof},
        "BadRange",
        query=InclusionQuery,
        current=False,
    )
    async def on_get_inclusion(self, req: Request, resp: Response) -> None:
        query = query_of(req, InclusionQuery)
        await self._reached(query.index, query.size)
        proof = await self._services.deps.ledger.inclusion(query.index, query.size)
        answer(resp, InclusionProof(query.index, query.size, list(map(B64, proof))))

    @route(
        "consistencyProof",
        "That one tree begins with another",
        "anyone",
        {200: ConsistencyProof},
        "BadRange",
        query=ConsistencyQuery,
        current=False,
    )
    async def on_get_consistency(self, req: Request, resp: Response) -> None:
        query = query_of(req, ConsistencyQuery)
        await self._reached(query.old, query.new)
        proof = await self._services.deps.ledger.consistency(query.old, query.new)
        async with self._services.reading() as connection:
            members = await queries.newest_members(connection, query.new)
        answer(resp, ConsistencyProof(query.old, query.new, list(map(B64, proof)), members))

    async def _reached(self, part: int, size: int) -> None:
        """Raises Refused(BadRange) unless `part` lies within `size` and this node's tree has reached that."""
        async with self._services.reading() as connection:
            newest = await queries.applied(connection)
        if not part <= size <= newest:
            raise Refused("BadRange", f"this node has applied {newest} entries, and a part is no larger than the whole")


class Export:
    """Each one holds a connection as long as its reader takes, so only a few at once are served."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turns = EXPORTS_AT_ONCE

    @route(
        "export",
        "The whole public record in one file",
        "anyone",
        {200: Media(OCTETS, "what `ballot replay audit` reads")},
        "NoCheckpoint BadRange",
        query=ExportQuery,
        current=False,
        limited=True,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Entries, each with the checkpoint that covers it exactly if there is one, up to the newest checkpoint.

        With `from`, what the file has from that entry on, to continue a download that broke off: another node's, too,
        and of a log that has grown since. `from` may be one beyond the last entry: then only the end is left.
        """
        first = query_of(req, ExportQuery).first
        async with self._services.reading() as connection:
            last = await queries.applied(connection)
            size = await exportable(connection, last)
        if not size:
            raise Refused("NoCheckpoint", "no majority has signed a checkpoint yet")
        if first > size + 1:
            raise Refused("BadRange", f"this node's export ends at entry {size}")
        if not self._turns:
            raise too_many(EXPORTS_AT_ONCE, "5")
        resp.content_type = OCTETS
        resp.set_header("Content-Disposition", f'attachment; filename="ballot-{size}.export"')
        resp.stream = self._pieces(first, size)

    async def _pieces(self, first: int, last: int) -> AsyncIterator[bytes]:
        self._turns -= 1
        try:
            async with self._services.deps.db.connection() as connection:
                async for piece in stream_export(connection, last, first):
                    yield piece
        finally:
            self._turns += 1


class StateDigest:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._computing = asyncio.Lock()
        self._newest = Digest(-1, "")

    @route("digest", "The digest of the public state", "anyone", {200: Digest})
    async def on_get(self, req: Request, resp: Response) -> None:
        async with self._computing, self._services.reading() as connection:
            if await queries.applied(connection) != self._newest.index:
                self._newest = Digest(*await public_digest(connection))
        answer(resp, self._newest)
