"""/api/users/{id}/roles: who may organise, be a trustee, or administer."""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from falcon.asgi import Request, Response

from ..voting import commands as c
from .describe import route
from .parse import B64, answer, read_json
from .services import Services, derive_id

Text = Annotated[str, msgspec.Meta(max_length=1024)]


class RoleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Text


class UserRole(msgspec.Struct, frozen=True):
    """What was given or taken away."""

    user_id: B64
    role: str


class Roles:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "grantRole",
        "Give a user a role",
        "admin",
        {200: UserRole},
        "UnknownRole UnknownUser MalformedCommand",
        body=RoleBody,
        appends=True,
    )
    async def on_post(self, req: Request, resp: Response, user: bytes) -> None:
        by = self._services.user(req)
        body = await read_json(req, RoleBody, self._services.settings.max_body)
        await self._services.require_role(by, "admin")
        await self._services.submit(c.GrantRole(derive_id(req, by, body.role), user, body.role, by))
        answer(resp, UserRole(B64(user), body.role))


class Role:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "withdrawRole",
        "Take a role away",
        "admin",
        {200: UserRole},
        "RoleNotHeld MalformedCommand",
    )
    async def on_delete(self, req: Request, resp: Response, user: bytes, role: str) -> None:
        """It counts from the next request on: roles are read each time, and no token carries them."""
        by = self._services.user(req)
        await self._services.require_role(by, "admin")
        await self._services.submit(c.WithdrawRole(secrets.token_bytes(16), user, role, by))
        answer(resp, UserRole(B64(user), role))
