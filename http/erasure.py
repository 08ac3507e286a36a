"""/api/auth/erase and /api/users/{id}/erase: a person's private data leaves the ledger, on every node."""

from __future__ import annotations

import logging

import msgspec
from falcon.asgi import Request, Response

from ..ledger.submit import Unavailable
from ..projections import queries
from ..projections.personal import Lagging, personal
from ..voting import commands as c
from .accounts import Accounts
from .auth import Text
from .describe import route
from .parse import read_json
from .problems import Refused
from .services import Services, derive_id

log = logging.getLogger("ballot.auth")

_REFUSALS = "UnknownUser OnActiveRoll RollChanged AccountChanged MalformedCommand"


class EraseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: Text


class _Erasure:
    def __init__(self, services: Services, accounts: Accounts) -> None:
        self._services, self._accounts = services, accounts

    async def _erase(self, req: Request, user: bytes, by: bytes) -> None:
        """Raises Refused, Unavailable. A repetition that finds nothing left is refused as an unknown user."""
        services = self._services
        async with services.reading() as connection:
            account = await queries.account_by_user(connection, user)
            if account is None:
                raise Refused("UnknownUser", "there is no such user, or no longer")
            try:
                found = await personal(connection, services.private, user)
            except Lagging as error:
                raise Unavailable(str(error)) from error
        command = c.EraseUser(
            derive_id(req, by, user.hex()),
            user,
            by,
            account.tag,
            found.elections,
            found.rolls,
            found.parts,
            found.organises,
            found.trustee_of,
        )
        await services.submit(command)
        await services.refresh_tokens.revoke_all(user)
        log.info("user erased", extra={"user": user.hex(), "parts": len(found.parts)})


class EraseSelf(_Erasure):
    @route(
        "eraseSelf",
        "Erase one's own account and everything private about oneself",
        "user",
        {204: None},
        f"WrongCredentials {_REFUSALS}",
        body=EraseBody,
        appends=True,
        limited=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Refused while one is on the roll of an election, its organiser or a trustee, until that is over."""
        user = self._services.user(req)
        body = await read_json(req, EraseBody, self._services.settings.max_body)
        await self._accounts.limit(req, resp)
        await self._accounts.prove(user, body.password)
        await self._erase(req, user, user)
        resp.status = 204


class EraseUser(_Erasure):
    @route(
        "eraseUser",
        "Erase a user's account and everything private about them",
        "admin",
        {204: None},
        _REFUSALS,
        appends=True,
    )
    async def on_post(self, req: Request, resp: Response, user: bytes) -> None:
        """As when the users do it themselves; also for voters who never had an account."""
        by = self._services.user(req)
        await self._services.require_role(by, "admin")
        await self._erase(req, user, by)
        resp.status = 204
