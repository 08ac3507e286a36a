"""An account: register, confirm the e-mailed code, log in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .api import Api, unb64

# Gives the next code e-mailed to an address that it has not given before.
Codes = Callable[[str], Awaitable[str]]


class Account:
    """One person's account. `id` is the 16-byte user id, known after the first confirmed code."""

    def __init__(self, api: Api, email: str, password: str, codes: Codes) -> None:
        self.api = api
        self.email = email
        self._password = password
        self._codes = codes
        self.refresh_token = ""
        self.id = b""
        self.roles: list[str] = []

    async def register(self) -> None:
        """Makes the account; it exists once the e-mailed code is confirmed. Raises Refused, NoAnswer."""
        await self._enter("/api/auth/register")

    async def login(self) -> None:
        """Raises Refused (WrongCredentials, WrongCode, CodeExpired), NoAnswer."""
        await self._enter("/api/auth/login")

    async def refresh(self) -> None:
        """A new access token for the refresh token, which is used up. Raises Refused (InvalidToken), NoAnswer."""
        reply = await self.api.ask("POST", "/api/auth/refresh", {"refresh_token": self.refresh_token})
        self._take(reply.json())

    async def me(self) -> dict[str, Any]:
        """{id, email, roles, identity_key}. Raises Refused, NoAnswer."""
        fields: dict[str, Any] = (await self.api.ask("GET", "/api/auth/me")).json()
        return fields

    async def _enter(self, path: str) -> None:
        reply = await self.api.ask("POST", path, {"email": self.email, "password": self._password})
        challenge = reply.json()["challenge"]
        code = await self._codes(self.email)
        reply = await self.api.ask("POST", "/api/auth/otp/verify", {"challenge": challenge, "code": code})
        self._take(reply.json())

    def _take(self, tokens: dict[str, Any]) -> None:
        self.api.bearer, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        self.id = unb64(tokens["user"]["id"])
        self.roles = list(tokens["user"]["roles"])
