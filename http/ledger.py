"""/api/ledger: the transparency log, for everybody."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

import msgspec
from falcon.asgi import Request, Response

from ..projections import queries
from ..projections.digest import public_digest
from ..replay.export import exportable, stream_export
from .limits import too_many
from .parse import B64, OCTETS, answer, query_int
from .problems import Refused
from .services import Services

MOST_ENTRIES, MOST_BYTES = 500, 4 * 1024 * 1024
MOST_LISTS = 100
EXPORTS_AT_ONCE = 2


class EntryView(msgspec.Struct, frozen=True):
    index: int
    header: B64
    public: B64


class Entries(msgspec.Struct, frozen=True):
    """`last` is the newest index there is; fewer entries than asked for only mean: ask again from the next."""

    entries: list[EntryView]
    last: int


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

    async def on_get(self, req: Request, resp: Response) -> None:
        note = await self._services.deps.ledger.checkpoint()
        if not note:
            raise Refused("NoCheckpoint", "no majority has signed a checkpoint yet")
        resp.content_type = "text/plain; charset=utf-8"
        resp.data = note


class EntryRange:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: Request, resp: Response) -> None:
        first = query_int(req, "from", 1, sys.maxsize, 1)
        last = min(query_int(req, "to", first, sys.maxsize, sys.maxsize), first + MOST_ENTRIES - 1)
        async with self._services.reading() as connection:
            newest = await queries.applied(connection)
            found = await queries.entries(connection, first, last, MOST_BYTES)
        answer(resp, Entries(_views(found), newest))


class Members:
    """Every entry from `from` on that carries a list of members, the genesis' being the first.

    Each other one says where it was announced and holds a checkpoint over that, signed by a majority of the members
    before it (`ledger/succession.py`): from the genesis on, anyone can tell who signs today without trusting this
    node. As with `entries`, fewer than there are only means: ask again from the next, until none is left.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: Request, resp: Response) -> None:
        first = query_int(req, "from", 1, sys.maxsize, 1)
        async with self._services.reading() as connection:
            newest = await queries.applied(connection)
            found = await queries.membership_entries(connection, first, MOST_LISTS)
        answer(resp, Entries(_views(found), newest))


class Proofs:
    """`inclusion` and `consistency`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get_inclusion(self, req: Request, resp: Response) -> None:
        size = await self._size(req, "size")
        index = query_int(req, "index", 1, size)
        proof = await self._services.deps.ledger.inclusion(index, size)
        answer(resp, InclusionProof(index, size, list(map(B64, proof))))

    async def on_get_consistency(self, req: Request, resp: Response) -> None:
        new = await self._size(req, "new")
        old = query_int(req, "old", 0, new)
        proof = await self._services.deps.ledger.consistency(old, new)
        async with self._services.reading() as connection:
            members = await queries.newest_members(connection, new)
        answer(resp, ConsistencyProof(old, new, list(map(B64, proof)), members))

    async def _size(self, req: Request, name: str) -> int:
        """A size that this node's tree has reached. Raises Refused(BadParameter, BadRange)."""
        size = query_int(req, name, 1, sys.maxsize)
        async with self._services.reading() as connection:
            newest = await queries.applied(connection)
        if size > newest:
            raise Refused("BadRange", f"this node has applied {newest} entries")
        return size


class Export:
    """Each one holds a connection as long as its reader takes, so only a few at once are served."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turns = EXPORTS_AT_ONCE

    async def on_get(self, req: Request, resp: Response) -> None:
        async with self._services.reading() as connection:
            last = await queries.applied(connection)
            size = await exportable(connection, last)
        if not size:
            raise Refused("NoCheckpoint", "no majority has signed a checkpoint yet")
        if not self._turns:
            raise too_many("5")
        resp.content_type = OCTETS
        resp.set_header("Content-Disposition", f'attachment; filename="ballot-{size}.export"')
        resp.stream = self._pieces(size)

    async def _pieces(self, last: int) -> AsyncIterator[bytes]:
        self._turns -= 1
        try:
            async with self._services.deps.db.connection() as connection:
                async for piece in stream_export(connection, last):
                    yield piece
        finally:
            self._turns += 1


class StateDigest:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._computing = asyncio.Lock()
        self._newest = Digest(-1, "")

    async def on_get(self, req: Request, resp: Response) -> None:
        async with self._computing, self._services.reading() as connection:
            if await queries.applied(connection) != self._newest.index:
                self._newest = Digest(*await public_digest(connection))
        answer(resp, self._newest)
