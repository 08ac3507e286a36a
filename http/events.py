"""Server-sent events: an election's turnout and fate, and the cluster's state.

Turnout is told in steps of `turnout_s`, at moments that are the same for every listener at every node, and never on
connecting: however many connections somebody opens, these streams tell when ballots arrive no finer than that. (The log
tells finer, to anyone: each cast is an entry with its time. What no one can tell is which ballot it was.)
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from time import monotonic, time
from typing import Any, cast

import msgspec
from falcon.asgi import Request, Response, SSEvent

from ..projections import queries
from ..projections.trustees import of as trustees_of
from .describe import Media, route
from .drafts import decode_draft
from .elections import Status, seen_election
from .limits import too_many
from .parse import encode
from .problems import refusal_of
from .services import Services
from .trustee_state import KeyState

log = logging.getLogger("ballot.events")

EVENT_STREAM = "text/event-stream"
POLL_S, HEARTBEAT_S = 2.0, 14.0
# Less than an access token lasts: whoever comes back shows a new one.
LASTS_S = 600.0
RETRY_MS = 3000
LISTENERS, LISTENERS_A_USER, STRANGERS = 200, 5, 100
"""How many streams a worker has for all, for each user, and for all who do not say who they are."""
STRANGER = b""
STOPPING = "stopping"
"""In the server's lifespan state: an event that is set once the worker is to end."""


class StatusEvent(msgspec.Struct, frozen=True):
    status: Status


class TurnoutEvent(msgspec.Struct, frozen=True):
    """`issued` credentials and `cast` ballots of `roll` voters, as of the last full step."""

    roll: int
    issued: int
    cast: int


class KeysEvent(msgspec.Struct, frozen=True):
    """The board is published, and of the `needed` trustees' keys so many are `released` and so many `missing`."""

    needed: int
    released: int
    missing: int


class Listeners:
    """How many listen to this worker, together and each: every one costs a query now and then.

    Strangers are counted as one, and never take all places: who has logged in finds one.
    """

    def __init__(self) -> None:
        self._listening: Counter[bytes] = Counter()

    def refuse_more(self, user: bytes) -> None:
        """Raises Refused(TooManyRequests)."""
        most = STRANGERS if user == STRANGER else LISTENERS_A_USER
        if self._listening[user] >= most:
            raise too_many(most, "30")
        if self._listening.total() >= LISTENERS:
            raise too_many(LISTENERS, "30")

    async def hold(self, user: bytes, events: AsyncIterator[SSEvent]) -> AsyncIterator[SSEvent]:
        """The events, counted as one listener while they last."""
        self._listening[user] += 1
        try:
            async for event in events:
                yield event
        except Exception as error:
            # Whoever listens connects again, and is then told what is wrong.
            log.warning("events ended", extra={"reason": refusal_of(error).detail})
        finally:
            self._listening[user] -= 1
            if not self._listening[user]:
                del self._listening[user]


async def moments(req: Request) -> AsyncIterator[float]:
    """The time in seconds, now and at every multiple of `POLL_S`, until `LASTS_S` are over or the worker ends."""
    stopping: asyncio.Event = req.scope.get("state", {}).get(STOPPING) or asyncio.Event()
    began = monotonic()
    yield time()
    while monotonic() < began + LASTS_S:
        try:
            async with asyncio.timeout(POLL_S - time() % POLL_S):
                await stopping.wait()
            return
        except TimeoutError:
            yield time()


class Changes:
    """Turns states into events: one that is like the last is not told again, a silence is broken now and then."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._spoke = monotonic()

    def event(self, name: str, state: Any, index: int) -> SSEvent | None:
        if self._told.get(name) == state:
            return None
        self._told[name], self._spoke = state, monotonic()
        return SSEvent(event=name, data=encode(state), event_id=str(index), retry=RETRY_MS)

    def heartbeat(self) -> SSEvent | None:
        if monotonic() < self._spoke + HEARTBEAT_S:
            return None
        self._spoke = monotonic()
        return SSEvent(comment="still here")


def send_events(resp: Response, events: AsyncIterator[SSEvent]) -> None:
    resp.content_type = EVENT_STREAM
    # Proxies of the nginx kind hold back what they take for a page.
    resp.set_header("X-Accel-Buffering", "no")
    resp.sse = events


_NAMED: Mapping[str, type[msgspec.Struct]] = {"status": StatusEvent, "keys": KeysEvent, "turnout": TurnoutEvent}


async def _keys(connection: queries.Connection, row: queries.Election) -> KeysEvent | None:
    if not row.published_at:
        return None
    found = (await trustees_of(connection, [row.election]))[row.election]
    state = KeyState.of(row.status, decode_draft(row.draft), found)
    return KeysEvent(state.needed, state.released, state.missing)


class ElectionEvents:
    def __init__(self, services: Services, listeners: Listeners) -> None:
        self._services, self._listeners = services, listeners

    @route(
        "electionEvents",
        "Turnout and status of an election, as they change",
        "guest",
        {200: Media(EVENT_STREAM, "events named as in x-events", _NAMED)},
        "UnknownElection",
        limited=True,
    )
    async def on_get(self, req: Request, resp: Response, election: bytes) -> None:
        """`status` is sent on connecting and whenever it changes, `keys` as well once the board is published, `turnout`
        in steps of some seconds. The stream ends after ten minutes: connect again, as a browser's `EventSource` does by
        itself. It can send no token, and needs none: all of this is in the public log. With one, an organiser and
        trustees see their drafts' too."""
        user = STRANGER if req.get_header("Authorization") is None else self._services.user(req)
        self._listeners.refuse_more(user)
        async with self._services.reading() as connection:
            await seen_election(connection, election, user)
        send_events(resp, self._listeners.hold(user, self._events(req, election, user)))

    async def _events(self, req: Request, election: bytes, user: bytes) -> AsyncIterator[SSEvent]:
        changes, length = Changes(), self._services.settings.turnout_s
        step = time() // length
        async for now in moments(req):
            await self._services.position.refresh()
            self._services.position.require_member()
            async with self._services.reading() as connection:
                row = (await seen_election(connection, election, user)).election
                keys = await _keys(connection, row)
            index = self._services.position.index
            events = [changes.event("status", StatusEvent(cast(Status, row.status)), index)]
            if keys is not None:
                events.append(changes.event("keys", keys, index))
            if now // length > step:
                step = now // length
                turnout = TurnoutEvent(row.roll_size, row.issued, row.cast_count)
                events.append(changes.event("turnout", turnout, index))
            for event in filter(None, [*events, changes.heartbeat()]):
                yield event
