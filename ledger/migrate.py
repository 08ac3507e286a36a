"""Versioned SQL migrations: files in name order, each applied once, each in its own transaction."""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import Any

import psycopg

log = logging.getLogger("ballot.migrate")

SOURCES = ("ballot.ledger", "ballot.projections")
_LOCK = 0x62616C6C6F74


class SchemaTooNew(Exception):
    """The database was migrated by a newer version of this software."""


class SchemaTooOld(Exception):
    """The database waits for `ballot migrate`."""


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of every migration this version carries, in the order they are applied."""
    found: list[tuple[str, str]] = []
    for package in SOURCES:
        folder = files(package) / "migrations"
        names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
        short = package.removeprefix("ballot.")
        found += [(f"{short}/{name}", (folder / name).read_text()) for name in names]
    return found


def migrate(dsn: str) -> list[str]:
    """Brings the database up to this version; returns the names applied. Raises SchemaTooNew, psycopg.Error."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        connection.execute(
            "create table if not exists schema_migration (name text primary key, at timestamptz not null default now())"
        )
        pending = _pending(connection)
        for name, sql in pending:
            with connection.transaction():
                connection.execute(sql.encode())
                connection.execute("insert into schema_migration (name) values (%s)", (name,))
            log.info("migration applied", extra={"migration": name})
    return [name for name, _ in pending]


def require_migrated(dsn: str) -> None:
    """Changes nothing. Raises SchemaTooOld, SchemaTooNew, psycopg.Error."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        [exists] = connection.execute("select to_regclass('schema_migration') is not null").fetchone() or (False,)
        pending = [name for name, _ in (_pending(connection) if exists else migrations())]
    if pending:
        raise SchemaTooOld(f"run `ballot migrate` first: the database lacks {', '.join(pending)}")


def _pending(connection: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """The migrations that the database lacks, in order. Raises SchemaTooNew."""
    known = migrations()
    done = {row[0] for row in connection.execute("select name from schema_migration")}
    if unknown := done - {name for name, _ in known}:
        raise SchemaTooNew(f"the database has migrations unknown to this version: {', '.join(sorted(unknown))}")
    return [(name, sql) for name, sql in known if name not in done]
