"""The trustees of elections, as invited and enrolled in a draft or as a definition names them, and released keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, tuple_row

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Trustee:
    """`number` is the definition's, or in a draft that of the enrolment, None before it, as `n` then is.

    `user` is None for the cluster's own key. `invited_at` is the entry whose private part has the address. `p`, `q` and
    `released_at` are those of a release whose factors make `n`.
    """

    election: bytes
    number: int | None
    name: str
    n: bytes | None
    user: bytes | None
    invited_at: int | None
    enrolled_at: int | None
    p: bytes | None = None
    q: bytes | None = None
    released_at: int | None = None


_DEFINED = """
select trustees.election, trustees.number, trustees.name, trustees.n, invited.user_id as user, invited.invited_at,
       invited.enrolled_at, released.p, released.q, released.released_at
from trustees
left join invited_trustees as invited on invited.election = trustees.election and invited.n = trustees.n
left join released_keys as released
  on released.election = trustees.election and released.number = trustees.number and released.n = trustees.n
where trustees.election = any(%b)"""

_DRAFTED = """
select invited.election, invited.number, invited.name, invited.n, invited.user_id, invited.invited_at,
       invited.enrolled_at, null::bytea, null::bytea, null::bigint
from invited_trustees as invited
where invited.election = any(%b) and invited.invited_at is not null
  and not exists (select from trustees where trustees.election = invited.election)"""

_ALL = f"{_DEFINED} union all {_DRAFTED} order by number nulls last, invited_at"

_RELEASED = """
select trustees.number, trustees.n, p, q from trustees join released_keys using (election, number, n)
where trustees.election = %b order by trustees.number"""


async def of(connection: Connection, elections: Sequence[bytes]) -> dict[bytes, list[Trustee]]:
    """The trustees of each of these elections by their numbers, those who have yet to enrol last."""
    found: dict[bytes, list[Trustee]] = {election: [] for election in elections}
    async with connection.cursor(row_factory=class_row(Trustee)) as cursor:
        await cursor.execute(_ALL.encode(), (list(elections), list(elections)), binary=True)
        for trustee in await cursor.fetchall():
            found[trustee.election].append(trustee)
    return found


async def released(connection: Connection, election: bytes) -> list[tuple[int, bytes, bytes, bytes]]:
    """(number, n, p, q) of every release whose factors make its trustee's modulus; see `voting.trustee.usable`."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_RELEASED, (election,), binary=True)
        return await cursor.fetchall()
