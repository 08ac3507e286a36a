"""Every question that the HTTP layer asks of this node's tables. Plain SQL, one function a question.

A reader who wants to say how fresh an answer is asks `applied` after everything else: what was read is never newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row, scalar_row, tuple_row

from ..ledger.membership import CONF_KINDS

Connection = AsyncConnection[Any]
Query = LiteralString | sql.Composed
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """An address that has a user id. `password_at` is None until somebody confirmed it."""

    tag: bytes
    user_id: bytes
    address_at: int
    password_at: int | None


@dataclass(frozen=True, slots=True)
class IdentityKey:
    n: bytes
    enrolled_at: int


@dataclass(frozen=True, slots=True)
class Election:
    """A row of `elections`; counters that nothing has counted yet are None there and 0 here."""

    election: bytes
    organiser: bytes
    status: str
    draft: bytes
    eid: bytes | None
    definition: bytes | None
    trustee_count: int
    roll_size: int
    roll_root: bytes | None
    issued: int
    cast_count: int
    unused: int
    published: int
    drafted_at: int
    opened_at: int | None
    closed_at: int | None
    published_at: int | None
    trustee_changes: int
    tally: bytes | None
    tally_digest: bytes | None
    disputed: bool
    claims_until_us: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """An election as one user sees it. `weight` is the user's own on the roll, None for somebody who is not on it.

    `invited`: as a trustee.
    """

    election: Election
    weight: int | None
    credential_issued: bool
    invited: bool

    @property
    def on_roll(self) -> bool:
        return self.weight is not None


@dataclass(frozen=True, slots=True)
class Voter:
    """One line of a roll; `added_at` is the entry whose private part has the address."""

    voter: bytes
    weight: int
    added_at: int


@dataclass(frozen=True, slots=True)
class Elector:
    """What issuing a credential to one voter rests on. `identity_n` is None until a key is enrolled."""

    weight: int
    identity_n: bytes | None


@dataclass(frozen=True, slots=True)
class Attestation:
    node: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """A place on the board: an entry of the log, and which of its ballots, from 0."""

    published_at: int
    position: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    index: int
    header: bytes
    public: bytes


_COUNTERS = {"trustee_count", "trustee_changes", "roll_size", "issued", "cast_count", "unused", "published"}
_UNTIL = "(select until_us from claim_windows as claims where claims.eid = elections.eid)"


def _column_of(name: str) -> str:
    if name in _COUNTERS:
        return f"coalesce(elections.{name}, 0) as {name}"
    return f"{_UNTIL} as {name}" if name == "claims_until_us" else f"elections.{name}"


_COLUMNS = ", ".join(_column_of(field.name) for field in fields(Election))
_SEEN = f"""
select {_COLUMNS}, roll.weight, credentials.voter is not null, invited.invited_at is not null
from elections
left join roll on roll.election = elections.election and roll.voter = %(user)b
left join credentials on credentials.eid = elections.eid and credentials.voter = %(user)b
left join invited_trustees as invited on invited.election = elections.election and invited.user_id = %(user)b
"""


async def _all(connection: Connection, shape: type[T], query: Query, values: Sequence[Any]) -> list[T]:
    async with connection.cursor(row_factory=class_row(shape)) as cursor:
        await cursor.execute(query, values, binary=True)
        return await cursor.fetchall()


async def _first(connection: Connection, shape: type[T], query: LiteralString, values: Sequence[Any]) -> T | None:
    rows = await _all(connection, shape, query, values)
    return rows[0] if rows else None


async def _column(connection: Connection, query: Query, values: Sequence[Any] = ()) -> list[Any]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, values, binary=True)
        return await cursor.fetchall()


async def applied(connection: Connection) -> int:
    """The newest index that the tables include."""
    index: int = (await _column(connection, "select index from ledger_applied"))[0]
    return index


# -- people


async def account_by_tag(connection: Connection, tag: bytes) -> Account | None:
    query = "select tag, user_id, address_at, password_at from accounts where tag = %b"
    return await _first(connection, Account, query, (tag,))


async def account_by_user(connection: Connection, user: bytes) -> Account | None:
    """The user's account; the confirmed one, should an id ever have had several addresses."""
    query = """select tag, user_id, address_at, password_at from accounts where user_id = %b
               order by password_at desc nulls last limit 1"""
    return await _first(connection, Account, query, (user,))


async def roles(connection: Connection, user: bytes) -> list[str]:
    query = "select role from roles where user_id = %b and withdrawn_at is null order by role"
    return await _column(connection, query, (user,))


async def identity_key(connection: Connection, user: bytes) -> bytes | None:
    """The modulus in force; None when there is no such user or no key."""
    found = await _column(connection, "select identity_n from users where user_id = %b", (user,))
    return found[0] if found else None


async def identity_keys(connection: Connection, user: bytes) -> list[IdentityKey]:
    """All keys the user ever enrolled, the one in force last."""
    query = "select n, enrolled_at from identity_keys where user_id = %b order by enrolled_at"
    return await _all(connection, IdentityKey, query, (user,))


# -- elections


async def election(connection: Connection, election: bytes) -> Election | None:
    return await _election(connection, b"election", election)


async def election_by_eid(connection: Connection, eid: bytes) -> Election | None:
    return await _election(connection, b"eid", eid)


async def _election(connection: Connection, column: bytes, value: bytes) -> Election | None:
    query = b"select " + _COLUMNS.encode() + b" from elections where " + column + b" = %b"
    async with connection.cursor(row_factory=class_row(Election)) as cursor:
        await cursor.execute(query, (value,), binary=True)
        return await cursor.fetchone()


async def seen(connection: Connection, election: bytes, user: bytes) -> Seen | None:
    found = await _seen(connection, "where elections.election = %(election)b", {"election": election, "user": user})
    return found[0] if found else None


async def list_seen(
    connection: Connection, user: bytes, *, status: str | None, before: int, limit: int, role: str | None = None
) -> list[Seen]:
    """Elections drafted before entry `before`, newest first. Drafts are shown to their organiser and trustees alone.

    `role`: only those that the user has this part in, organiser, voter or trustee.
    """
    where = """where elections.drafted_at < %(before)s and (%(status)t::text is null or elections.status = %(status)t)
               and (elections.status not in ('draft', 'frozen') or elections.organiser = %(user)b
                    or invited.invited_at is not null)
               and (%(role)t::text is distinct from 'organiser' or elections.organiser = %(user)b)
               and (%(role)t::text is distinct from 'voter' or roll.voter is not null)
               and (%(role)t::text is distinct from 'trustee' or invited.invited_at is not null)
               order by elections.drafted_at desc limit %(limit)s"""
    values = {"user": user, "before": before, "status": status, "role": role, "limit": limit}
    return await _seen(connection, where, values)


async def _seen(connection: Connection, where: str, values: dict[str, Any]) -> list[Seen]:
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute((_SEEN + where).encode(), values, binary=True)
        return [Seen(Election(*row[:-3]), *row[-3:]) for row in await cursor.fetchall()]


async def roll(connection: Connection, election: bytes) -> list[Voter]:
    query = "select voter, weight, added_at from roll where election = %b order by added_at, voter"
    return await _all(connection, Voter, query, (election,))


async def weights(connection: Connection, election: bytes) -> set[int]:
    return set(await _column(connection, "select distinct weight from roll where election = %b", (election,)))


async def issued_weights(connection: Connection, election: bytes) -> dict[int, int]:
    """How many credentials were issued to voters of each weight."""
    query = """select roll.weight, count(*) from elections
               join credentials on credentials.eid = elections.eid
               join roll on roll.election = elections.election and roll.voter = credentials.voter
               where elections.election = %b group by roll.weight"""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query, (election,), binary=True)
        return dict(await cursor.fetchall())


async def roll_places(connection: Connection, election: bytes, tags: Sequence[bytes]) -> dict[bytes, int]:
    """Tag of an address to the entry that put it on the roll, for those that are on it."""
    query = """select roll_tags.tag, roll.added_at from roll_tags
               join roll on roll.election = roll_tags.election and roll.voter = roll_tags.voter
               where roll_tags.election = %b and roll_tags.tag = any(%b)"""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query, (election, list(tags)), binary=True)
        return dict(await cursor.fetchall())


async def elector(connection: Connection, election: bytes, voter: bytes) -> Elector | None:
    """None when the voter is not on the roll."""
    query = """select roll.weight, users.identity_n from roll left join users on users.user_id = roll.voter
               where roll.election = %b and roll.voter = %b"""
    return await _first(connection, Elector, query, (election, voter))


async def attestations(connection: Connection, election: bytes) -> list[Attestation]:
    query = "select node, digest from attestations where election = %b order by node"
    return await _all(connection, Attestation, query, (election,))


# -- ballots


async def ballot_status(connection: Connection, name: bytes) -> str:
    """unknown, recorded, published or counted."""
    board = """select elections.tally_at is not null from elections
               join board on board.eid = elections.eid and board.name = %b"""
    published = await _column(connection, board, (name,))
    if published:
        return "counted" if published[0] else "published"
    recorded = await _column(connection, "select 1 from casts where name = %b", (name,))
    return "recorded" if recorded else "unknown"


async def is_spent(connection: Connection, eid: bytes, bid: bytes) -> bool:
    """Whether a ballot under this key is recorded or on the board."""
    query = """select exists (select from casts where eid = %(eid)b and bid = %(bid)b)
                   or exists (select from spent where eid = %(eid)b and bid = %(bid)b)"""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, {"eid": eid, "bid": bid}, binary=True)
        return bool(await cursor.fetchone())


async def board_place(connection: Connection, eid: bytes, name: bytes) -> Place | None:
    """Where on the board the ballot with this name is."""
    query = "select published_at, position from board where eid = %b and name = %b"
    return await _first(connection, Place, query, (eid, name))


async def board_entries(connection: Connection, eid: bytes, first: int = 0) -> list[int]:
    """The entries from `first` on that hold the board's chunks, in board order."""
    query = "select distinct published_at from board where eid = %b and published_at >= %b order by published_at"
    return await _column(connection, query, (eid, first))


# -- the log


async def entry(connection: Connection, index: int) -> LogEntry | None:
    query = "select index, header, public from ledger_entry where index = %s"
    return await _first(connection, LogEntry, query, (index,))


# The kinds are written out: as a parameter they would not lead to the index that holds these few entries.
_KINDS = sql.SQL(", ").join(map(sql.Literal, sorted(CONF_KINDS)))
MEMBERSHIP_ENTRIES = sql.SQL("""
select index, header, public from ledger_entry
where kind in ({}) and index between %s and (select index from ledger_applied) order by index limit %s
""").format(_KINDS)
NEWEST_MEMBERS = sql.SQL("""
select index from ledger_entry where kind in ({}) and index <= %s order by index desc limit 1
""").format(_KINDS)


async def membership_entries(connection: Connection, first: int, most: int) -> list[LogEntry]:
    """Applied entries from `first` on that carry a list of members, in order, `most` of them at most."""
    return await _all(connection, LogEntry, MEMBERSHIP_ENTRIES, (first, most))


async def newest_members(connection: Connection, size: int) -> int:
    """The newest of the first `size` entries that carries a list of members."""
    return int((await _column(connection, NEWEST_MEMBERS, (size,)))[0])


async def checkpoint_note(connection: Connection, size: int) -> bytes | None:
    """The checkpoint of exactly so many entries, if this node holds it."""
    found = await _column(connection, "select note from ledger_checkpoint where size = %s", (size,))
    return bytes(found[0]) if found else None


async def newest_witnessed(connection: Connection) -> int:
    """The largest size that a witness cosigned; 0 for none."""
    return int((await _column(connection, "select coalesce(max(size), 0) from ledger_witness", ()))[0])


async def witness_lines(connection: Connection, size: int, keys: Sequence[str]) -> list[str]:
    """The lines of these witnesses, by their verifier keys, under the checkpoint of `size` entries."""
    query = "select line from ledger_witness where size = %s and key = any(%s) order by key"
    return await _column(connection, query, (size, list(keys)))


async def entries(connection: Connection, first: int, last: int, most_bytes: int) -> list[LogEntry]:
    """Applied entries from `first` to `last`, in order; fewer where they exceed `most_bytes`, but at least one."""
    query = """select index, header, public from (
                   select index, header, public,
                          sum(octet_length(header) + octet_length(public)) over (order by index) as bytes
                   from ledger_entry
                   where index between %s and least(%s, (select index from ledger_applied))) as entries
               where bytes <= %s or index = %s order by index"""
    return await _all(connection, LogEntry, query, (first, last, most_bytes, first))
