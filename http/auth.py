"""/api/auth: registering, logging in, passwords and tokens."""

from __future__ import annotations

import logging
from typing import Annotated

import msgspec
from falcon.asgi import Request, Response

from ..mail.address import normal_address
from ..mail.letter import Language, choose_language
from ..projections import queries
from .accounts import Accounts, Person
from .describe import route
from .parse import B64, answer, matching, read_json
from .services import Services

log = logging.getLogger("ballot.auth")

Text = Annotated[str, msgspec.Meta(max_length=1024)]
Code = Annotated[str, matching("^([0-9]{6}|[0-9]{12})$", "6 or 12 digits")]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Credentials(_Body, frozen=True):
    email: Text
    password: Text


class LoginBody(_Body, frozen=True):
    """`device` is the token that an earlier login from here was answered with."""

    email: Text
    password: Text
    device: Text = ""


class Address(_Body, frozen=True):
    email: Text


class ChallengeOnly(_Body, frozen=True):
    challenge: B64


class CodeEntry(_Body, frozen=True):
    challenge: B64
    code: Code


class NewPassword(_Body, frozen=True):
    challenge: B64
    code: Code
    password: Text


class PasswordChange(_Body, frozen=True):
    old_password: Text
    new_password: Text


class RefreshBody(_Body, frozen=True):
    refresh_token: Text


class Challenge(msgspec.Struct, frozen=True):
    challenge: B64
    expires_in: int


class User(msgspec.Struct, frozen=True):
    id: B64
    email: str
    roles: list[str]


class Me(msgspec.Struct, frozen=True):
    id: B64
    email: str
    roles: list[str]
    identity_key: B64 | None


class TokenSet(msgspec.Struct, frozen=True):
    """`device`, kept and sent along at the next login, says that this client is no stranger; it opens nothing."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int
    user: User
    device: str


class Device(msgspec.Struct, frozen=True):
    device: str


class JwkSet(msgspec.Struct, frozen=True):
    keys: list[dict[str, str]]


def language_of(req: Request) -> Language:
    """In which language the one who asks wants mail."""
    return choose_language(req.get_header("Accept-Language") or "")


class _AuthResource:
    def __init__(self, services: Services, accounts: Accounts) -> None:
        self._services, self._accounts = services, accounts
        self._limit = services.settings.max_body

    def _challenged(self, resp: Response, challenge: bytes, left_s: int = 0) -> None:
        answer(resp, Challenge(B64(challenge), left_s or self._services.settings.code_lifetime_s), 202)

    def _tokens(self, resp: Response, person: Person, refresh_token: str) -> None:
        tokens = self._services.tokens
        user = User(B64(person.user), person.address, person.roles)
        resp.set_header("Cache-Control", "no-store")
        device = self._accounts.device(person.address)
        answer(resp, TokenSet(tokens.issue(person.user), refresh_token, "Bearer", tokens.lifetime_s, user, device))


class Register(_AuthResource):
    @route(
        "register",
        "Begin an account",
        "anyone",
        {202: Challenge},
        "BadAddress WeakPassword",
        body=Credentials,
        limited=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        body = await read_json(req, Credentials, self._limit)
        address = normal_address(body.email)
        await self._accounts.limit(req, resp)
        self._challenged(resp, await self._accounts.register(address, body.password, language_of(req)))


class Login(_AuthResource):
    @route(
        "login",
        "Log in: ask for a code",
        "anyone",
        {202: Challenge},
        "BadAddress WrongCredentials",
        body=LoginBody,
        limited=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        body = await read_json(req, LoginBody, self._limit)
        address = normal_address(body.email)
        await self._accounts.limit(req, resp)
        challenge = await self._accounts.login(req, address, body.password, body.device, language_of(req))
        self._challenged(resp, challenge)


class Codes(_AuthResource):
    """`send` mails a challenge's code again, `verify` confirms one."""

    @route(
        "sendCode",
        "Have the code mailed again",
        "anyone",
        {202: Challenge},
        "CodeExpired",
        body=ChallengeOnly,
        limited=True,
    )
    async def on_post_send(self, req: Request, resp: Response) -> None:
        body = await read_json(req, ChallengeOnly, self._limit)
        await self._accounts.limit(req, resp)
        self._challenged(resp, body.challenge, await self._accounts.resend(body.challenge, language_of(req)))

    @route(
        "verifyCode",
        "Log in: give the code",
        "anyone",
        {200: TokenSet},
        "CodeExpired WrongCode AddressTaken TooLarge",
        body=CodeEntry,
        appends=True,
        limited=True,
    )
    async def on_post_verify(self, req: Request, resp: Response) -> None:
        body = await read_json(req, CodeEntry, self._limit)
        await self._accounts.limit(req, resp)
        person = await self._accounts.enter(body.challenge, body.code, req.get_header("Idempotency-Key"))
        self._tokens(resp, person, await self._services.refresh_tokens.issue(person.user))


class Session(_AuthResource):
    """`refresh` and `logout`."""

    @route(
        "refresh",
        "Trade a refresh token for new tokens",
        "anyone",
        {200: TokenSet},
        "InvalidToken",
        body=RefreshBody,
    )
    async def on_post_refresh(self, req: Request, resp: Response) -> None:
        body = await read_json(req, RefreshBody, self._limit)
        user, token = await self._services.refresh_tokens.rotate(body.refresh_token)
        self._tokens(resp, await self._accounts.person(user), token)

    @route("logout", "End a login", "anyone", {204: None}, body=RefreshBody)
    async def on_post_logout(self, req: Request, resp: Response) -> None:
        body = await read_json(req, RefreshBody, self._limit)
        await self._services.refresh_tokens.revoke(body.refresh_token)
        resp.status = 204


class Password(_AuthResource):
    """`forgot`, `reset` and `change`. A new password ends every login; `change` is answered with a new one."""

    @route(
        "forgotPassword",
        "Ask for a code that resets the password",
        "anyone",
        {202: Challenge},
        "BadAddress",
        body=Address,
        limited=True,
    )
    async def on_post_forgot(self, req: Request, resp: Response) -> None:
        body = await read_json(req, Address, self._limit)
        address = normal_address(body.email)
        await self._accounts.limit(req, resp)
        self._challenged(resp, await self._accounts.forgot(address, language_of(req)))

    @route(
        "resetPassword",
        "Set a new password with a code",
        "anyone",
        {200: Device},
        "CodeExpired WrongCode WeakPassword UnknownUser TooLarge IdempotencyKeyReused",
        body=NewPassword,
        appends=True,
        limited=True,
    )
    async def on_post_reset(self, req: Request, resp: Response) -> None:
        body = await read_json(req, NewPassword, self._limit)
        await self._accounts.limit(req, resp)
        key = req.get_header("Idempotency-Key")
        device = await self._accounts.reset(body.challenge, body.code, body.password, key, language_of(req))
        answer(resp, Device(device))

    @route(
        "changePassword",
        "Set a new password with the old one",
        "user",
        {200: TokenSet},
        "WrongCredentials WeakPassword UnknownUser",
        body=PasswordChange,
        appends=True,
        limited=True,
    )
    async def on_post_change(self, req: Request, resp: Response) -> None:
        user = self._services.user(req)
        body = await read_json(req, PasswordChange, self._limit)
        await self._accounts.limit(req, resp)
        old, new = body.old_password, body.new_password
        person = await self._accounts.change_password(req, user, old, new, language_of(req))
        self._tokens(resp, person, await self._services.refresh_tokens.issue(user))


class Self(_AuthResource):
    """/me: the account that an access token stands for."""

    @route("me", "Who the access token stands for", "user", {200: Me})
    async def on_get(self, req: Request, resp: Response) -> None:
        user = self._services.user(req)
        person = await self._accounts.person(user)
        async with self._services.reading() as connection:
            n = await queries.identity_key(connection, user)
        answer(resp, Me(B64(user), person.address, person.roles, None if n is None else B64(n)))


class Jwks(_AuthResource):
    @route(
        "jwks",
        "The key that access tokens are signed with (RFC 7517)",
        "anyone",
        {200: JwkSet},
        current=False,
        etag=True,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        answer(resp, JwkSet(self._services.tokens.jwks))
