"""What an organiser is shown of the mail to a roll: every voter's newest mail of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Count:
    kind: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Mail:
    """`added_at` is the entry whose private part has the voter's address."""

    voter: bytes
    kind: str
    state: str
    reason: str
    attempt: int
    added_at: int


# Claimed mail is in the table. Queued is whom an order still in force has yet to reach, and who has a credential that
# no note was claimed for. A round that has ended queues nobody.
_ALL = """
with shown as (
    select mail.voter, mail.kind, case mail.state when 'claimed' then 'sending' else mail.state end as state,
           mail.reason, mail.attempt
    from mail left join mail_orders as orders on orders.election = mail.election and orders.kind = mail.kind
    where mail.election = %(election)b
      and not (mail.kind = 'reminder' and mail.round < orders.round and orders.round > coalesce(orders.claimed_round, 0)
               and not exists (select from credentials join elections using (eid)
                               where elections.election = mail.election and credentials.voter = mail.voter))
    union all
    select roll.voter, orders.kind, 'queued', '', 0
    from mail_orders as orders
    join roll on roll.election = orders.election
    join elections on elections.election = orders.election
    left join mail on mail.election = orders.election and mail.kind = orders.kind and mail.voter = roll.voter
    where orders.election = %(election)b and orders.kind <> 'issued'
      and orders.round > coalesce(orders.claimed_round, 0)
      and (mail.voter is null or (orders.kind = 'reminder' and mail.round < orders.round))
      and (orders.kind <> 'reminder' or not exists (
           select from credentials where credentials.eid = elections.eid and credentials.voter = roll.voter))
    union all
    select credentials.voter, 'issued', 'queued', '', 0
    from elections join credentials using (eid)
    left join mail on mail.election = elections.election and mail.kind = 'issued' and mail.voter = credentials.voter
    left join mail_orders as orders on orders.election = elections.election and orders.kind = 'issued'
    where elections.election = %(election)b and mail.voter is null and elections.issued > coalesce(orders.claimed, 0)
)"""

_COUNTS = _ALL + " select kind, state, count(*) as count from shown group by kind, state order by kind, state"

_PAGE = (
    _ALL
    + """ select shown.voter, kind, state, reason, attempt, coalesce(roll.added_at, 0) as added_at
from shown join roll on roll.election = %(election)b and roll.voter = shown.voter
where (%(kind)t::text is null or kind = %(kind)t) and (%(state)t::text is null or state = %(state)t)
  and (shown.voter, kind) > (%(voter)b, %(after)t::text)
order by shown.voter, kind limit %(limit)b"""
)


async def counts(connection: Connection, election: bytes) -> list[Count]:
    async with connection.cursor(row_factory=class_row(Count)) as cursor:
        await cursor.execute(_COUNTS, {"election": election}, binary=True)
        return await cursor.fetchall()


async def page(
    connection: Connection, election: bytes, kind: str | None, state: str | None, after: tuple[bytes, str], limit: int
) -> list[Mail]:
    """Mail after (voter, kind), in that order."""
    values = {"election": election, "kind": kind, "state": state, "limit": limit}
    async with connection.cursor(row_factory=class_row(Mail)) as cursor:
        await cursor.execute(_PAGE, values | {"voter": after[0], "after": after[1]}, binary=True)
        return await cursor.fetchall()
