"""One process at a time: a successor on the same database ends the one before it and does not wait for it (rule R1)."""

from __future__ import annotations

import asyncio
from typing import Any

from psycopg import AsyncConnection

WRITER_LOCK = 0x6C6564676572
APPLIER_LOCK = 0x6170706C7965
RETRY_S = 0.05

_TAKE = "select pg_try_advisory_lock(%b)"
_END_HOLDER = """
select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted
    and (classid::bigint << 32) + objid::bigint = %b and pid <> pg_backend_pid()
    and database = (select oid from pg_database where datname = current_database())"""


async def take_over(connection: AsyncConnection[Any], lock: int) -> None:
    """Takes the lock for as long as `connection` lives, and ends the session of whoever holds it.

    The holder may be stopped in the middle of a transaction, with rows locked that we need. Once we have the lock, its
    transaction is over: committed, or gone. Raises psycopg.Error.
    """
    while True:
        row = await (await connection.execute(_TAKE, (lock,))).fetchone()
        if row is not None and row[0]:
            return
        await connection.execute(_END_HOLDER, (lock,))
        await asyncio.sleep(RETRY_S)
