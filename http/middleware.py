"""Around every request: its log line, its place in the ledger, and the app's start and end."""

from __future__ import annotations

import logging
import secrets
import sys
from time import perf_counter
from typing import Any

from falcon.asgi import Request, Response

from ..ledger.client import LedgerClient
from ..ledger.submit import Unavailable
from .metrics import note_request
from .position import Position
from .problems import Refused
from .services import Services

log = logging.getLogger("ballot.request")

REACH_TIMEOUT_S = 3.0
DRAIN_S = 5.0
CASTS, DIAGNOSIS = "/api/votes", "/api/_diag/"


class RequestLog:
    """One structured line a request: never an address or a body, and on the cast path nothing but the outcome."""

    async def process_request(self, req: Request, resp: Response) -> None:
        req.context.began = perf_counter()
        req.context.id = secrets.token_hex(8)

    async def process_response(self, req: Request, resp: Response, resource: object, succeeded: bool) -> None:
        fields: dict[str, Any] = {"method": req.method, "route": req.uri_template, "status": resp.status_code}
        refusal = getattr(req.context, "refusal", None)
        if refusal is not None:
            fields["refusal"] = refusal
        seconds = perf_counter() - req.context.began
        note_request(req, resp, seconds, refusal)
        if not req.path.startswith(CASTS):
            fields["request"] = req.context.id
            fields["ms"] = round(1000 * seconds, 1)
            resp.set_header("X-Request-Id", req.context.id)
        if resp.status_code in (401, 403) and (user := getattr(req.context, "user", None)) is not None:
            fields["user"] = user.hex()
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "no-store")
        # A load balancer asks for health all the time.
        log.log(logging.DEBUG if req.path.startswith(DIAGNOSIS) else logging.INFO, "request", extra=fields)


class LedgerIndex:
    """Answers say how far this node is; whoever sends that back is never answered from an older state.

    Not those to casts: a page that sends back whatever it saw would soon show, with its access token, the very index at
    which its user had just cast.

    How far it is, and whether it is a member at all, is looked at once in a while (`Position.refresh`).
    """

    def __init__(self, position: Position, ledger: LedgerClient) -> None:
        self._position, self._ledger = position, ledger

    async def process_request(self, req: Request, resp: Response) -> None:
        await self._position.refresh()
        wanted = req.get_header("Ledger-Index")
        # A cast that carries one is refused where casts are taken, without waiting for anything.
        if wanted is not None and not req.path.startswith(CASTS):
            await self._position.reach(_index(wanted), REACH_TIMEOUT_S)
        consistency = req.get_param("consistency") if req.query_string else None
        if consistency == "linearizable":
            await self._ask_majority()
        elif consistency is not None:
            raise Refused("BadParameter", "consistency can only be linearizable")
        # Whether this node may answer depends on what is asked: see `Operation.check`.
        req.context.position = self._position

    async def _ask_majority(self) -> None:
        """Raises Unavailable, Refused(NotAMember)."""
        try:
            self._position.note(await self._ledger.read_index())
        except Unavailable:
            self._position.require_member()
            raise

    async def process_response(self, req: Request, resp: Response, resource: object, succeeded: bool) -> None:
        if req.path.startswith(CASTS):
            return
        await self._position.refresh()
        resp.set_header("Ledger-Index", str(self._position.index))


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= sys.maxsize):
        raise Refused("BadParameter", "Ledger-Index must be a number")
    return int(text)


class Lifespan:
    """Opens the database pool when the worker starts and lets go of everything when it ends."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        # Without waiting: a node whose database is not up yet answers 503 and recovers.
        await self._services.deps.db.open(wait=False)

    async def process_shutdown(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        deps = self._services.deps
        await self._services.outbox.drain(DRAIN_S)
        await self._services.mutex.close()
        deps.ledger.close()
        await deps.db.close()
        await deps.redis.aclose()
