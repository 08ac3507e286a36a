"""Mail to drill accounts: kept in Redis for a few minutes instead of being sent.

Their addresses end in `.invalid`, which no mail server will ever serve (RFC 2606, section 2): nobody real can have one.
"""

from __future__ import annotations

import asyncio
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Protocol

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

DOMAIN = "@drill.invalid"
KEPT_S = 600
WAIT_S = 20.0
POLL_S = 0.05

_CODE = re.compile(r"\b(\d{6})\b")


class Mailer(Protocol):
    def send(self, message: EmailMessage) -> None: ...


class DrillMailer:
    """Hands on every message but those to drill accounts. Blocks, as the mailer behind it does."""

    def __init__(self, mailer: Mailer, redis: Redis) -> None:
        self._mailer, self._redis = mailer, redis

    def send(self, message: EmailMessage) -> None:
        address = str(message["To"])
        if not address.endswith(DOMAIN):
            self._mailer.send(message)
            return
        key = _key(address)
        self._redis.rpush(key, message.as_bytes())
        self._redis.expire(key, KEPT_S)


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
