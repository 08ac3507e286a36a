"""The projector: PostgreSQL holds what the fold says, however the log was cut into batches."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import psycopg
import pytest

from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry, encode_map, parse
from ballot.voting import commands as c
from ballot.voting.tables import TABLES, Key, Row, Table
from tests.support.chain import chain
from tests.support.life import EPOCHS, Ledger, Life, State, random_ledger
from tests.support.views import connect, project, rows

pytestmark = pytest.mark.cluster

Rows = dict[str, dict[Key, Row]]


def projected(dsn: str, batches: Sequence[Sequence[Entry]]) -> Rows:
    async def work() -> Rows:
        connection = await connect(dsn)
        async with connection:
            for batch in batches:
                await project(connection, batch)
            return await rows(connection)

    return asyncio.run(work())


def batches(entries: Sequence[Entry], sizes: Sequence[int], rng: random.Random) -> list[Sequence[Entry]]:
    cut: list[Sequence[Entry]] = []
    start = 0
    while start < len(entries):
        size = rng.choice(sizes)
        cut.append(entries[start : start + size])
        start += size
    return cut


@pytest.mark.parametrize(
    ("seed", "sizes"),
    [(1, (1,)), (2, (2, 3, 5)), (3, (1, 7, 40)), (4, (10_000,)), (5, (1, 2, 100)), (6, (20,))],
    ids=["one by one", "a few", "mixed", "all at once", "bursts", "twenty"],
)
def test_the_tables_are_the_fold_of_a_random_log_in_batches_of_any_size(
    dsn: str, seed: int, sizes: Sequence[int]
) -> None:
    made = random_ledger(seed)
    assert len(made.entries) > 40
    assert projected(dsn, batches(made.entries, sizes, random.Random(seed))) == made.state.rows()


def test_every_table_has_rows_in_these_logs_so_that_all_columns_are_compared(dsn: str) -> None:
    made = Ledger()
    for life in (Life(), Life("other", trustees=0, claims_s=60)):
        made.record_all(life.whole())
    other = Life("third")
    made.record_all([*other.people(), *other.drafting(), *other.opening(), *other.voting(), other.withdraw()])
    done, begun = (Life(label, trustees=0, epochs=EPOCHS).in_epochs() for label in ("done", "begun"))
    made.record_all([*done, *begun[: next(n for n, one in enumerate(begun) if isinstance(one, c.PublishBallots)) + 1]])
    found = projected(dsn, [made.entries])
    assert found == made.state.rows()
    for name, table in TABLES.items():
        for column in table.columns:
            assert any(row[column] is not None for row in found[name].values()), f"{name}.{column}"


def test_a_log_without_private_parts_gives_the_same_public_tables(dsn: str) -> None:
    made = random_ledger(7)
    blind = State()
    exported = [parse(entry.header, entry.public) for entry in made.entries]
    for entry in exported:
        blind.apply(entry)
    assert projected(dsn, [exported]) == blind.rows()


def test_a_batch_that_fails_leaves_nothing(dsn: str) -> None:
    made = random_ledger(8)
    public = {"election": b"e", "user": b"u", "number": 2**63, "name": "too large a number", "n": b"n", "proof": b"p"}
    broken = chain([Draft("TrusteeEnrolled", encode_map(public))], after=made.entries[-1])

    async def work() -> None:
        connection = await connect(dsn)
        async with connection:
            await project(connection, made.entries[:30])
            before = await rows(connection)
            with pytest.raises(psycopg.Error):
                await project(connection, [*made.entries[30:], *broken])
            assert await rows(connection) == before

    asyncio.run(work())


# -- the schema


def columns_of(connection: psycopg.Connection[tuple[str, ...]], table: str) -> dict[str, tuple[str, bool]]:
    """Column name to (type, nullable)."""
    query = (
        "select column_name, data_type, is_nullable = 'YES' from information_schema.columns"
        " where table_schema = 'public' and table_name = %s order by ordinal_position"
    )
    return {name: (kind, bool(null)) for name, kind, null in connection.execute(query, (table,)).fetchall()}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_the_migrated_columns_are_those_of_the_tables(dsn: str, table: Table) -> None:
    with psycopg.connect(dsn) as connection:
        found = columns_of(connection, table.name)
        key = connection.execute(
            "select a.attname from pg_index i cross join unnest(i.indkey) with ordinality as part(number, place)"
            " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = part.number"
            " where i.indisprimary and i.indrelid = %s::regclass order by part.place",
            (table.name,),
        ).fetchall()
    # A later migration can only add columns behind `at`.
    assert sorted(found) == sorted([*table.columns, "at"])
    assert {name: kind for name, (kind, _) in found.items()} == {**table.types, "at": "bigint"}
    assert {name for name, (_, null) in found.items() if not null} == {*table.key, "at"}
    assert tuple(name for (name,) in key) == table.key


def test_there_is_no_view_that_the_tables_do_not_know(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    own = {name for (name,) in names if not name.startswith("ledger_")} - {"schema_migration"}
    assert own == set(TABLES)
