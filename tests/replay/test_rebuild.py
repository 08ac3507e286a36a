"""Exports from PostgreSQL, and tables folded from exports: the digests of both ways must agree."""

import asyncio
import io
import shutil
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from ballot.embedded import EmbeddedPostgres, make_postgres_folder
from ballot.ledger.migrate import migrate
from ballot.projections.digest import public_digest
from ballot.projections.projector import apply_changes
from ballot.replay.export import (
    CheckpointRecord,
    EndRecord,
    EntryRecord,
    NoCheckpoint,
    read_export,
    stream_export,
    write_records,
)
from ballot.replay.rebuild import rebuild_in_memory
from ballot.replay.rebuild_database import NotFresh, rebuild
from tests.support.log_builder import ElectionLog

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    folder = make_postgres_folder()
    server = EmbeddedPostgres(folder / "data", folder / "s")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def schema(server: EmbeddedPostgres, name: str) -> str:
    """A DSN that sees an empty schema of its own."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"create schema {name}".encode())
    return make_conninfo(server.dsn, options=f"-c search_path={name}")


@pytest.fixture(scope="module")
def node(server: EmbeddedPostgres, log: ElectionLog) -> str:
    """The database of a node that has applied the log, private parts and all, with its checkpoints."""
    dsn = schema(server, "node")
    migrate(dsn)
    asyncio.run(fill(dsn, log))
    return dsn


async def fill(dsn: str, log: ElectionLog) -> None:
    records = log.records()
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        for entry in log.entries:
            row = (entry.index, entry.term, entry.kind, entry.header, entry.public)
            await connection.execute("insert into ledger_entry values (%s, %s, %s, %s, %s)", row)
        size = 0
        for record in records:
            size += isinstance(record, EntryRecord)
            if isinstance(record, CheckpointRecord):
                await connection.execute("insert into ledger_checkpoint values (%s, %s)", (size, record.note))
        for start, end in pairwise((0, 3, 14, 15, len(log.entries))):
            async with connection.transaction():
                await apply_changes(connection, log.entries[start:end])
        await connection.execute("update ledger_applied set index = %s", (len(log.entries),))


async def exported(dsn: str, last: int) -> bytes:
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        return b"".join([piece async for piece in stream_export(connection, last)])


async def digest(dsn: str) -> tuple[int, str]:
    async with await AsyncConnection.connect(dsn) as connection:
        return await public_digest(connection)


def test_a_node_exports_what_the_log_says(node: str, log: ElectionLog) -> None:
    stream = io.BytesIO()
    write_records(stream, log.records())
    assert asyncio.run(exported(node, len(log.entries))) == stream.getvalue()


def test_an_export_ends_at_the_newest_checkpoint(node: str) -> None:
    records = list(read_export(io.BytesIO(asyncio.run(exported(node, 10)))))
    assert records[-1] == EndRecord(8, 8)
    assert isinstance(records[-2], CheckpointRecord)


def test_before_the_first_checkpoint_there_is_nothing_to_export(node: str) -> None:
    with pytest.raises(NoCheckpoint):
        asyncio.run(exported(node, 3))


def test_the_digest_of_the_tables_is_that_of_the_state_in_memory(node: str, log: ElectionLog) -> None:
    assert asyncio.run(digest(node)) == rebuild_in_memory(log.records())


def test_a_rebuild_from_an_export_gives_the_digest_of_the_node(
    node: str, server: EmbeddedPostgres, log: ElectionLog
) -> None:
    fresh = schema(server, "fresh")
    records: Any = read_export(io.BytesIO(asyncio.run(exported(node, len(log.entries)))))
    assert asyncio.run(rebuild(records, fresh)) == asyncio.run(digest(node))
    with pytest.raises(NotFresh):
        asyncio.run(rebuild(log.records(), fresh))
