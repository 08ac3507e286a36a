"""What the ledger holds of one person in private, as this node's tables have it: what an erasure must name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from ..ledger.entry import decode_map
from ..voting import commands as c
from .private import PrivateReader

Connection = AsyncConnection[Any]


# The kinds are written out: only so does PostgreSQL see that its indexes hold these few entries.
def _parts_of(kinds: str) -> str:
    return f"""
select entry.index, kind, public from ledger_entry as entry join ledger_private using (index)
where {kinds} and position(%b in public) > 0
  and entry.index <= (select index from ledger_applied) order by entry.index"""


_PEOPLE = _parts_of("kind in ('UserRegistered', 'PasswordChanged')")
_INVITED = _parts_of("kind = 'TrusteeInvited'")
_MAIL = _parts_of("kind in ('MailClaimed', 'MailReported', 'MailBounced')")
_ROLLS = """
select roll.election, roll.added_at, entry.kind from roll left join ledger_entry as entry on entry.index = added_at
where voter = %b order by roll.election"""
_ORGANISED = "select election from elections where organiser = %b order by election"
_TRUSTEE_OF = "select election from invited_trustees where user_id = %b and invited_at is not null order by election"


class Lagging(Exception):
    """These tables and private parts do not fit together: another erasure is just being applied."""


@dataclass
class Personal:
    """As `commands.EraseUser` takes them."""

    elections: list[bytes] = field(default_factory=list)
    rolls: list[c.KeptRoll] = field(default_factory=list)
    parts: list[c.Part] = field(default_factory=list)
    organises: list[bytes] = field(default_factory=list)
    trustee_of: list[bytes] = field(default_factory=list)


async def personal(connection: Connection, private: PrivateReader, user: bytes) -> Personal:
    """Raises Lagging, and what the private reader raises."""
    found = Personal()
    found.organises = [election for (election,) in await _rows(connection, _ORGANISED, user)]
    found.trustee_of = [election for (election,) in await _rows(connection, _TRUSTEE_OF, user)]
    people = [*await _rows(connection, _PEOPLE, user), *await _rows(connection, _INVITED, user)]
    for index, kind, public in people:
        if decode_map(public).get("user") == user:
            found.parts.append(c.Part(index, kind))
    for election, added_at, kind in await _rows(connection, _ROLLS, user):
        found.elections.append(election)
        if added_at is not None:
            addresses = (await private.fields(connection, added_at)).get("addresses", [])
            found.rolls.append(_kept(added_at, election, addresses, user))
            found.parts.append(c.Part(added_at, kind))
        for index, kind, public in await _rows(connection, _MAIL, election):
            if decode_map(public).get("election") == election:
                found.parts.append(c.Part(index, kind))
    return found


def _kept(source: int, election: bytes, addresses: list[list[Any]], user: bytes) -> c.KeptRoll:
    others = [c.Kept(*one) for one in addresses if one[0] != user]
    if len(others) != len(addresses) - 1:
        raise Lagging(f"entry {source} does not hold the address that it should")
    return c.KeptRoll(source, election, others)


async def _rows(connection: Connection, query: str, value: bytes) -> list[tuple[Any, ...]]:
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query.encode(), (value,), binary=True)
        return await cursor.fetchall()
