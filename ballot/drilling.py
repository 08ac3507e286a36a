"""Drills put together from a node's settings, for `ballot drill` and for `/api/_diag/drills`."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from .config import Settings
from .drills.record import Report
from .drills.runner import Busy, Drills, ElectionRunning, Outsider, Tell
from .drills.stage import Parts
from .http.deps import Pool, make_pool, make_redis
from .http.drafts import decode_draft
from .http.problems import Refused
from .ledger.client import LedgerClient
from .projections import queries

MOST_OPEN = 1000


def make_drills(
    settings: Settings, ledger: LedgerClient, db: Pool, redis: Redis, tell: Tell = lambda drill, step: None
) -> Drills:
    """Without BALLOT_API, only this node's own API is known."""
    host, port = settings.http
    urls = settings.api or {settings.node: f"http://{host}:{port}"}
    parts = Parts(settings.node, urls, ledger, redis, settings.genesis())

    async def open_titles() -> Sequence[str]:
        async with db.connection() as connection:
            page = await queries.list_seen(connection, b"", status="open", before=2**62, limit=MOST_OPEN)
        return [decode_draft(seen.election.draft).title for seen in page]

    return Drills(parts, open_titles, tell)


class HttpDrills:
    """Drills as the API sees them: who may not run one is refused by name."""

    names = Drills.names

    def __init__(self, drills: Drills) -> None:
        self._drills = drills

    async def run(self, name: str, *, force: bool, gently: bool) -> Report:
        """Raises Refused."""
        try:
            return await self._drills.run(name, force=force, gently=gently)
        except ElectionRunning as error:
            raise Refused("ElectionRunning", f"{error}; send force to run it all the same") from error
        except Outsider as error:
            raise Refused("NotAMember", str(error)) from error
        except Busy as error:
            raise Refused("DrillRunning", str(error)) from error


async def run_drills(
    settings: Settings, names: Sequence[str], *, force: bool, gently: bool, tell: Tell
) -> list[Report]:
    """Runs these one after the other, as the operator of a node. Raises ElectionRunning, Outsider, Unavailable."""
    ledger, db, redis = LedgerClient(settings.socket), make_pool(settings.dsn), make_redis(settings.redis_url)
    await db.open()
    try:
        drills = make_drills(settings, ledger, db, redis, tell)
        return [await drills.run(name, force=force, gently=gently) for name in names]
    finally:
        ledger.close()
        await db.close()
        await redis.aclose()
