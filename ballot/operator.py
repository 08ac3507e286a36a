"""What only the operator of a node may do, at the node's own socket: grant the first roles, change the members."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from dataclasses import replace

import psycopg

from .config import Settings
from .ledger import members
from .ledger.client import Answer, LedgerClient
from .ledger.membership import ANNOUNCED, NodeRecord
from .mail.address import BadAddress, normal_address
from .mail.bounce import Bounce
from .voting import commands as c

CATCH_UP_POLL_S = 0.5
ANNOUNCED_POLL_S = 0.05
SIGNING_TIMEOUT_S = 15.0


class OperatorError(Exception):
    """It was refused, or there is no such account; the message says which."""


async def change_role(settings: Settings, email: str, role: str, *, grant: bool = True) -> None:
    """Gives `role` (admin, organiser, trustee) to the confirmed account, or takes it away.

    Raises OperatorError, Unavailable.
    """
    try:
        tag = settings.vault().address_tag(normal_address(email))
    except BadAddress as error:
        raise OperatorError(f"{email}: {error}") from error
    async with await psycopg.AsyncConnection.connect(settings.dsn) as connection:
        cursor = await connection.execute(
            "select user_id from accounts where tag = %s and password_at is not null", (tag,)
        )
        row = await cursor.fetchone()
    if row is None:
        raise OperatorError(f"{email} has no confirmed account")
    client = LedgerClient(settings.socket)
    try:
        command = (c.GrantRole if grant else c.WithdrawRole)(secrets.token_bytes(16), bytes(row[0]), role, b"")
        _accepted(await client.submit(c.encode_command(command)))
    finally:
        client.close()


async def record_bounce(settings: Settings, bounce: Bounce) -> int:
    """Notes that a mail to a voter came back; the entry that says so. Raises OperatorError, Unavailable."""
    if not hmac.compare_digest(bounce.tag, settings.vault().mail_tag(bounce.claim, bounce.voter)):
        raise OperatorError("the mail that came back was not sent by this cluster")
    async with await psycopg.AsyncConnection.connect(settings.dsn) as connection:
        cursor = await connection.execute("select election, kind from mail_claims where claim = %s", (bounce.claim,))
        row = await cursor.fetchone()
    if row is None:
        raise OperatorError("this node knows no such mail")
    client = LedgerClient(settings.socket)
    try:
        command = c.RecordBounce(bounce.claim, bytes(row[0]), str(row[1]), bounce.voter, bounce.reason)
        return _accepted(await client.submit(c.encode_command(command))).index
    finally:
        client.close()


async def add_node(
    settings: Settings, record: NodeRecord, address: str, timeout_s: float, say: Callable[[str], None]
) -> None:
    """Adds a node as a learner and lets it vote once it has caught up; the same call may be made again.

    `say` hears how far it is. Raises OperatorError, and Unavailable when no majority answers.
    """
    client = LedgerClient(settings.socket)
    try:
        answer = _accepted(await _change(client, members.add_learner(replace(record, address=address))))
        say(f"node {record.id} is a learner, entry {answer.index}")
        async with asyncio.timeout(timeout_s):
            answer = await _promote(client, record.id, say)
        say(f"node {record.id} is a voter, entry {answer.index}")
    except TimeoutError:
        raise OperatorError(
            f"node {record.id} has not caught up within {timeout_s:g} s; it stays a learner, run this again"
        ) from None
    finally:
        client.close()


async def _promote(client: LedgerClient, node: int, say: Callable[[str], None]) -> Answer:
    said = ""
    while (answer := await _change(client, members.promote(node))).refusal == "NotCaughtUp":
        if answer.detail != said:
            say(said := answer.detail)
        await asyncio.sleep(CATCH_UP_POLL_S)
    return _accepted(answer)


async def rotate_node(settings: Settings, record: NodeRecord) -> int:
    """Gives a member new signing keys; returns the entry that says so. Raises OperatorError, Unavailable."""
    client = LedgerClient(settings.socket)
    try:
        return _accepted(await _change(client, members.rotate(record))).index
    finally:
        client.close()


async def remove_node(settings: Settings, node: int) -> int:
    """Removes a member; returns the entry that says so. Raises OperatorError, Unavailable."""
    # A node that is removed is told nothing more, so it could not say what became of its request.
    if node == settings.node:
        raise OperatorError(f"node {node} cannot see its own removal: run this on another member")
    client = LedgerClient(settings.socket)
    try:
        return _accepted(await _change(client, members.remove(node))).index
    finally:
        client.close()


async def _change(client: LedgerClient, command: bytes) -> Answer:
    """What becomes of a change of members: it is announced, and made once a majority of the members signed for that.

    Raises OperatorError when they do not sign.
    """
    try:
        async with asyncio.timeout(SIGNING_TIMEOUT_S):
            while True:
                answer = await client.submit(command)
                if answer.kind != ANNOUNCED:
                    return answer
                await asyncio.sleep(ANNOUNCED_POLL_S)
    except TimeoutError:
        raise OperatorError(
            "the change is announced, but no majority of the members signed for it: nothing has changed, run this again"
        ) from None


def _accepted(answer: Answer) -> Answer:
    if answer.refusal:
        raise OperatorError(f"{answer.refusal}: {answer.detail}")
    return answer
