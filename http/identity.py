"""/api/auth/identity-key: the key with which a voter asks for credentials."""

from __future__ import annotations

from typing import Annotated

import msgspec
from falcon.asgi import Request, Response

from ..ledger import rsa
from ..ledger.frame import frame
from ..projections import queries
from ..voting import commands as c
from ..voting.keycheck import WeakKey, check_long_lived_key
from .accounts import Accounts
from .describe import route
from .parse import B64, answer, read_json
from .problems import Refused
from .services import Services


class IdentityKeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`signature` is PSS(identity, F(identity-key, user_id, n)). `password` is asked for where a key is in force."""

    n: B64
    signature: B64
    password: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class PastKey(msgspec.Struct, frozen=True):
    """A key and the entry that enrolled it."""

    n: B64
    enrolled_at: int


class IdentityKey(msgspec.Struct, frozen=True):
    """`n` is the key in force, the only one that may ask for a credential; `keys` are all, the oldest first."""

    user_id: B64
    n: B64
    keys: list[PastKey]


class IdentityKeys:
    def __init__(self, services: Services, accounts: Accounts) -> None:
        self._services, self._accounts = services, accounts

    @route("identityKey", "All identity keys, and which is in force", "user", {200: IdentityKey}, "NoIdentityKey")
    async def on_get(self, req: Request, resp: Response) -> None:
        user = self._services.user(req)
        await self._show(resp, user)

    async def _show(self, resp: Response, user: bytes) -> None:
        async with self._services.reading() as connection:
            keys = await queries.identity_keys(connection, user)
        if not keys:
            raise Refused("NoIdentityKey", "no identity key is enrolled")
        past = [PastKey(B64(key.n), key.enrolled_at) for key in keys]
        answer(resp, IdentityKey(B64(user), past[-1].n, past))

    @route(
        "enrolIdentityKey",
        "Enrol an identity key",
        "user",
        {200: IdentityKey},
        "WeakKey BadSignature UnknownUser KeySuperseded KeyReused NoIdentityKey TooLarge WrongCredentials",
        body=IdentityKeyBody,
        limited=True,
    )
    async def on_put(self, req: Request, resp: Response) -> None:
        user = self._services.user(req)
        body = await read_json(req, IdentityKeyBody, self._services.settings.max_body)
        try:
            check_long_lived_key(body.n)
            rsa.verify(body.n, body.signature, frame("identity-key", user, body.n))
        except WeakKey as error:
            raise Refused("WeakKey", f"the identity key is refused: {error}") from error
        except rsa.BadSignature as error:
            raise Refused("BadSignature", "the identity key did not sign its own enrolment") from error
        async with self._services.reading() as connection:
            in_force = await queries.identity_key(connection, user)
        if in_force is not None and in_force != body.n:
            # Whoever has this key votes in the user's place: an access token alone is not enough.
            await self._accounts.prove(user, body.password)
        await self._services.submit(c.EnrolIdentityKey(user, bytes(body.n), bytes(body.signature)))
        await self._show(resp, user)
