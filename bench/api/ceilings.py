"""What the same server does with the same body when there is less to do: three ceilings, one app each.

`echo` reads the body and answers; `checked` also verifies both signatures; `stored` also makes one durable insert into
one PostgreSQL that nobody replicates.
"""

from __future__ import annotations

import json
import os
from typing import Any

from falcon.asgi import App, Request, Response
from psycopg_pool import AsyncConnectionPool

from ballot.voting.ballot import parse_ballot, verify_credential, verify_signature

# As long as a receipt.
ANSWER = json.dumps({"index": 1, "header": "h" * 300, "salt": "s" * 43, "receipt": "r" * 2600}).encode()


class Echo:
    async def on_post(self, req: Request, resp: Response) -> None:
        await self.take(await req.stream.read())
        resp.status, resp.data, resp.content_type = 201, ANSWER, "application/json"

    async def take(self, body: bytes) -> None: ...


class Checked(Echo):
    def __init__(self, registrar: bytes) -> None:
        self._registrar = registrar

    async def take(self, body: bytes) -> None:
        ballot = parse_ballot(body)
        verify_credential(self._registrar, ballot.eid, ballot.bpk, ballot.prefix, ballot.credential)
        verify_signature(ballot)


class Stored(Checked):
    def __init__(self, registrar: bytes, pool: AsyncConnectionPool[Any]) -> None:
        super().__init__(registrar)
        self._pool = pool

    async def take(self, body: bytes) -> None:
        await super().take(body)
        async with self._pool.connection() as connection:
            await connection.execute("insert into ceiling (body) values (%b)", (body,))


class Opening:
    """Opens the pool when a worker starts."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        await self._pool.open()


def application() -> object:
    """The app that the environment names."""
    which, registrar = os.environ["CEILING"], bytes.fromhex(os.environ["CEILING_REGISTRAR"])
    resource: Echo
    around: list[Any] = []
    if which == "stored":
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            os.environ["CEILING_DSN"], max_size=16, open=False, kwargs={"autocommit": True}
        )
        resource, around = Stored(registrar, pool), [Opening(pool)]
    else:
        resource = Checked(registrar) if which == "checked" else Echo()
    app = App(middleware=around)
    app.add_route("/api/votes", resource)
    return app
