"""What all resources share, made once from what the app was given."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from falcon.asgi import Request
from psycopg import AsyncConnection

from ..ledger.client import Answer
from ..ledger.mutex import Mutex
from ..mail.outbox import Outbox
from ..projections import queries
from ..projections.private import PrivateReader
from ..voting.commands import AnyCommand, encode_command
from .codes import Codes
from .deps import Deps
from .devices import Devices
from .limits import Bucket, Gate, Guesses, Limits
from .opened import OpenedElections
from .passwords import Passwords
from .position import Position
from .problems import Refused
from .tokens import AccessTokens, RefreshTokens

log = logging.getLogger("ballot.http")


class Services:
    def __init__(self, deps: Deps) -> None:
        settings = deps.settings
        self.deps, self.settings = deps, settings
        self.tokens = AccessTokens(
            deps.jwt_keys,
            issuer=settings.issuer,
            audience=settings.audience,
            lifetime_s=settings.access_lifetime_s,
        )
        self.refresh_tokens = RefreshTokens(deps.redis, settings.refresh_lifetime_s)
        self.codes = Codes(
            deps.redis, deps.otp_key, deps.vault, settings.code_lifetime_s, settings.limits["wrong-code"]
        )
        self.limits = Limits(deps.redis, deps.otp_key)
        self.guesses = Guesses(deps.redis, deps.otp_key, settings.limits)
        self.devices = Devices(deps.otp_key)
        self.casts = Bucket(settings.votes_per_second)
        self.gate = Gate(settings.at_once)
        self.passwords = Passwords(settings.bcrypt_cost)
        self.outbox = Outbox(deps.mailer, settings.mail_sender)
        self.mutex = Mutex(deps.redis, node=settings.node, enabled=settings.mutex)
        self.private = PrivateReader(deps.vault)
        self.position = Position(deps.ledger)
        self.opened = OpenedElections(self.reading, self.private, deps.ledger, self.position)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection to this node's tables; what is read is covered by the answer's Ledger-Index."""
        async with self.deps.db.connection() as connection:
            yield connection
            self.position.note(await queries.applied(connection))

    async def submit(self, command: AnyCommand, *, receipt: bool = False) -> Answer:
        """Records a command. Raises Refused under the domain's name, Unavailable."""
        name = type(command).__name__
        answer = await self.deps.ledger.submit(encode_command(command), receipt=receipt)
        self.position.note(answer.index)
        if answer.refusal:
            log.info("refused by the ledger", extra={"command": name, "refusal": answer.refusal})
            raise Refused(answer.refusal, answer.detail)
        log.info("recorded", extra={"command": name, "new": answer.new})
        return answer

    def user(self, req: Request) -> bytes:
        """Whose access token the request carries. Raises Refused(NotAuthenticated, InvalidToken)."""
        scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("NotAuthenticated", "send an access token: Authorization: Bearer ...")
        user: bytes = self.tokens.user(token.strip())
        req.context.user = user
        return user

    async def require_role(self, user: bytes, role: str) -> None:
        """Raises Refused(RoleMissing). Roles are read each time, so taking one away needs no new token."""
        async with self.reading() as connection:
            held = await queries.roles(connection, user)
        if role not in held:
            raise Refused("RoleMissing", f"this needs the role {role}")


def derive_id(req: Request, user: bytes, part: str = "") -> bytes:
    """16 bytes for a command or a new id: the same for the same user, route and Idempotency-Key, else random."""
    key = req.get_header("Idempotency-Key")
    if key is None:
        return secrets.token_bytes(16)
    fields = (user, req.method.encode(), req.path.encode(), key.encode(), part.encode())
    digests = b"".join(hashlib.sha256(field).digest() for field in fields)
    return hashlib.sha256(digests).digest()[:16]
