"""Publishing the board: what the leader has to submit next, for an election that is open in epochs, or closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from psycopg import AsyncConnection

from ..ledger.table import LogTable
from ..voting import commands as c

CHUNK_BYTES = 700_000

# In the order of their names: no trace of the order in which they came.
_CASTS = """
select casts.cast_at from casts left join board on board.eid = casts.eid and board.name = casts.name
where casts.eid = %b and casts.cast_at < %b and board.name is null order by casts.name"""


async def steps(
    connection: AsyncConnection[Any], table: LogTable, election: dict[str, Any]
) -> AsyncIterator[c.AnyCommand]:
    """`election`: its row, with `epoch`, `ended_at` and `begun` of its epochs. It must not lag behind the log."""
    status, ended_at = election["status"], election["ended_at"]
    if status == "open" and ended_at is None:
        yield c.EndEpoch(election["election"], election["epoch"] or 0)
        return
    of_epoch = ended_at is not None and (status == "open" or election["begun"])
    cursor = await connection.execute(_CASTS, (election["eid"], ended_at if of_epoch else election["closed_at"]))
    places = [row["cast_at"] for row in await cursor.fetchall()]
    number, epoch = election["chunks"] or 0, election["epoch"] or 0
    a_chunk = await _ballots_a_chunk(table, places)
    for start in range(0, len(places), a_chunk) or [0]:
        chunk = places[start : start + a_chunk]
        last = not of_epoch and start + a_chunk >= len(places)
        yield c.PublishBallots(election["election"], number, last, await _bodies(table, chunk), epoch)
        number += 1


async def _ballots_a_chunk(table: LogTable, places: Sequence[int]) -> int:
    """All ballots of an election have one size."""
    first = await _bodies(table, places[:1])
    return max(1, CHUNK_BYTES // len(first[0])) if first else 1


async def _bodies(table: LogTable, places: Sequence[int]) -> list[bytes]:
    found = {entry.index: entry.private or b"" for entry in await table.read_some(places)}
    return [found[place] for place in places]
