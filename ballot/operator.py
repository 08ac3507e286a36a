"""What only the operator of a node may do, at the node's own socket: grant the first roles."""

from __future__ import annotations

import psycopg

from .config import Settings
from .ledger.client import LedgerClient
from .voting import commands as c


class OperatorError(Exception):
    """It was refused, or there is no such account; the message says which."""


async def grant_role(settings: Settings, email: str, role: str) -> None:
    """Grants `role` (admin, organiser) to the confirmed account of `email`. Raises OperatorError, Unavailable."""
    tag = settings.vault().address_tag(email)
    async with await psycopg.AsyncConnection.connect(settings.dsn) as connection:
        cursor = await connection.execute(
            "select user_id from accounts where tag = %s and password_at is not null", (tag,)
        )
        row = await cursor.fetchone()
    if row is None:
        raise OperatorError(f"{email} has no confirmed account")
    client = LedgerClient(settings.socket)
    try:
        answer = await client.submit(c.encode_command(c.GrantRole(bytes(row[0]), role, b"")))
    finally:
        client.close()
    if answer.refusal:
        raise OperatorError(f"{answer.refusal}: {answer.detail}")
