"""Whom the leader has to mail now: plain SQL on its own tables, one function a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row, tuple_row

Connection = AsyncConnection[Any]


class Round(NamedTuple):
    """Mail of one kind to one election's voters. `status` is the election's."""

    election: bytes
    kind: str
    round: int
    eid: bytes | None
    status: str
    draft: bytes


class Lost(NamedTuple):
    """A claim that nobody has reported on."""

    claim: bytes
    election: bytes
    kind: str


_ORDERED = """
select elections.election, orders.kind, orders.round, elections.eid, elections.status, elections.draft
from mail_orders as orders join elections using (election)
where orders.round > coalesce(orders.claimed_round, 0)"""

_ISSUED = """
select elections.election, 'issued' as kind, 1::bigint as round, elections.eid, elections.status, elections.draft
from elections left join mail_orders as orders on orders.election = elections.election and orders.kind = 'issued'
where elections.issued > coalesce(orders.claimed, 0)"""

_DEFERRED = """
select distinct elections.election, mail.kind, mail.round, elections.eid, elections.status, elections.draft
from mail join elections using (election)
left join mail_orders as orders on orders.election = mail.election and orders.kind = mail.kind
where mail.state = 'deferred' and mail.retry_us <= %b and (mail.kind = 'issued' or mail.round = orders.round)
  and (mail.kind <> 'reminder' or elections.status = 'open')"""

_NOT_INVITED = """
select roll.voter from roll
left join mail on mail.election = roll.election and mail.kind = 'invitation' and mail.voter = roll.voter
where roll.election = %b and mail.voter is null order by roll.voter limit %b"""

_WITHOUT_CREDENTIAL = """
select roll.voter from roll
left join mail on mail.election = roll.election and mail.kind = 'reminder' and mail.voter = roll.voter
where roll.election = %b and (mail.voter is null or mail.round < %b)
  and not exists (select from credentials where credentials.eid = %b and credentials.voter = roll.voter)
order by roll.voter limit %b"""

_NOT_NOTED = """
select credentials.voter from credentials
left join mail on mail.election = %b and mail.kind = 'issued' and mail.voter = credentials.voter
where credentials.eid = %b and mail.voter is null order by credentials.issued_at limit %b"""

_RETRIES = """
select voter from mail where election = %b and kind = %b and round = %b and state = 'deferred' and retry_us <= %b
order by retry_us limit %b"""

_LOST = """
select claim, election, kind from mail_claims as claims
where not settled and claimed_us < %b
  and exists (select from mail where mail.claim = claims.claim and mail.state = 'claimed')"""


async def ordered(connection: Connection) -> list[Round]:
    """Rounds that an organiser ordered and that have voters nobody has claimed yet."""
    return await _rounds(connection, _ORDERED, ())


async def issued(connection: Connection) -> list[Round]:
    """Elections with credentials whose voters were not told yet."""
    return await _rounds(connection, _ISSUED, ())


async def deferred(connection: Connection, now_us: int) -> list[Round]:
    """Rounds with mail that certainly was not sent and may now be tried again."""
    return await _rounds(connection, _DEFERRED, (now_us,))


async def _rounds(connection: Connection, query: Any, values: Sequence[Any]) -> list[Round]:
    async with connection.cursor(row_factory=class_row(Round)) as cursor:
        await cursor.execute(query, values, binary=True)
        return await cursor.fetchall()


async def voters(connection: Connection, due: Round, limit: int) -> list[bytes]:
    """Whom this round has still to reach, for the first time."""
    if due.kind == "invitation":
        return await _column(connection, _NOT_INVITED, (due.election, limit))
    if due.kind == "reminder":
        return await _column(connection, _WITHOUT_CREDENTIAL, (due.election, due.round, due.eid, limit))
    return await _column(connection, _NOT_NOTED, (due.election, due.eid, limit))


async def retries(connection: Connection, due: Round, now_us: int, limit: int) -> list[bytes]:
    return await _column(connection, _RETRIES, (due.election, due.kind, due.round, now_us, limit))


async def lost(connection: Connection, before_us: int) -> list[Lost]:
    """Claims made before `before_us` of which nobody has said what became of them."""
    async with connection.cursor(row_factory=class_row(Lost)) as cursor:
        await cursor.execute(_LOST, (before_us,), binary=True)
        return await cursor.fetchall()


async def claimed(connection: Connection, claim: bytes) -> list[bytes]:
    """The voters of a claim whose fate is open."""
    return await _column(connection, "select voter from mail where claim = %b and state = 'claimed'", (claim,))


async def places(connection: Connection, election: bytes, wanted: Sequence[bytes]) -> dict[bytes, int]:
    """Voter to the entry whose private part has the address."""
    query = "select voter, added_at from roll where election = %b and voter = any(%b)"
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query, (election, list(wanted)), binary=True)
        return dict(await cursor.fetchall())


async def _column(connection: Connection, query: Any, values: Sequence[Any]) -> list[bytes]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, values, binary=True)
        return await cursor.fetchall()
