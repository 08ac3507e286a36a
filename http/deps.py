"""What the app is given: settings, connections and keys. Nothing here reads a file or the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..ledger.client import LedgerClient
from ..ledger.vault import Vault
from ..ledger.witness import Witness
from ..mail.transport import Mailer
from .limits import Limit
from .tokens import TokenKey

Pool = AsyncConnectionPool[AsyncConnection[Any]]

REDIS_TIMEOUT_S = 0.3
# The pool tries after a second, then after twice as long each time, and would find a database that was away for a
# minute up to a minute late. After so long it gives up instead, and the next request makes it try at once.
RECONNECT_S = 2.0


def _limits() -> Mapping[str, Limit]:
    return {
        "client": Limit(100, 600),
        "guess-client": Limit(5, 600),
        "guess-account": Limit(50, 3600),
        "guess-device": Limit(10, 3600),
        "wrong-code": Limit(20, 86_400),
    }


@dataclass(frozen=True)
class Settings:
    """`limits`: how often one client may ask in /api/auth; how many wrong passwords an account stands from one client
    address, from all that are strangers to it, and from one device that is not; after how many wrong codes the codes of
    an address get longer. `votes_per_second` is what
    one worker takes of casts from everybody together, 0 for no limit; `at_once` how many ballots and credentials it has
    under way. `trust_forwarded` takes a client's address from
    the last X-Forwarded-For, for nodes behind a proxy of their own. `turnout_s`: in which steps events tell turnout.
    `witnesses`: whose cosignatures are taken and shown.
    `site` is where invitations send people.
    """

    node: int
    issuer: str
    audience: str = "ballot"
    access_lifetime_s: int = 900
    refresh_lifetime_s: int = 14 * 86_400
    code_lifetime_s: int = 600
    bcrypt_cost: int = 12
    mail_sender: str = "ballot@localhost"
    site: str = ""
    mailbox: Path | None = None
    mutex: bool = True
    votes_per_second: int = 0
    at_once: int = 200
    trust_forwarded: bool = False
    turnout_s: int = 20
    witnesses: tuple[Witness, ...] = ()
    max_body: int = 64 * 1024
    max_roll: int = 8 * 1024 * 1024
    max_ballot: int = 256 * 1024
    limits: Mapping[str, Limit] = field(default_factory=_limits)


class DrillRunner(Protocol):
    """Runs one drill at a time."""

    names: tuple[str, ...]

    async def run(self, name: str, *, force: bool, gently: bool) -> Any:
        """The report, ready to be shown as JSON. Raises Refused (DrillRunning, ElectionRunning)."""


@dataclass(frozen=True)
class Deps:
    """`otp_key`: 32 random bytes under which one-time codes and rate-limit names are hashed, the same on all nodes."""

    settings: Settings
    ledger: LedgerClient
    db: Pool
    redis: Redis
    vault: Vault = field(repr=False)
    jwt_keys: Sequence[TokenKey] = field(repr=False)
    otp_key: bytes = field(repr=False)
    mailer: Mailer
    drills: DrillRunner | None = None


def make_pool(dsn: str, size: int = 8) -> Pool:
    """A pool of connections to this node's database, each statement its own transaction. The app opens it."""
    return AsyncConnectionPool(
        dsn,
        connection_class=AsyncConnection[Any],
        min_size=1,
        max_size=size,
        timeout=5.0,
        reconnect_timeout=RECONNECT_S,
        open=False,
        kwargs={"autocommit": True, "options": "-c default_transaction_read_only=on"},
    )


def make_redis(url: str, timeout_s: float = REDIS_TIMEOUT_S) -> Redis:
    """A client that gives up quickly and never tries again by itself: the callers know what to do without Redis."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=256,
    )
