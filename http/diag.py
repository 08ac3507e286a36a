"""/api/_diag: is this node well, and what does it know? Health and readiness for anybody, the rest for admins."""

from __future__ import annotations

import asyncio
import mailbox
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import msgspec
from falcon.asgi import Request, Response, SSEvent

from ..ledger.submit import Unavailable
from ..projections import queries
from .describe import Media, route
from .events import EVENT_STREAM, Changes, Listeners, moments, send_events
from .parse import answer
from .problems import Refused
from .services import Services

STATUS_TIMEOUT_S = 2.0
MAILS_SHOWN = 50
MOST_LOCKS = 1000


class Health(msgspec.Struct, frozen=True):
    """`leader` is 0 while none is known; `member` is false on a node that was removed or is still to be added."""

    status: str
    node: int
    role: str
    leader: int
    term: int
    commit: int
    applied: int
    member: bool


class NodeView(msgspec.Struct, frozen=True):
    """`ledger` is what the ledger process says of itself."""

    node: int
    issuer: str
    mutex: dict[str, Any]
    position: int
    ledger: dict[str, Any]


class ClusterView(msgspec.Struct, frozen=True):
    """What this node knows of the others; `match` only while it leads."""

    node: int
    leader: int
    term: int
    voters: list[int]
    learners: list[int]
    connected: list[int]
    match: dict[str, int]


class ClusterEvent(msgspec.Struct, frozen=True):
    """`leader` is 0 while this node knows none."""

    node: int
    role: str
    leader: int
    term: int
    voters: list[int]
    learners: list[int]
    connected: list[int]


class LockView(msgspec.Struct, frozen=True):
    """A lock in Redis: what for, which node holds it, and for how long at most. Never whose or for which ballot."""

    kind: str
    node: int
    left_ms: int


class Locks(msgspec.Struct, frozen=True):
    """`failing`: Redis did not answer this worker just now, so it goes on without locks."""

    enabled: bool
    failing: bool
    held: list[LockView]


class ClockView(msgspec.Struct, frozen=True):
    """`offsets`: peer to [offset, round trip], microseconds."""

    now_us: int
    correction_us: int
    synchronised: bool
    offsets: dict[str, list[int]]


class Mail(msgspec.Struct, frozen=True):
    to: str
    subject: str
    date: str
    text: str


class Mailbox(msgspec.Struct, frozen=True):
    """The newest messages, newest first."""

    messages: list[Mail]


class DiagResource:
    def __init__(self, services: Services) -> None:
        self.services = services

    async def _status(self) -> dict[str, Any]:
        """Raises Unavailable."""
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                return await self.services.deps.ledger.status()
        except TimeoutError as error:
            raise Unavailable("this node's ledger process does not answer") from error

    async def require_admin(self, req: Request) -> bytes:
        user = self.services.user(req)
        await self.services.require_role(user, "admin")
        return user


def _health(status: dict[str, Any], word: str) -> Health:
    return msgspec.convert({**status, "status": word}, Health)


class Live(DiagResource):
    @route("health", "Whether this node lives", "anyone", {200: Health}, current=False)
    async def on_get(self, req: Request, resp: Response) -> None:
        answer(resp, _health(await self._status(), "ok"))


class Ready(DiagResource):
    @route("ready", "Whether this node can serve", "anyone", {200: Health})
    async def on_get(self, req: Request, resp: Response) -> None:
        status = await self._status()
        if not status["leader"]:
            raise Refused("Unavailable", "no leader is known")
        async with self.services.reading() as connection:
            await queries.applied(connection)
        answer(resp, _health(status, "ready"))


class Node(DiagResource):
    @route("node", "This node in detail", "admin", {200: NodeView}, current=False)
    async def on_get(self, req: Request, resp: Response) -> None:
        await self.require_admin(req)
        services = self.services
        settings = services.settings
        state = services.mutex.state()
        view = NodeView(settings.node, settings.issuer, state, services.position.index, await self._status())
        answer(resp, view)


class Cluster(DiagResource):
    @route("cluster", "What this node knows of the others", "admin", {200: ClusterView}, current=False)
    async def on_get(self, req: Request, resp: Response) -> None:
        await self.require_admin(req)
        status = await self._status()
        status["match"] = {str(peer): index for peer, index in status["match"].items()}
        answer(resp, msgspec.convert(status, ClusterView))


class ClusterEvents(DiagResource):
    def __init__(self, services: Services, listeners: Listeners) -> None:
        super().__init__(services)
        self._listeners = listeners

    @route(
        "clusterEvents",
        "Who leads and who is connected, as it changes",
        "admin",
        {200: Media(EVENT_STREAM, "events named as in x-events", {"cluster": ClusterEvent})},
        current=False,
        limited=True,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """The stream ends after ten minutes: connect again with a fresh token."""
        user = await self.require_admin(req)
        self._listeners.refuse_more(user)
        await self._status()
        send_events(resp, self._listeners.hold(user, self._events(req)))

    async def _events(self, req: Request) -> AsyncIterator[SSEvent]:
        changes = Changes()
        async for _ in moments(req):
            status = await self._status()
            event = changes.event("cluster", msgspec.convert(status, ClusterEvent), status["applied"])
            for one in filter(None, [event, changes.heartbeat()]):
                yield one


class LockHolders(DiagResource):
    @route("locks", "Who holds which lock in Redis", "admin", {200: Locks}, current=False)
    async def on_get(self, req: Request, resp: Response) -> None:
        await self.require_admin(req)
        mutex = self.services.mutex
        held = [LockView(*lock) for lock in await mutex.held(MOST_LOCKS)]
        answer(resp, Locks(**mutex.state(), held=held))


class Clock(DiagResource):
    @route("clock", "This node's clock beside the others'", "admin", {200: ClockView}, current=False)
    async def on_get(self, req: Request, resp: Response) -> None:
        await self.require_admin(req)
        clock = (await self._status())["clock"]
        clock["offsets"] = {str(peer): offset for peer, offset in clock["offsets"].items()}
        answer(resp, msgspec.convert(clock, ClockView))


class MailboxResource(DiagResource):
    """Only where mail goes into a folder. It shows everybody's codes: never for a cluster with real voters."""

    @route("mailbox", "Mail that was written to a folder", "admin", {200: Mailbox}, "NoMailbox", current=False)
    async def on_get(self, req: Request, resp: Response) -> None:
        await self.require_admin(req)
        folder = self.services.settings.mailbox
        if folder is None:
            raise Refused("NoMailbox", "mail goes out by SMTP here")
        answer(resp, Mailbox(await asyncio.to_thread(read_mailbox, folder)))


def read_mailbox(folder: Path, most: int = MAILS_SHOWN) -> list[Mail]:
    """The newest messages of a Maildir, newest first."""
    if not folder.exists():
        return []
    box = mailbox.Maildir(folder, create=False)
    # A Maildir key begins with the second it was written in.
    newest = sorted(box.keys(), key=lambda key: float(key.split(".", 1)[0]), reverse=True)[:most]
    return [_mail(box, key) for key in newest]


def _mail(box: mailbox.Maildir, key: str) -> Mail:
    message = message_from_bytes(box.get_bytes(key), policy=policy.default)
    text = message.get_content()
    return Mail(str(message["To"]), str(message["Subject"]), str(message["Date"]), str(text))
