"""Migrations that fill a table from what a log has already led to: as if the table had always been there."""

from __future__ import annotations

import asyncio
from importlib.resources import files

import pytest

from ballot.ledger.decision import Draft
from ballot.ledger.entry import encode_map
from ballot.voting.tables import Key, Row
from tests.support.keys import real_members
from tests.support.life import Ledger, Life
from tests.support.views import connect, project, rows

pytestmark = pytest.mark.cluster


def life() -> Ledger:
    """Two lists of members, and elections of one organiser, one of whose trustees was withdrawn."""
    made = Ledger()
    made.record([Draft("NodeRemoved", encode_map(real_members(3).without(3).to_fields()))])
    one, other = Life(), Life("other")
    made.record_all([*one.people(), *one.drafting(), *one.opening(), other.draft(), other.add("late")])
    return made


def undated(found: dict[Key, Row]) -> dict[Key, Row]:
    return {key: {column: value for column, value in row.items() if column != "at"} for key, row in found.items()}


MIGRATIONS = {
    "0032_cluster_members": ("cluster_members", "drop table cluster_members"),
    "0033_memberships_of_organisers": (
        "memberships",
        "delete from memberships where rolls is null; alter table memberships drop organised, drop invited",
    ),
}


@pytest.mark.parametrize(("name", "table", "undo"), [(name, *one) for name, one in MIGRATIONS.items()], ids=MIGRATIONS)
def test_a_migrated_database_is_as_if_the_table_had_always_been_there(
    dsn: str, name: str, table: str, undo: str
) -> None:
    made = life()

    async def work() -> None:
        async with await connect(dsn) as connection:
            await project(connection, made.entries)
            for entry in made.entries:
                values = (entry.index, entry.term, entry.kind, entry.header, entry.public)
                await connection.execute("insert into ledger_entry values (%b, %b, %t, %b, %b)", values)
            await connection.execute("update ledger_applied set index = %b", (len(made.entries),))
            before = (await rows(connection))[table]
            await connection.execute(undo.encode(), prepare=False)
            sql = (files("ballot.projections") / "migrations" / f"{name}.sql").read_text()
            await connection.execute(sql.encode(), prepare=False)
            after = (await rows(connection))[table]
            assert undated(after) == undated(before) != {}
            # A row may say of a later entry that it has seen it, but of none that is still to be applied.
            assert all(before[key]["at"] <= row["at"] <= len(made.entries) for key, row in after.items())

    asyncio.run(work())
