"""One PostgreSQL for whatever needs one, migrated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ballot.embedded import EmbeddedPostgres, make_postgres_folder
from ballot.ledger.migrate import migrate

# As a replica the session fires no triggers: only so can what the ledger never lets go be removed.
EMPTY = """
set session_replication_role = replica;
do $$ declare name text; begin
    for name in select tablename from pg_tables where schemaname = 'public' and tablename <> 'schema_migration' loop
        execute format('delete from %I', name);
    end loop;
    insert into ledger_state default values;
    insert into ledger_applied default values;
    insert into ledger_signed default values;
end $$"""


@contextmanager
def running_postgres() -> Iterator[EmbeddedPostgres]:
    folder = make_postgres_folder()
    server = EmbeddedPostgres(folder / "data", folder / "s")
    try:
        server.start()
        migrate(server.dsn)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def empty(superuser: str) -> None:
    """Makes the database as new again."""
    with psycopg.connect(superuser) as connection:
        connection.execute(EMPTY.encode())
