"""Accounts: registering, logging in and changing a password, each behind an e-mailed code.

Whoever asks learns nothing about whether an address has an account: the same work is done, the same answer given, and
mail goes out in the background.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request, Response
from psycopg import AsyncConnection

from ..ledger.entry import decode_map
from ..ledger.submit import Unavailable
from ..projections import queries
from ..projections.private import address_in
from ..voting import commands as c
from . import mail
from .codes import ENTER, RESET, Pending, wrong_code
from .passwords import check_strength
from .problems import Refused
from .services import Services, derive_id

log = logging.getLogger("ballot.auth")

USER_BYTES = 16


@dataclass(frozen=True)
class Person:
    """A user as shown to themselves."""

    user: bytes
    address: str
    roles: list[str]


class Accounts:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._tag = services.deps.vault.address_tag

    async def limit(self, req: Request, resp: Response, address: str = "") -> None:
        """Counts a request that costs a password hash or a mail. Raises Refused(TooManyRequests), RedisError."""
        limits, allowed = self._services.limits, self._services.settings.limits
        await limits.take(resp, allowed["client"], "client", self._client(req))
        if address:
            await limits.take(resp, allowed["address"], f"address {req.path}", address)

    def _client(self, req: Request) -> str:
        if self._services.settings.trust_forwarded:
            forwarded = (req.get_header("X-Forwarded-For") or "").rpartition(",")[2].strip()
            if forwarded:
                return forwarded
        client = req.scope.get("client") or ("",)
        return str(client[0])

    async def _confirmed(self, address: str) -> queries.Account | None:
        """The address's account, if a password was ever set for it."""
        async with self._services.reading() as connection:
            account = await queries.account_by_tag(connection, self._tag(address))
        return account if account is not None and account.password_at else None

    async def _stored_password(self, account: queries.Account | None) -> bytes | None:
        # Asked also for an account that is not there, so that it takes as long.
        index = account.password_at if account is not None and account.password_at else 0
        async with self._services.reading() as connection:
            stored = (await self._services.private.fields(connection, index)).get("password_hash")
        return bytes(stored) if stored is not None else None

    # -- asking for a code

    async def register(self, address: str, password: str) -> bytes:
        """The challenge. The account is recorded once the code is confirmed."""
        check_strength(password, address)
        known = await self._confirmed(address)
        hashed = await self._services.passwords.hash(password)
        user, command = secrets.token_bytes(USER_BYTES), secrets.token_bytes(16)
        what = "register" if known is None else "taken"
        return await self._challenge(ENTER, Pending(what, address, self._tag(address), user, hashed, command))

    async def login(self, address: str, password: str) -> bytes:
        """The challenge. Raises Refused(WrongCredentials)."""
        known = await self._confirmed(address)
        stored = await self._stored_password(known)
        if not await self._services.passwords.check(password, stored) or known is None:
            log.info("login refused")
            raise Refused("WrongCredentials", "address or password is wrong")
        log.info("password accepted")
        return await self._challenge(ENTER, Pending("login", address, known.tag, known.user_id))

    async def forgot(self, address: str) -> bytes:
        """The challenge of a password reset; nobody gets its code when there is no such account."""
        known = await self._confirmed(address)
        what, user = ("nobody", b"") if known is None else ("reset", known.user_id)
        return await self._challenge(RESET, Pending(what, address, self._tag(address), user))

    async def resend(self, challenge: bytes) -> None:
        pending, code = await self._services.codes.renew(challenge)
        self._mail(pending, code)

    async def _challenge(self, use: str, pending: Pending) -> bytes:
        challenge, code = await self._services.codes.open(use, pending)
        self._mail(pending, code)
        return challenge

    def _mail(self, pending: Pending, code: str) -> None:
        outbox, minutes = self._services.outbox, self._services.settings.code_lifetime_s // 60
        if pending.what == "taken":
            outbox.post(pending.address, "You already have an account", mail.TAKEN_TEXT)
        elif pending.what != "nobody":
            outbox.post(pending.address, "Your code", mail.code_text(code, minutes))

    # -- confirming it

    async def enter(self, challenge: bytes, code: str) -> Person:
        """Logs in, or records the new account. Raises Refused(WrongCode, CodeExpired, AddressTaken), Unavailable."""
        codes = self._services.codes
        pending = await codes.check(ENTER, challenge, code)
        if pending.what == "login":
            user = pending.user
        elif pending.what == "register":
            try:
                user = await self._record(pending)
            except Unavailable:
                await codes.restore(ENTER, challenge, code, pending)
                raise
        else:
            raise wrong_code()
        log.info("code accepted", extra={"use": pending.what, "user": user.hex()})
        async with self._services.reading() as connection:
            return Person(user, pending.address, await queries.roles(connection, user))

    async def _record(self, pending: Pending) -> bytes:
        command = c.RegisterUser(pending.command, pending.user, pending.tag, pending.address, pending.password_hash)
        answer = await self._services.submit(command)
        return bytes(decode_map(answer.public)["user"])

    async def reset(self, challenge: bytes, code: str, password: str) -> None:
        """Sets a new password and ends every login. Raises Refused(WrongCode, CodeExpired), Unavailable."""
        check_strength(password)
        codes = self._services.codes
        pending = await codes.check(RESET, challenge, code)
        if pending.what != "reset":
            raise wrong_code()
        hashed = await self._services.passwords.hash(password)
        try:
            await self._set_password(secrets.token_bytes(16), pending.user, pending.tag, pending.address, hashed)
        except Unavailable:
            await codes.restore(RESET, challenge, code, pending)
            raise

    async def change_password(self, req: Request, user: bytes, old: str, new: str) -> None:
        """Raises Refused(WrongCredentials, WeakPassword), Unavailable."""
        check_strength(new)
        async with self._services.reading() as connection:
            account = await queries.account_by_user(connection, user)
            address = await self._address(connection, account)
        if not await self._services.passwords.check(old, await self._stored_password(account)) or account is None:
            raise Refused("WrongCredentials", "the old password is wrong")
        hashed = await self._services.passwords.hash(new)
        await self._set_password(derive_id(req, user), user, account.tag, address, hashed)

    async def _set_password(self, command: bytes, user: bytes, tag: bytes, address: str, hashed: bytes) -> None:
        await self._services.submit(c.ChangePassword(command, user, tag, hashed))
        await self._services.refresh_tokens.revoke_all(user)
        self._services.outbox.post(address, "Your password was changed", mail.CHANGED_TEXT)
        log.info("password changed", extra={"user": user.hex()})

    # -- looking

    async def person(self, user: bytes) -> Person:
        """Raises Refused(UnknownUser)."""
        async with self._services.reading() as connection:
            account = await queries.account_by_user(connection, user)
            address = await self._address(connection, account)
            return Person(user, address, await queries.roles(connection, user))

    async def address_of(self, user: bytes) -> str:
        """Raises Refused(UnknownUser)."""
        async with self._services.reading() as connection:
            return await self._address(connection, await queries.account_by_user(connection, user))

    async def _address(self, connection: AsyncConnection[Any], account: queries.Account | None) -> str:
        if account is None:
            raise Refused("UnknownUser", "there is no such user")
        hidden = await self._services.private.fields(connection, account.address_at)
        address = address_in(hidden, account.tag)
        if address is None:
            raise Refused("UnknownUser", "the address of this user was erased")
        return address
