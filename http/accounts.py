"""Accounts: registering, logging in and changing a password, each behind an e-mailed code.

Whoever asks learns nothing about whether an address has an account: the same work is done, the same answer given, and
mail goes out in the background.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request, Response
from psycopg import AsyncConnection

from ..ledger.entry import decode_map
from ..ledger.submit import Unavailable
from ..mail.letter import Language
from ..projections import queries
from ..projections.private import address_in
from ..voting import commands as c
from .codes import ENTER, RESET, Asked, Pending, Use, wrong_code
from .parse import b64
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

    async def limit(self, req: Request, resp: Response) -> None:
        """Counts a request that may cost a password hash or a mail. Raises Refused(TooManyRequests), RedisError."""
        await self._services.limits.take(resp, self._services.settings.limits["client"], "client", self._client(req))

    def _client(self, req: Request) -> str:
        forwarded = (req.get_header("X-Forwarded-For") or "").rpartition(",")[2].strip()
        if not (self._services.settings.trust_forwarded and forwarded):
            forwarded = str((req.scope.get("client") or ("",))[0])
        return network_of(forwarded)

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

    async def register(self, address: str, password: str, language: Language) -> bytes:
        """The challenge. The account is recorded once the code is confirmed."""
        check_strength(password, address)
        known = await self._confirmed(address)
        hashed = await self._services.passwords.hash(password)
        user, command = secrets.token_bytes(USER_BYTES), secrets.token_bytes(16)
        what = "register" if known is None else "taken"
        pending = Pending(what, address, self._tag(address), user, hashed, command)
        return await self._challenge("register", pending, language)

    async def login(self, req: Request, address: str, password: str, device: str, language: Language) -> bytes:
        """The challenge. Raises Refused(WrongCredentials, TooManyRequests)."""
        tag, guesses = self._tag(address), self._services.guesses
        guess = await guesses.begin(b64(tag), self._client(req), self._services.devices.known(tag, device))
        known = await self._confirmed(address)
        stored = await self._stored_password(known)
        if not await self._services.passwords.check(password, stored) or known is None:
            log.info("login refused")
            raise Refused("WrongCredentials", "address or password is wrong")
        await guesses.right(guess)
        log.info("password accepted")
        pending = Pending("login", address, known.tag, known.user_id, password_at=known.password_at or 0)
        return await self._challenge("login", pending, language)

    async def forgot(self, address: str, language: Language) -> bytes:
        """The challenge of a password reset; nobody gets its code when there is no such account."""
        known = await self._confirmed(address)
        if known is None:
            pending = Pending("nobody", address, self._tag(address), bytes(USER_BYTES))
        else:
            pending = Pending("reset", address, known.tag, known.user_id, password_at=known.password_at or 0)
        return await self._challenge("reset", pending, language)

    async def resend(self, challenge: bytes, language: Language) -> int:
        """Mails the challenge's code again; for how many seconds it is good."""
        pending, code, left_s = await self._services.codes.renew(challenge)
        self._mail(pending, code, left_s, language)
        return left_s

    async def _challenge(self, use: Use, pending: Pending, language: Language) -> bytes:
        opened = await self._services.codes.open(use, pending)
        if opened.mail:
            self._mail(pending, opened.code, self._services.settings.code_lifetime_s, language)
        return opened.challenge

    def _mail(self, pending: Pending, code: str, left_s: int, language: Language) -> None:
        outbox = self._services.outbox
        if pending.what == "taken":
            outbox.post(pending.address, "taken", language)
        else:
            post = outbox.pretend if pending.what == "nobody" else outbox.post
            post(pending.address, "code", language, code=code, minutes=str(max(1, left_s // 60)))

    # -- confirming it

    async def enter(self, challenge: bytes, code: str, key: str | None) -> Person:
        """Logs in, or records the new account; once more for who asks again under the same Idempotency-Key.

        Raises Refused(WrongCode, CodeExpired, AddressTaken), Unavailable.
        """
        codes = self._services.codes
        asked = Asked(challenge, code, key) if key else None
        if asked and (user := await codes.remembered(asked)) is not None:
            try:
                return await self.person(user)
            except Refused as error:
                raise Refused("CodeExpired", "the account was erased since") from error
        person = await self._enter(challenge, code)
        if asked:
            await codes.remember(asked, person.user)
        return person

    async def _enter(self, challenge: bytes, code: str) -> Person:
        codes = self._services.codes
        taken = await codes.check(ENTER, challenge, code)
        pending = taken.pending
        if pending.what == "login":
            await self._refuse_outdated(pending)
            user = pending.user
        elif pending.what == "register":
            try:
                user = await self._record(pending)
            except Unavailable:
                await codes.restore(taken)
                raise
        else:
            raise wrong_code()
        log.info("code accepted", extra={"use": pending.what, "user": user.hex()})
        async with self._services.reading() as connection:
            return Person(user, pending.address, await queries.roles(connection, user))

    async def _refuse_outdated(self, pending: Pending) -> None:
        """Whoever knew the old password gets nothing for it once there is a new one."""
        known = await self._confirmed(pending.address)
        if known is None or known.user_id != pending.user or (known.password_at or 0) > pending.password_at:
            raise Refused("CodeExpired", "the password was changed since, or the account erased")

    async def _record(self, pending: Pending) -> bytes:
        command = c.RegisterUser(pending.command, pending.user, pending.tag, pending.address, pending.password_hash)
        answer = await self._services.submit(command)
        return bytes(decode_map(answer.public)["user"])

    async def reset(self, challenge: bytes, code: str, password: str, key: str | None, language: Language) -> str:
        """Sets a new password and ends every login; a device token, for the mailbox is proven.

        Raises Refused(WrongCode, CodeExpired, WeakPassword, IdempotencyKeyReused), Unavailable.
        """
        check_strength(password)
        codes = self._services.codes
        asked = Asked(challenge, code, key, password.encode()) if key else None
        if asked and (tag := await codes.remembered(asked)) is not None:
            return self._services.devices.issue(tag)
        tag = await self._reset(challenge, code, password, language)
        if asked:
            await codes.remember(asked, tag)
        return self._services.devices.issue(tag)

    async def _reset(self, challenge: bytes, code: str, password: str, language: Language) -> bytes:
        codes = self._services.codes
        taken = await codes.check(RESET, challenge, code)
        pending = taken.pending
        if pending.what != "reset":
            raise wrong_code()
        await self._refuse_outdated(pending)
        hashed = await self._services.passwords.hash(password)
        try:
            await self._set_password(taken.nonce, pending.user, pending.tag, pending.address, hashed, language)
        except Unavailable:
            await codes.restore(taken)
            raise
        return pending.tag

    async def change_password(self, req: Request, user: bytes, old: str, new: str, language: Language) -> Person:
        """Ends every login. Raises Refused(WrongCredentials, WeakPassword, TooManyRequests), Unavailable."""
        check_strength(new)
        account = await self.prove(user, old)
        async with self._services.reading() as connection:
            address = await self._address(connection, account)
        hashed = await self._services.passwords.hash(new)
        await self._set_password(derive_id(req, user), user, account.tag, address, hashed, language)
        return await self.person(user)

    async def prove(self, user: bytes, password: str) -> queries.Account:
        """Who has an access token is no stranger, but may have found it on somebody else's table.

        Raises Refused(WrongCredentials, TooManyRequests, InvalidToken).
        """
        guess = await self._services.guesses.begin(b64(user), "", "signed in")
        async with self._services.reading() as connection:
            account = await queries.account_by_user(connection, user)
        right = await self._services.passwords.check(password, await self._stored_password(account))
        if account is None:
            raise _erased()
        if not right:
            raise Refused("WrongCredentials", "the password is wrong")
        await self._services.guesses.right(guess)
        return account

    async def _set_password(
        self, command: bytes, user: bytes, tag: bytes, address: str, hashed: bytes, language: Language
    ) -> None:
        await self._services.submit(c.ChangePassword(command, user, tag, hashed))
        await self._services.refresh_tokens.revoke_all(user)
        self._services.outbox.post(address, "changed", language)
        log.info("password changed", extra={"user": user.hex()})

    def device(self, address: str) -> str:
        """A token for a device that confirmed a code of this address."""
        return self._services.devices.issue(self._tag(address))

    # -- looking

    async def person(self, user: bytes) -> Person:
        """Whom a token stands for. Raises Refused(InvalidToken)."""
        async with self._services.reading() as connection:
            account = await queries.account_by_user(connection, user)
            address = await self._address(connection, account)
            return Person(user, address, await queries.roles(connection, user))

    async def _address(self, connection: AsyncConnection[Any], account: queries.Account | None) -> str:
        if account is None:
            raise _erased()
        hidden = await self._services.private.fields(connection, account.address_at)
        address = address_in(hidden, account.tag)
        if address is None:
            raise _erased()
        return address


def _erased() -> Refused:
    """Tokens are not looked up anywhere, so one may outlive its account."""
    return Refused("InvalidToken", "the account that this token stands for was erased")


def network_of(address: str) -> str:
    """Whom an IP address belongs to, as far as limits go: itself, or its /64, which is what one holder of IPv6 has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
