"""Every read query against a real database with the real tables, and private parts as they are stored."""

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import AsyncClientCursor, AsyncConnection, sql

from ballot.embedded import EmbeddedPostgres
from ballot.embedded_programs import make_postgres_folder
from ballot.ledger.entry import Entry, EntryError, encode_map, seal
from ballot.ledger.frame import u64
from ballot.ledger.migrate import migrate
from ballot.ledger.vault import Vault, VaultError
from ballot.projections import queries, trustees
from ballot.projections.private import PrivateReader, address_in

pytestmark = pytest.mark.cluster

T = TypeVar("T")

VAULT = Vault(bytes(32))
ANN, BOB, CY, DI = b"a" * 16, b"b" * 16, b"c" * 16, b"d" * 16
DRAFT, OPEN = b"d" * 16, b"o" * 16
EID, NAME, LATE = b"e" * 32, b"n" * 32, b"l" * 32


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    folder = make_postgres_folder()
    server = EmbeddedPostgres(folder / "data", folder / "s")
    server.start()
    migrate(server.dsn)
    with psycopg.connect(server.dsn) as connection:
        fill(connection)
    yield server.dsn
    server.stop()
    shutil.rmtree(folder)


def log_of_three() -> list[Entry]:
    """The second has a private part."""
    entries: list[Entry] = []
    for index in (1, 2, 3):
        hidden = {"tag": b"tag", "address": "ann@example.org"}
        private, salt = (encode_map(hidden), b"s" * 32) if index == 2 else (None, b"")
        entries.append(
            seal(
                prev_hash=entries[-1].hash if entries else bytes(32),
                index=index,
                term=1,
                time_us=index,
                kind="UserRegistered",
                public=encode_map({"number": index}),
                private=private,
                salt=salt,
            )
        )
    return entries


def fill(connection: psycopg.Connection[Any]) -> None:
    for entry in log_of_three():
        values = (entry.index, entry.term, entry.kind, entry.header, entry.public)
        connection.execute("insert into ledger_entry values (%s, %s, %s, %s, %s)", values)
        if entry.private is not None:
            sealed = VAULT.seal(entry.salt + entry.private, u64(entry.index) + entry.private_digest)
            connection.execute("insert into ledger_private values (%s, %s)", (entry.index, sealed))
    connection.execute("update ledger_applied set index = 3")
    for table, columns, rows in ROWS:
        places = ", ".join(["%s"] * (columns.count(",") + 1))
        query = f"insert into {table} ({columns}) values ({places})"
        with connection.cursor() as cursor:
            cursor.executemany(query.encode(), rows)


ROWS: list[tuple[str, str, list[tuple[Any, ...]]]] = [
    ("users", "user_id, identity_n, at", [(ANN, b"n" * 384, 2), (BOB, None, 3)]),
    ("roles", "user_id, role, at", [(ANN, "organiser", 2), (ANN, "admin", 3)]),
    ("accounts", "tag, user_id, address_at, password_at, at", [(b"tag", ANN, 2, 2, 2), (b"bob", BOB, 3, None, 3)]),
    (
        "elections",
        "election, organiser, status, draft, eid, definition, roll_size, issued, drafted_at, tally_at, disputed, at",
        [
            (DRAFT, ANN, "draft", b"{}", None, None, None, None, 5, None, False, 5),
            (OPEN, ANN, "open", b"{}", EID, b"{}", 2, 1, 4, None, False, 9),
            (b"t" * 16, BOB, "tallied", b"{}", b"f" * 32, b"{}", 2, 1, 3, 8, True, 9),
        ],
    ),
    ("roll", "election, voter, weight, added_at, at", [(OPEN, BOB, 3, 3, 3), (OPEN, ANN, 1, 2, 2)]),
    ("credentials", "eid, voter, issued_at, at", [(EID, ANN, 4, 4)]),
    ("trustees", "election, number, name, n, at", [(OPEN, 2, "two", b"2", 4), (OPEN, 1, "one", b"1", 4)]),
    (
        "invited_trustees",
        "election, user_id, name, n, number, invited_at, enrolled_at, at",
        [
            (DRAFT, CY, "Cy", None, None, 4, None, 4),
            (DRAFT, DI, "Di", b"3", 2, 5, 6, 6),
            (DRAFT, b"w" * 16, "withdrawn", None, None, None, None, 7),
            (OPEN, DI, "one", b"1", 1, 2, 3, 3),
        ],
    ),
    (
        "released_keys",
        "election, number, n, p, q, released_at, at",
        [(OPEN, 1, b"1", b"p", b"q", 8, 8), (OPEN, 1, b"2", b"x", b"y", 9, 9), (OPEN, 2, b"1", b"p", b"q", 9, 9)],
    ),
    ("attestations", "election, node, digest, at", [(OPEN, 2, b"y", 4), (OPEN, 1, b"x", 4)]),
    ("casts", "eid, bid, name, cast_at, at", [(EID, b"1" * 32, LATE, 4, 4)]),
    ("spent", "eid, bid, at", [(EID, b"2" * 32, 6)]),
    ("claim_windows", "eid, until_us, at", [(EID, 77, 5)]),
    (
        "board",
        "eid, name, position, published_at, at",
        [(b"f" * 32, NAME, 0, 7, 7), (b"f" * 32, b"m" * 32, 1, 6, 6), (EID, b"p" * 32, 0, 6, 6)],
    ),
]


def reading(dsn: str, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
    async def run() -> T:
        connection = await AsyncConnection.connect(dsn, autocommit=True)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_the_applied_index_is_told(dsn: str) -> None:
    assert reading(dsn, queries.applied) == 3


def test_an_account_is_found_by_its_address_and_by_its_user(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        ann = queries.Account(b"tag", ANN, 2, 2)
        assert await queries.account_by_tag(connection, b"tag") == ann
        assert await queries.account_by_user(connection, ANN) == ann
        bob = await queries.account_by_user(connection, BOB)
        assert bob is not None and bob.password_at is None
        assert await queries.account_by_tag(connection, b"none") is None

    reading(dsn, work)


def test_roles_and_identity_keys_are_read(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        assert await queries.roles(connection, ANN) == ["admin", "organiser"]
        assert await queries.roles(connection, BOB) == []
        assert await queries.identity_key(connection, ANN) == b"n" * 384
        assert await queries.identity_key(connection, BOB) is None
        assert await queries.identity_key(connection, b"x") is None

    reading(dsn, work)


def test_an_election_is_found_and_empty_counters_are_zero(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        row = await queries.election(connection, OPEN)
        assert row == await queries.election_by_eid(connection, EID)
        assert row is not None and (row.roll_size, row.issued, row.cast_count, row.unused) == (2, 1, 0, 0)
        assert await queries.election(connection, b"x") is None

    reading(dsn, work)


def test_an_election_is_seen_with_one_s_own_part_in_it(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        ann, bob = await queries.seen(connection, OPEN, ANN), await queries.seen(connection, OPEN, BOB)
        nobody = await queries.seen(connection, OPEN, b"x" * 16)
        assert ann is not None and (ann.on_roll, ann.credential_issued) == (True, True)
        assert bob is not None and (bob.on_roll, bob.credential_issued) == (True, False)
        assert (ann.weight, bob.weight) == (1, 3)
        assert (
            nobody is not None
            and nobody.weight is None
            and (nobody.on_roll, nobody.credential_issued) == (False, False)
        )
        assert await queries.seen(connection, b"x", ANN) is None

    reading(dsn, work)


def test_elections_are_listed_newest_first_and_drafts_for_their_organiser_and_trustees(dsn: str) -> None:
    async def listed(connection: AsyncConnection[Any], user: bytes, **options: Any) -> list[int]:
        given = {"status": None, "role": None, "before": 1000, "limit": 10, **options}
        return [seen.election.drafted_at for seen in await queries.list_seen(connection, user, **given)]

    async def work(connection: AsyncConnection[Any]) -> None:
        assert await listed(connection, ANN) == [5, 4, 3]
        assert await listed(connection, BOB) == [4, 3]
        assert await listed(connection, ANN, limit=2) == [5, 4]
        assert await listed(connection, ANN, before=4) == [3]
        assert await listed(connection, ANN, status="open") == [4]
        assert await listed(connection, ANN, role="organiser") == [5, 4]
        assert await listed(connection, ANN, role="voter") == [4]
        assert await listed(connection, BOB, role="organiser") == [3]
        assert await listed(connection, BOB, role="organiser", status="open") == []
        assert await listed(connection, DI) == [5, 4, 3]
        assert await listed(connection, DI, role="trustee") == [5, 4]
        assert await listed(connection, b"w" * 16) == [4, 3]

    reading(dsn, work)


def test_trustees_come_by_number_with_the_release_that_makes_their_modulus(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        found = await trustees.of(connection, [OPEN, DRAFT, b"x" * 16])
        assert [(one.number, one.name, one.user, one.released_at) for one in found[OPEN]] == [
            (1, "one", DI, 8),
            (2, "two", None, None),
        ]
        assert [(one.number, one.name, one.n) for one in found[DRAFT]] == [(2, "Di", b"3"), (None, "Cy", None)]
        assert found[b"x" * 16] == []
        assert await trustees.released(connection, OPEN) == [(1, b"1", b"p", b"q")]
        seen = await queries.seen(connection, DRAFT, CY)
        assert seen is not None and seen.invited

    reading(dsn, work)


def test_the_roll_and_the_attestations_are_read_in_order(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        assert await queries.roll(connection, OPEN) == [queries.Voter(ANN, 1, 2), queries.Voter(BOB, 3, 3)]
        attested = [queries.Attestation(1, b"x"), queries.Attestation(2, b"y")]
        assert await queries.attestations(connection, OPEN) == attested
        assert await queries.issued_weights(connection, OPEN) == {1: 1}
        assert await queries.issued_weights(connection, DRAFT) == {}
        assert await queries.elector(connection, OPEN, ANN) == queries.Elector(1, b"n" * 384)
        assert await queries.elector(connection, OPEN, BOB) == queries.Elector(3, None)
        assert await queries.elector(connection, DRAFT, ANN) is None

    reading(dsn, work)


@pytest.mark.parametrize(
    ("name", "status"),
    [(b"x" * 32, "unknown"), (LATE, "recorded"), (b"p" * 32, "published"), (NAME, "counted")],
)
def test_what_became_of_a_ballot_is_told(dsn: str, name: bytes, status: str) -> None:
    assert reading(dsn, lambda connection: queries.ballot_status(connection, name)) == status


@pytest.mark.parametrize(("eid", "bid", "spent"), [(EID, b"1", True), (EID, b"2", True), (EID, b"3", False)])
def test_a_key_is_spent_while_its_cast_is_kept_and_once_its_ballot_is_on_the_board(
    dsn: str, eid: bytes, bid: bytes, spent: bool
) -> None:
    assert reading(dsn, lambda connection: queries.is_spent(connection, eid, bid * 32)) is spent
    assert reading(dsn, lambda connection: queries.is_spent(connection, b"f" * 32, bid * 32)) is False


def test_an_election_tells_until_when_claims_are_taken(dsn: str) -> None:
    with_end = reading(dsn, lambda connection: queries.election_by_eid(connection, EID))
    without = reading(dsn, lambda connection: queries.election_by_eid(connection, b"f" * 32))
    assert with_end is not None and without is not None
    assert (with_end.claims_until_us, without.claims_until_us) == (77, None)


def test_the_entries_of_a_board_come_in_order(dsn: str) -> None:
    assert reading(dsn, lambda connection: queries.board_entries(connection, b"f" * 32)) == [6, 7]
    assert reading(dsn, lambda connection: queries.board_entries(connection, b"f" * 32, 7)) == [7]
    assert reading(dsn, lambda connection: queries.board_entries(connection, b"f" * 32, 8)) == []


def test_a_ballot_has_a_place_on_the_board_of_its_own_election(dsn: str) -> None:
    place = reading(dsn, lambda connection: queries.board_place(connection, b"f" * 32, b"m" * 32))
    assert place == queries.Place(6, 1)
    assert reading(dsn, lambda connection: queries.board_place(connection, EID, b"m" * 32)) is None


def test_entries_come_in_order_up_to_a_size_but_always_one(dsn: str) -> None:
    async def indexes(connection: AsyncConnection[Any], *values: int) -> list[int]:
        return [entry.index for entry in await queries.entries(connection, *values)]

    async def work(connection: AsyncConnection[Any]) -> None:
        first = log_of_three()[0]
        assert await indexes(connection, 1, 1000, 10**6) == [1, 2, 3]
        assert await indexes(connection, 2, 2, 10**6) == [2]
        assert await indexes(connection, 1, 3, 1) == [1]
        assert await indexes(connection, 4, 10, 10**6) == []
        found = await queries.entry(connection, 1)
        assert found == queries.LogEntry(1, first.header, first.public)

    reading(dsn, work)


def test_membership_entries_that_are_applied_come_in_order(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        async with connection.transaction(force_rollback=True):
            for index, kind in ((4, "NodeAdded"), (5, "MembersAnnounced"), (6, "NodeRemoved"), (7, "NodeAdded")):
                await connection.execute("insert into ledger_entry values (%s, 1, %s, '', '')", (index, kind))
            await connection.execute("update ledger_applied set index = 6")
            for first, most, expected in ((1, 9, [4, 6]), (1, 1, [4]), (5, 9, [6]), (7, 9, [])):
                assert [one.index for one in await queries.membership_entries(connection, first, most)] == expected
            assert [await queries.newest_members(connection, size) for size in (4, 5, 6)] == [4, 4, 6]

    reading(dsn, work)


def test_membership_entries_are_found_without_reading_the_log(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        await connection.execute("set enable_seqscan = off")
        async with AsyncClientCursor(connection) as cursor:
            for query, values in ((queries.MEMBERSHIP_ENTRIES, (1, 9)), (queries.NEWEST_MEMBERS, (9,))):
                await cursor.execute(sql.SQL("explain ") + query, values)
                assert "ledger_entry_members" in str(await cursor.fetchall())

    reading(dsn, work)


def test_a_private_part_is_opened_and_checked(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        reader = PrivateReader(VAULT)
        hidden = await reader.fields(connection, 2)
        assert address_in(hidden, b"tag") == "ann@example.org"
        assert address_in(hidden, b"other") is None
        assert await reader.fields(connection, 1) == {}
        assert (await reader.many(connection, [1, 2, 3, 99])).keys() == {2}

    reading(dsn, work)


def test_a_private_part_under_another_key_or_of_another_entry_is_refused(dsn: str) -> None:
    async def work(connection: AsyncConnection[Any]) -> None:
        with pytest.raises(VaultError):
            await PrivateReader(Vault(b"x" * 32)).fields(connection, 2)
        entry = log_of_three()[1]
        forged = VAULT.seal(b"s" * 32 + encode_map({"tag": b"tag"}), u64(2) + entry.private_digest)
        reader = PrivateReader(VAULT)
        with pytest.raises(EntryError):
            reader._open(2, entry.header, entry.public, forged)
        with pytest.raises(EntryError):
            reader._open(3, entry.header, entry.public, forged)

    reading(dsn, work)


def test_an_address_is_found_among_a_roll_s() -> None:
    digest = hashlib.sha256(b"tag").digest()
    fields = {"addresses": [[ANN, b"x", "other@example.org", b""], [BOB, digest, "bob@example.org", b""]]}
    assert address_in(fields, digest) == "bob@example.org"
