"""An account: register, confirm the e-mailed code, log in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from .api import Api, b64, unb64

# Gives the next code e-mailed to an address that it has not given before.
Codes = Callable[[str], Awaitable[str]]


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a login leaves to its client: with the tokens one acts for `user` (16 bytes) until they end.

    `device` opens nothing; sent along at the next login it says that this client is no stranger.
    """

    user: bytes
    access: str
    refresh: str
    device: str


class Account:
    """One person's account. `id` is the 16-byte user id, known after the first confirmed code."""

    def __init__(self, api: Api, email: str, password: str, codes: Codes) -> None:
        self.api = api
        self.email = email
        self._password = password
        self._codes = codes
        self.refresh_token = ""
        self._device = ""
        self.id = b""
        self.roles: list[str] = []

    @property
    def kept(self) -> Login:
        """For a later `resume`. It opens the account: to be stored where only its owner reads."""
        return Login(user=self.id, access=self.api.bearer, refresh=self.refresh_token, device=self._device)

    def resume(self, login: Login) -> None:
        """Takes up a login of an earlier run, or only its `device` for the next one."""
        self.id, self.api.bearer, self.refresh_token = login.user, login.access, login.refresh
        self._device = login.device

    async def register(self) -> None:
        """Makes the account; it exists once the e-mailed code is confirmed. Raises Refused, NoAnswer."""
        await self._enter("/api/auth/register", {})

    async def login(self) -> None:
        """Raises Refused (WrongCredentials, WrongCode, CodeExpired), NoAnswer."""
        await self._enter("/api/auth/login", {"device": self._device})

    async def refresh(self) -> None:
        """A new access token for the refresh token, which is used up. Raises Refused (InvalidToken), NoAnswer."""
        reply = await self.api.ask("POST", "/api/auth/refresh", {"refresh_token": self.refresh_token})
        self._take(reply.json())

    async def logout(self) -> None:
        """Ends this login. Raises NoAnswer."""
        await self.api.ask("POST", "/api/auth/logout", {"refresh_token": self.refresh_token})

    async def change_password(self, new: str) -> None:
        """Ends every other login. Raises Refused (WrongCredentials, WeakPassword), NoAnswer."""
        fields = {"old_password": self._password, "new_password": new}
        self._take((await self.api.ask("POST", "/api/auth/password/change", fields)).json())
        self._password = new

    async def erase(self) -> None:
        """Ends the account and has everything private about the person erased. Raises Refused, NoAnswer.

        Refused(OnActiveRoll) while an election that is not over needs them.
        """
        await self.api.ask("POST", "/api/auth/erase", {"password": self._password})

    async def reset_password(self, new: str) -> None:
        """Sets a new password with an e-mailed code, and ends every login. Raises Refused, NoAnswer."""
        reply = await self.api.ask("POST", "/api/auth/password/forgot", {"email": self.email})
        fields = {"challenge": reply.json()["challenge"], "code": await self._codes(self.email), "password": new}
        reply = await self.api.ask("POST", "/api/auth/password/reset", fields)
        self._device = str(reply.json()["device"])
        self._password = new

    async def enrol_identity(self, n: bytes, proof: bytes) -> None:
        """Enrols a key; `proof` is PSS(identity, F(identity-key, id, n)). Raises Refused, NoAnswer."""
        # The password counts only where another key is in force.
        fields = {"n": b64(n), "signature": b64(proof), "password": self._password}
        await self.api.ask("PUT", "/api/auth/identity-key", fields)

    async def me(self) -> dict[str, Any]:
        """{id, email, roles, identity_key}. Raises Refused, NoAnswer."""
        fields: dict[str, Any] = (await self.api.ask("GET", "/api/auth/me")).json()
        return fields

    async def _enter(self, path: str, more: dict[str, str]) -> None:
        reply = await self.api.ask("POST", path, {"email": self.email, "password": self._password, **more})
        challenge = reply.json()["challenge"]
        code = await self._codes(self.email)
        reply = await self.api.ask("POST", "/api/auth/otp/verify", {"challenge": challenge, "code": code})
        self._take(reply.json())

    def _take(self, tokens: dict[str, Any]) -> None:
        self.api.bearer, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        self._device = str(tokens["device"])
        self.id = unb64(tokens["user"]["id"])
        self.roles = list(tokens["user"]["roles"])
