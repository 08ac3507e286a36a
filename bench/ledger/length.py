"""Whether cost grows with the length of the log: the same load, memory and a restart at several lengths."""

from __future__ import annotations

import asyncio
import statistics
import time

import psycopg

from bench.processes import memory_mib

from .appends import Row, measure_load
from .load import Advance, fill
from .ours import Ledger

CLIENTS = 64


async def measure_lengths(
    ledger: Ledger, lengths: list[int], seconds: float, rounds: int, advance: Advance
) -> list[Row]:
    """One row a length, in rising order; `advance` hears the length of the log."""
    rows = []
    for length in sorted(lengths):
        rows.append(await _fill_to(ledger, length, advance) | await _measure(ledger, seconds, rounds))
    return rows


async def _fill_to(ledger: Ledger, length: int, advance: Advance) -> Row:
    at = await ledger.last_index()
    if at >= length:
        return {"entries": at, "fill_rate": 0.0}
    took = await fill(ledger.append, length - at, lambda done: advance(at + done))
    return {"entries": await ledger.last_index(), "fill_rate": (length - at) / took}


async def _measure(ledger: Ledger, seconds: float, rounds: int) -> Row:
    loads = [await measure_load(ledger, CLIENTS, seconds) for _ in range(rounds)]
    row = {name: statistics.median(one[name] for one in loads) for name in loads[0]}
    memory = [memory_mib(node.ledger_pid) for node in ledger.cluster.nodes]
    row["resident_mib"] = max(now for now, _ in memory)
    row["resident_peak_mib"] = max(most for _, most in memory)
    row["database_bytes_an_entry"] = _database_bytes(ledger) / await ledger.last_index()
    row["restart_s"] = await _restart(ledger)
    return row


def _database_bytes(ledger: Ledger) -> int:
    """Of one node's tables and indexes; the write-ahead log, which is bounded, is not in it."""
    with psycopg.connect(ledger.cluster.nodes[0].settings.dsn) as connection:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


async def _restart(ledger: Ledger) -> float:
    """Seconds from starting a killed follower's process until it has applied all there is, Python's start included."""
    leader = await ledger.leader()
    place = (leader + 1) % len(ledger.clients)
    node = ledger.cluster.nodes[place]
    node.kill_ledger()
    await asyncio.sleep(0.5)
    last = await ledger.last_index_of(leader)
    begin = time.monotonic()
    node.start_ledger()
    await ledger.caught_up(place, last)
    return time.monotonic() - begin
