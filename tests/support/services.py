"""Real servers for tests that need no more than one of them, and what an app is made of without any."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from redis.asyncio import Redis

from ballot.embedded import EmbeddedRedis
from ballot.http.deps import Deps, Settings, make_pool, make_redis
from ballot.http.tokens import TokenKey
from ballot.ledger import rsa
from ballot.ledger.client import Answer, LedgerClient
from ballot.ledger.submit import Unavailable
from ballot.ledger.vault import Vault
from ballot.mail.transport import Outcome, Session
from ballot.ports import free_port
from tests.support.waiting import PATIENCE_S

T = TypeVar("T")


def running_redis() -> Iterator[EmbeddedRedis]:
    """A server of its own; to be made a fixture."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        yield server
        server.stop()


def with_redis(url: str, work: Callable[[Redis], Awaitable[T]], timeout_s: float = PATIENCE_S) -> T:
    """Runs `work` with a client as the app has it, but for its patience: no machine shall be too slow for Redis."""

    async def run() -> T:
        redis = make_redis(url, timeout_s)
        try:
            return await work(redis)
        finally:
            await redis.aclose()

    return asyncio.run(run())


class Outbound:
    """Keeps what would be mailed."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    @contextmanager
    def session(self) -> Iterator[Session]:
        yield self

    def send(self, message: EmailMessage) -> Outcome:
        self.messages.append(message)
        return Outcome("sent")


class StubLedger(LedgerClient):
    """A ledger process that has applied so much and answers commands as told; None: it is not there."""

    def __init__(self, applied: int = 7) -> None:
        super().__init__(Path("nowhere"))
        self.applied: int | None = applied
        self.member = True
        self.answer: Answer | None = None
        self.asked: list[str] = []

    def _applied(self) -> int:
        if self.applied is None:
            raise Unavailable("this node's ledger process does not answer")
        return self.applied

    async def call(self, method: str, argument: Any = None) -> Any:
        self.asked.append(method)
        applied = self._applied()
        if method == "wait" and argument[0] > applied:
            raise Unavailable("TimeoutError")
        if method == "read_index" and not self.member:
            raise Unavailable("NotLeader")
        if method == "status":
            place = {"term": 1, "commit": applied, "applied": applied}
            return {"node": 1, "role": "leader", "leader": int(self.member), "member": self.member, **place}
        return b"" if method == "checkpoint" else applied

    async def submit(self, command: bytes, *, receipt: bool = False, timeout_s: float = 8.0) -> Answer:
        self.asked.append("submit")
        self._applied()
        assert self.answer is not None
        return self.answer


@cache
def jwt_key() -> RSAPrivateKey:
    return rsa.generate(2048)


def make_deps(ledger: LedgerClient, **settings: Any) -> Deps:
    """An app's parts with neither a database nor a Redis behind them."""
    return Deps(
        settings=Settings(node=1, issuer="ballot.test", bcrypt_cost=4, **settings),
        ledger=ledger,
        db=make_pool("host=127.0.0.1 port=1 connect_timeout=1"),
        redis=make_redis(f"redis://127.0.0.1:{free_port()}/0"),
        vault=Vault(bytes(32)),
        jwt_keys=[TokenKey(jwt_key())],
        otp_key=bytes(32),
        mailer=Outbound(),
    )
