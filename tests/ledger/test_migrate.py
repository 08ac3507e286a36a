"""Migrations: each once, in order, and a newer database is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ballot.ledger.migrate import SchemaTooNew, SchemaTooOld, migrate, migrations, require_migrated

pytestmark = pytest.mark.cluster


@pytest.fixture
def empty(superuser: str, dsn: str) -> Iterator[str]:
    """A database that was never migrated."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("create database empty owner ballot")
        try:
            yield make_conninfo(dsn, dbname="empty")
        finally:
            connection.execute("drop database empty with (force)")


def test_every_migration_is_applied_once_and_in_order(empty: str) -> None:
    names = [name for name, _ in migrations()]
    assert names[0] == "ledger/0001_log.sql"
    assert any(name.startswith("projections/") for name in names)
    assert migrate(empty) == names
    assert migrate(empty) == []


def test_two_that_migrate_at_once_do_not_meet(empty: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(migrate, [empty] * 3))
    assert sorted(map(len, done)) == [0, 0, len(migrations())]


def test_a_migration_that_fails_leaves_nothing_of_itself(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrations()
    broken = ("ledger/0002_broken.sql", "create table half (a int); select 1 / 0")
    monkeypatch.setattr("ballot.ledger.migrate.migrations", lambda: [*known, broken])
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty)
    with psycopg.connect(empty) as connection:
        assert connection.execute("select to_regclass('half'), to_regclass('ledger_entry') is not null").fetchone() == (
            None,
            True,
        )
    monkeypatch.setattr("ballot.ledger.migrate.migrations", lambda: known)
    assert migrate(empty) == []


def test_a_database_of_a_newer_version_is_refused_and_left_alone(dsn: str, superuser: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into schema_migration (name) values ('ledger/9999_future.sql')")
    try:
        for work in (migrate, require_migrated):
            with pytest.raises(SchemaTooNew, match="9999_future"):
                work(dsn)
    finally:
        with psycopg.connect(dsn) as connection:
            connection.execute("delete from schema_migration where name like '%future.sql'")


def test_a_node_that_may_not_migrate_waits_for_whoever_does(empty: str) -> None:
    with pytest.raises(SchemaTooOld, match="0001_log"):
        require_migrated(empty)
    with psycopg.connect(empty) as connection:
        assert connection.execute("select to_regclass('schema_migration')").fetchone() == (None,)
    migrate(empty)
    require_migrated(empty)
