"""The log in PostgreSQL: what the database itself refuses, and what a node finds when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry, EntryError, encode_map
from ballot.ledger.migrate import migrate
from ballot.ledger.raft.log import Durable
from ballot.ledger.raft.messages import Conf, HardState, Write
from ballot.ledger.table import _CONFS, LogTable, UnsafeDatabase, install_genesis
from ballot.ledger.vault import Vault, VaultError
from tests.support.chain import chain, follow, genesis, membership, notes
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

VAULT = Vault(bytes(32))
GENESIS = genesis()
SECRET = Draft("BallotCast", encode_map({"eid": b"e"}), b"secret ballot")


def entries(count: int, *, after: Entry = GENESIS, term: int = 1, secret: Sequence[int] = ()) -> list[Entry]:
    """Entries after `after`; those at the indexes `secret` have a private part."""
    first = after.index + 1
    drafts = [SECRET if index in secret else notes([f"{index}"])[0] for index in range(first, first + count)]
    return chain(drafts, after=after, term=term)


def write(new: Sequence[Entry] = (), *, commit: int = 1, term: int = 1, vote: int = 1, truncate_from: int = 0) -> Write:
    return Write(1, HardState(term, vote, commit), truncate_from, new, bool(new) or truncate_from > 0)


def run(dsn: str, work: Callable[[LogTable, Durable], Coroutine[Any, Any, Any]], vault: Vault = VAULT) -> Any:
    """`work` with an open table and what it found."""

    async def opened() -> Any:
        table = LogTable(dsn, vault)
        try:
            return await work(table, await table.open())
        finally:
            await table.close()

    return asyncio.run(opened())


@pytest.fixture
def log(dsn: str) -> str:
    """A database with the genesis."""
    install_genesis(dsn, GENESIS)
    return dsn


def fill(dsn: str, *writes: Write) -> None:
    async def work(table: LogTable, _: Durable) -> None:
        for one in writes:
            await table.write(one)

    run(dsn, work)


def found(dsn: str) -> Durable:
    async def work(_: LogTable, durable: Durable) -> Durable:
        return durable

    durable: Durable = run(dsn, work)
    return durable


def read(dsn: str, first: int, last: int, limit: int = 2000, vault: Vault = VAULT) -> list[Entry]:
    async def work(table: LogTable, _: Durable) -> list[Entry]:
        return await table.read(first, last, limit)

    listed: list[Entry] = run(dsn, work, vault)
    return listed


@contextmanager
def refused(dsn: str, code: str = "BL001") -> Iterator[psycopg.Connection[Any]]:
    """A connection on which the block must be refused by the ledger's own rules."""
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.Error) as error:
        yield connection
    assert error.value.sqlstate == code


# -- what comes back


def test_a_new_database_holds_the_genesis_committed(log: str) -> None:
    durable = found(log)
    assert durable.hard == HardState(0, 0, 1)
    assert durable.terms == [(1, 0)]
    assert durable.confs == [(1, Conf((1, 2, 3)))]
    assert durable.tail == [GENESIS]


def test_what_was_written_is_found_again(log: str) -> None:
    new = entries(4, secret=[3])
    newer = entries(3, after=new[-1], term=4)
    fill(log, write(new, term=3, vote=2), write(newer, term=5, vote=3, commit=4))
    durable = found(log)
    assert durable.hard == HardState(5, 3, 4)
    assert durable.terms == [(1, 0), (2, 1), (6, 4)]
    assert durable.tail == [*new[2:], *newer]
    assert read(log, 1, 8) == [GENESIS, *new, *newer]
    assert found(log) == durable


def test_a_vote_alone_and_a_commit_alone_are_written(log: str) -> None:
    fill(log, write(term=7, vote=3))
    assert found(log).hard == HardState(7, 3, 1)
    fill(log, write(entries(2), term=7, vote=3), write(term=7, vote=3, commit=3))
    assert found(log).hard == HardState(7, 3, 3)


def test_commit_never_falls(log: str) -> None:
    fill(log, write(entries(2), commit=3), write(commit=2))
    assert found(log).hard.commit == 3


def test_a_changed_membership_is_found_with_its_place(log: str) -> None:
    added = follow(GENESIS, Draft("NodeAdded", encode_map(membership(4).to_fields())))
    fill(log, write([added, *entries(1, after=added)]))
    assert found(log).confs == [(1, Conf((1, 2, 3))), (2, Conf((1, 2, 3, 4)))]


def test_membership_entries_are_found_by_their_own_index(log: str) -> None:
    """Else a start would look at every entry there is."""
    with psycopg.connect(log) as connection:
        connection.execute("set enable_seqscan = off")
        plan = connection.execute(f"explain {_CONFS}".encode()).fetchall()
    assert "ledger_entry_members" in str(plan)


def test_entries_are_read_in_batches_and_one_by_one(log: str) -> None:
    new = entries(9, secret=[3, 7])
    fill(log, write(new, commit=10))
    assert read(log, 2, 10, limit=4) == new[:4]
    assert read(log, 6, 10, limit=4) == new[4:8]
    assert read(log, 10, 20) == new[8:]
    assert read(log, 11, 20) == []

    async def some(table: LogTable, _: Durable) -> list[Entry]:
        return await table.read_some([7, 3, 99])

    assert run(log, some) == [new[1], new[5]]


def test_a_tail_longer_than_one_read_is_found_whole(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    new = entries(7)
    fill(log, write(new))
    monkeypatch.setattr(LogTable.read, "__defaults__", (3, 1 << 20))
    assert found(log).tail == [GENESIS, *new]


# -- private parts


def test_private_parts_are_sealed_at_rest_and_open_under_the_data_key_alone(log: str) -> None:
    fill(log, write(entries(2, secret=[2])))
    with psycopg.connect(log) as connection:
        rows = connection.execute("select index, sealed from ledger_private").fetchall()
    assert [index for index, _ in rows] == [2]
    assert b"secret ballot" not in rows[0][1]
    assert read(log, 2, 2)[0].private == b"secret ballot"
    with pytest.raises(VaultError):
        read(log, 2, 2, vault=Vault(b"another key".ljust(32)))


def test_a_private_part_moved_to_another_entry_does_not_open(log: str, superuser: str) -> None:
    fill(log, write(entries(2, secret=[2])))
    tamper(superuser, "update ledger_private set index = 3")
    with pytest.raises(VaultError):
        read(log, 2, 3)


# -- what is never allowed


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_entry set kind = 'Other'",
        "update ledger_entry set kind = 'Other' where false",
        "update ledger_private set sealed = ''",
        "truncate ledger_entry cascade",
        "truncate ledger_private",
        "delete from ledger_entry where index = 2",
        "delete from ledger_entry where index = 1",
        "delete from ledger_entry",
        "delete from ledger_private where index = 2",
        "delete from ledger_private",
        "update ledger_state set commit = 1",
        "update ledger_state set term = 0",
        "update ledger_state set epoch = 0",
        "delete from ledger_state",
        "truncate ledger_state",
    ],
)
def test_what_is_committed_is_neither_changed_nor_removed(log: str, statement: str) -> None:
    new = entries(3, secret=[2, 3])
    fill(log, write(new, commit=2))
    with refused(log) as connection:
        connection.execute(statement.encode())
    assert read(log, 1, 4) == [GENESIS, *new]


def test_a_private_part_goes_only_where_a_committed_erasure_names_it_and_its_kind(log: str) -> None:
    new = entries(4, secret=[2, 3, 4])
    fill(log, write(new, commit=5))
    with psycopg.connect(log) as connection:
        connection.execute("insert into ledger_erased (first, last, kind, by) values (2, 3, 'BallotCast', 5)")
        connection.execute("insert into ledger_erased (first, last, kind, by) values (4, 4, 'UserRegistered', 4)")
        connection.execute("delete from ledger_private where index between 2 and 3")
    with refused(log) as connection:
        connection.execute("delete from ledger_private where index = 4")
    assert [entry.private for entry in read(log, 2, 4)] == [None, None, b"secret ballot"]
    assert [entry.hash for entry in read(log, 2, 4)] == [entry.hash for entry in new[:3]]


def test_an_erasure_without_an_entry_is_refused(log: str) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation), psycopg.connect(log) as connection:
        connection.execute("insert into ledger_erased (first, last, kind, by) values (1, 9, 'BallotCast', 77)")


def test_a_read_stops_before_it_gets_too_large_but_never_gives_nothing(log: str) -> None:
    """A board of large entries is read, and sent to a node that was away, in parts that one frame can hold."""
    new = chain(notes(["x" * 1000] * 4))[1:]
    fill(log, write(new, commit=5))

    async def work(table: LogTable, _: Durable) -> list[int]:
        sizes = []
        for most in (1, 2 * new[0].size, 1 << 20):
            found = await table.read(2, 9, max_bytes=most)
            assert found == new[: len(found)]
            sizes.append(len(found))
        return sizes

    assert run(log, work) == [1, 2, 4]


# -- truncation


def test_an_uncommitted_suffix_is_replaced(log: str) -> None:
    old = entries(5, secret=[3, 5])
    fill(log, write(old, commit=3))
    new = entries(2, after=old[1], term=2, secret=[4])
    fill(log, write(new, term=2, commit=3, truncate_from=4))
    assert read(log, 1, 9) == [GENESIS, *old[:2], *new]
    assert found(log).terms == [(1, 0), (2, 1), (4, 2)]
    with psycopg.connect(log) as connection:
        assert connection.execute("select index from ledger_private order by index").fetchall() == [(3,), (4,)]


def test_a_suffix_may_only_be_dropped(log: str) -> None:
    fill(log, write(entries(5)), write(truncate_from=3))
    assert found(log).tail[-1].index == 2


@pytest.mark.parametrize("truncate_from", [1, 2, 3])
def test_a_truncation_at_or_below_commit_is_refused_and_leaves_all(log: str, truncate_from: int) -> None:
    old = entries(4, secret=[3])
    fill(log, write(old, commit=3))
    new = entries(1, after=old[0], term=2)
    with pytest.raises(psycopg.Error) as error:
        fill(log, write(new, term=9, truncate_from=truncate_from))
    assert error.value.sqlstate == "BL001"
    assert read(log, 1, 9) == [GENESIS, *old]
    assert found(log).hard.term == 1


# -- one transaction


def test_an_error_before_commit_leaves_nothing_of_the_write(log: str) -> None:
    """The last of its statements fails: the vote, the truncation and the entries before it are undone as well."""
    old = entries(3)
    fill(log, write(old, term=1, vote=1))
    with psycopg.connect(log) as connection:
        connection.execute(
            "create function fail() returns trigger language plpgsql as $$ begin raise exception 'injected'; end $$"
        )
        connection.execute(
            "create trigger fail before update of commit on ledger_state for each row"
            " when (new.commit > old.commit) execute function fail()"
        )
    new = entries(2, after=old[0], term=2, secret=[4])
    try:
        with pytest.raises(psycopg.errors.RaiseException, match="injected"):
            fill(log, write(new, term=2, vote=3, commit=4, truncate_from=3))
    finally:
        with psycopg.connect(log) as connection:
            connection.execute("drop function fail() cascade")
    durable = found(log)
    assert durable.hard == HardState(1, 1, 1)
    assert durable.tail == [GENESIS, *old]
    with psycopg.connect(log) as connection:
        assert connection.execute("select count(*) from ledger_private").fetchone() == (0,)


def test_an_entry_that_is_there_already_fails_the_whole_write(log: str) -> None:
    old = entries(2)
    fill(log, write(old))
    with pytest.raises(psycopg.errors.UniqueViolation):
        fill(log, write(entries(3), term=3))
    assert found(log).hard.term == 1
    assert read(log, 1, 9) == [GENESIS, *old]


# -- one writer


def test_a_second_writer_takes_over_and_the_first_can_write_no_more(log: str) -> None:
    async def work() -> None:
        first, second = LogTable(log, VAULT), LogTable(log, VAULT)
        await first.open()
        await first.write(write(entries(1)))
        assert (await second.open()).tail[-1].index == 2
        assert second.epoch == first.epoch + 1
        with pytest.raises(psycopg.Error):
            await first.write(write(entries(2)[1:], term=2))
        await second.write(write(entries(2)[1:]))
        for table in (first, second):
            await table.close()

    asyncio.run(work())
    assert found(log).hard.term == 1
    assert found(log).tail[-1].index == 3


def test_a_writer_that_was_replaced_is_fenced_even_if_its_connection_lives(log: str) -> None:
    async def work(table: LogTable, _: Durable) -> None:
        with psycopg.connect(log) as connection:
            connection.execute("update ledger_state set epoch = epoch + 1")
        with pytest.raises(psycopg.Error) as error:
            await table.write(write(entries(1), term=2))
        assert error.value.sqlstate == "BL002"

    run(log, work)
    assert found(log).hard.term == 0


def test_a_writer_stopped_in_mid_write_with_its_locks_held_is_replaced(log: str) -> None:
    """Its transaction holds the state's row: the successor must end it, not wait for it."""

    async def work() -> None:
        first, second = LogTable(log, VAULT), LogTable(log, VAULT)
        await first.open()
        assert first._writer is not None
        await first._writer.execute("begin")
        await first.write(write(entries(1), term=9))
        async with asyncio.timeout(PATIENCE_S):
            durable = await second.open()
        assert durable.hard.term == 0
        assert durable.tail == [GENESIS]
        with pytest.raises(psycopg.Error):
            await first._writer.execute("commit")
        for table in (first, second):
            await table.close()

    asyncio.run(work())
    assert found(log).tail == [GENESIS]


def test_taking_over_ends_no_writer_of_another_database_on_the_same_server(log: str, superuser: str) -> None:
    """Advisory locks belong to a database, but pg_locks shows those of all."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("create database neighbour owner ballot")
    neighbour = make_conninfo(log, dbname="neighbour")
    migrate(neighbour)
    install_genesis(neighbour, GENESIS)

    async def work() -> None:
        tables = [LogTable(where, VAULT) for where in (neighbour, log, log)]
        for table in tables:
            await table.open()
        await tables[0].write(write(entries(1)))
        for table in tables:
            await table.close()

    try:
        asyncio.run(work())
    finally:
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("drop database neighbour with (force)")


# -- a database that is not safe, or not whole


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_a_database_that_may_lose_commits_is_refused(log: str, superuser: str, value: str) -> None:
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(sql.SQL("alter role ballot set synchronous_commit = {}").format(sql.Literal(value)))
        try:
            with pytest.raises(UnsafeDatabase, match=f"synchronous_commit = {value}"):
                found(log)
        finally:
            connection.execute("alter role ballot reset synchronous_commit")


def test_a_write_without_sync_does_not_weaken_the_next(log: str) -> None:
    async def work(table: LogTable, _: Durable) -> str:
        await table.write(write(commit=1))
        assert table._writer is not None
        row = await (await table._writer.execute("show synchronous_commit")).fetchone()
        assert row is not None
        return str(row[0])

    assert run(log, work) == "on"


def test_another_ledgers_database_is_refused(log: str) -> None:
    install_genesis(log, GENESIS)
    with pytest.raises(UnsafeDatabase, match="another ledger"):
        install_genesis(log, genesis(membership(5)))
    assert found(log).tail == [GENESIS]


def tamper(superuser: str, statement: str) -> None:
    """What only somebody with full power over the database can do."""
    with psycopg.connect(superuser) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(statement.encode())


def test_a_log_with_a_gap_is_refused(log: str, superuser: str) -> None:
    fill(log, write(entries(5), commit=2))
    tamper(superuser, "delete from ledger_entry where index = 4")
    with pytest.raises(EntryError):
        found(log)


def test_a_changed_bit_in_the_newest_entries_is_refused(log: str, superuser: str) -> None:
    """In the header it is only seen by the entry after it."""
    fill(log, write(entries(5), commit=2))
    flip = "update ledger_entry set {0} = set_byte({0}, {1}, get_byte({0}, {1}) # 1) where index = 4"
    for statement in (flip.format("public", 3), flip.format("header", 50)):
        tamper(superuser, statement)
        with pytest.raises(EntryError):
            found(log)
        tamper(superuser, statement)
    assert len(found(log).tail) == 5
