"""/api/auth/sessions: where somebody is logged in, and ending that."""

from __future__ import annotations

from datetime import datetime

import msgspec
from falcon.asgi import Request, Response

from .describe import route
from .parse import B64, answer, to_time
from .problems import Refused
from .services import Services
from .tokens import Login


class SessionView(msgspec.Struct, frozen=True):
    """A login. `used_at`: when its tokens were last refreshed, or it began."""

    id: B64
    began_at: datetime | None
    used_at: datetime | None


class SessionList(msgspec.Struct, frozen=True):
    sessions: list[SessionView]


def _view(login: Login) -> SessionView:
    return SessionView(B64(login.family), to_time(login.began_ms * 1000), to_time(login.used_ms * 1000))


class Sessions:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route("sessions", "Where the user is logged in", "user", {200: SessionList})
    async def on_get(self, req: Request, resp: Response) -> None:
        """The login used last comes first. No address and no device is kept that could be shown here."""
        user = self._services.user(req)
        logins = await self._services.refresh_tokens.logins(user)
        answer(resp, SessionList([_view(login) for login in logins]))

    @route("endSessions", "End every login of the user", "user", {204: None})
    async def on_delete(self, req: Request, resp: Response) -> None:
        """Access tokens that are out stay good until they end by themselves, fifteen minutes at the most."""
        await self._services.refresh_tokens.revoke_all(self._services.user(req))
        resp.status = 204


class Session:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route("endSession", "End one login of the user", "user", {204: None}, "UnknownSession")
    async def on_delete(self, req: Request, resp: Response, session: bytes) -> None:
        """Access tokens that are out stay good until they end by themselves, fifteen minutes at the most."""
        if not await self._services.refresh_tokens.end(self._services.user(req), session):
            raise Refused("UnknownSession", "the user has no such login, or no longer")
        resp.status = 204
