"""One PostgreSQL for whatever needs one, migrated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from ballot.embedded import EmbeddedPostgres, make_postgres_folder
from ballot.ledger.migrate import migrate


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
