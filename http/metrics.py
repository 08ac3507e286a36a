"""What the HTTP workers count, all together, and /api/_diag/metrics, which adds the ledger process's figures.

Each worker keeps its numbers in a file of its own in `PROMETHEUS_MULTIPROC_DIR`; whichever is asked sums them up.
No figure is about one client or one request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator, Sequence
from typing import TypeVar

from falcon.asgi import Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from psycopg import Error as DatabaseError
from redis.exceptions import RedisError

from ..ledger.submit import Unavailable
from .describe import Media, route
from .services import Services

T = TypeVar("T")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
PROBE_TIMEOUT_S = 3.0
REQUEST_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

OWN = CollectorRegistry()
REQUESTS = Histogram(
    "ballot_http_request_seconds",
    "From a request's arrival to its answer.",
    ["method", "route", "status"],
    buckets=REQUEST_BUCKETS,
    registry=OWN,
)
CASTS = Counter("ballot_casts", "Casts by outcome: recorded, again, or why not.", ["outcome"], registry=OWN)


def note_request(req: Request, resp: Response, seconds: float, refusal: str | None) -> None:
    route, status = req.uri_template or "none", str(resp.status_code)
    REQUESTS.labels(req.method, route, status).observe(seconds)
    if route == "/api/votes" and req.method == "POST":
        CASTS.labels({"201": "recorded", "200": "again"}.get(status, refusal or status)).inc()


class Metrics:
    def __init__(self, services: Services) -> None:
        self._services = services

    @route(
        "metrics",
        "Figures for Prometheus",
        "anyone",
        {200: Media(CONTENT_TYPE, "the Prometheus text format")},
        current=False,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        deps = self._services.deps
        text, redis_up, database = await asyncio.gather(
            _or_none(deps.ledger.metrics()), _or_none(deps.redis.ping()), _or_none(self._database())
        )
        bytes_used, disputed = database or (0, 0)
        seen = _Seen(
            [
                ("ballot_ledger_up", "1 while this node's ledger process answers.", text is not None),
                ("ballot_redis_up", "1 while Redis answers this node.", redis_up is not None),
                ("ballot_postgres_up", "1 while this node's PostgreSQL answers.", database is not None),
                ("ballot_postgres_bytes", "The size of this node's database, 0 when it is not known.", bytes_used),
                ("ballot_elections_disputed", "Elections whose count a node attests otherwise.", disputed),
            ]
        )
        resp.content_type = CONTENT_TYPE
        resp.data = seen.text() + (text or b"") + _workers()

    async def _database(self) -> tuple[int, int]:
        """(bytes of the database, disputed elections)"""
        async with self._services.deps.db.connection(timeout=PROBE_TIMEOUT_S) as connection:
            cursor = await connection.execute(
                "select pg_database_size(current_database()), (select count(*) from elections where disputed)"
            )
            row = await cursor.fetchone()
            return (int(row[0]), int(row[1])) if row else (0, 0)


class _Seen(Collector):
    """What one worker saw just now: (name, what, value). Not kept in the workers' files, as a Gauge would be."""

    def __init__(self, figures: Sequence[tuple[str, str, float]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for name, what, value in self._figures:
            yield GaugeMetricFamily(name, what, value=value)

    def text(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


def _workers() -> bytes:
    if FOLDER not in os.environ:
        return generate_latest(OWN)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


async def _or_none(work: Awaitable[T]) -> T | None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await work
    except (Unavailable, TimeoutError, RedisError, DatabaseError, OSError):
        return None
