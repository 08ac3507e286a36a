"""Mail to drill accounts: kept in Redis for a few minutes instead of being sent.

Their addresses end in `.invalid`, which no mail server will ever serve (RFC 2606, section 2): nobody real can have one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from ..mail.transport import Mailer, Outcome, Session

DOMAIN = "@drill.invalid"
KEPT_S = 600
WAIT_S = 20.0
POLL_S = 0.05

_CODE = re.compile(r"\b(\d{6}|\d{12})\b")


class DrillMailer:
    """Hands on every message but those to drill accounts."""

    def __init__(self, mailer: Mailer, redis: Redis) -> None:
        self._mailer, self._redis = mailer, redis

    @contextmanager
    def session(self) -> Iterator[Session]:
        with self._mailer.session() as session:
            yield DrillSession(session, self._redis)


class DrillSession:
    def __init__(self, session: Session, redis: Redis) -> None:
        self._session, self._redis = session, redis

    def send(self, message: EmailMessage) -> Outcome:
        address = str(message["To"])
        if not address.endswith(DOMAIN):
            return self._session.send(message)
        try:
            self._redis.rpush(_key(address), message.as_bytes())
            self._redis.expire(_key(address), KEPT_S)
        except RedisError as error:
            return Outcome("deferred", type(error).__name__)
        return Outcome("sent")


class DrillPost:
    def __init__(self, redis: AsyncRedis) -> None:
        self._redis = redis

    async def code(self, address: str) -> str:
        """The next code that was mailed to this address. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            while True:
                mail = await self._redis.lpop(_key(address))
                found = _CODE.search(_text(mail)) if isinstance(mail, bytes) else None
                if found is not None:
                    return found[1]
                await asyncio.sleep(POLL_S)


def _text(mail: bytes) -> str:
    return str(message_from_bytes(mail, policy=policy.default).get_content())


def _key(address: str) -> str:
    return f"drill:mail:{address}"
