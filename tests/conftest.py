"""Servers that tests share, PostgreSQL emptied after each and a cluster; property tests that no slow machine fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from psycopg.conninfo import make_conninfo

from ballot.embedded import EmbeddedPostgres
from tests.support.postgres import empty, running_postgres
from tests.support.town import Town, running_town
from tests.support.witnesses import WITNESS

# How long an example takes says something about the machine, not about the code.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


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
    empty(superuser)


@pytest.fixture(scope="session")
def town() -> Iterator[Town]:
    """Three nodes, three PostgreSQL servers, one Redis. Tests that kill a node start it again before they end."""
    yield from running_town(BALLOT_DRILLS="1", BALLOT_TURNOUT_S="4", BALLOT_WITNESSES=WITNESS.vkey)
