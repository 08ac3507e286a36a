"""One PostgreSQL for all tests that need one, emptied after each."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ballot.embedded import EmbeddedPostgres
from tests.support.postgres import running_postgres

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server whose database is migrated."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def superuser(postgres: EmbeddedPostgres) -> str:
    """Connection string of the server's own superuser, to the ledger's database."""
    return make_conninfo(postgres.dsn, user="postgres")


@pytest.fixture
def dsn(postgres: EmbeddedPostgres, superuser: str) -> Iterator[str]:
    """Connection string of a database that is as new."""
    yield postgres.dsn
    with psycopg.connect(superuser) as connection:
        connection.execute(EMPTY.encode())
