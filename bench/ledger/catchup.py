"""A new node joins as `ballot node add` does it and streams the whole log, verified."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import psycopg

from ballot.cluster import ClusterNode
from ballot.keys import load_record
from ballot.ledger.submit import Unavailable
from ballot.operator import add_node

from .appends import Row
from .load import Advance, fill
from .ours import Ledger

TIMEOUT_S = 3600.0


class Different(Exception):
    """The node that joined has not got the log that the others have."""


async def measure_catch_up(ledger: Ledger, entries: int, advance: Advance) -> Row:
    """Lets a node join a log of at least `entries` entries; `advance` hears how many it has applied.

    That what it got is the log, is checked three times: by the node itself, entry by entry along the hash chain; by its
    tree, whose root must be the one that a majority signed before it may vote; and here, against another node's rows.
    """
    at = await ledger.last_index()
    if at < entries:
        await fill(ledger.append, entries - at, lambda _: None)
    size, last = _size(ledger.cluster.nodes[0])
    node = await asyncio.to_thread(ledger.cluster.join)
    ledger.clients.append(node.client())
    await _up(ledger)
    begin = time.monotonic()
    watching = asyncio.ensure_future(_watch(ledger, last, advance))
    record = load_record(ledger.cluster.folder / "keys" / f"node{node.number}" / "record")
    host, port = node.settings.listen
    await add_node(ledger.cluster.nodes[0].settings, record, f"{host}:{port}", TIMEOUT_S, lambda said: None)
    voter_s = time.monotonic() - begin
    durable_s, applied_s = await watching
    if _rows(node, last) != _rows(ledger.cluster.nodes[0], last):
        raise Different(f"node {node.number} has another log than node 1")
    return {
        "entries": last,
        "mib": size / (1 << 20),
        "durable_s": durable_s - begin,
        "applied_s": applied_s - begin,
        "voter_s": voter_s,
        "entries_a_second": last / (applied_s - begin),
        "mib_a_second": size / (1 << 20) / (applied_s - begin),
    }


async def _up(ledger: Ledger) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable):
                await ledger.clients[-1].status()
                return
            await asyncio.sleep(0.02)


async def _watch(ledger: Ledger, last: int, advance: Advance) -> tuple[float, float]:
    """When the newest client's node had everything up to `last` on disk, and when it had applied it."""
    durable = 0.0
    while True:
        status = await ledger.clients[-1].status()
        now = time.monotonic()
        if not durable and status["durable"] >= last:
            durable = now
        advance(status["applied"])
        if status["applied"] >= last:
            return durable, now
        await asyncio.sleep(0.02)


def _size(node: ClusterNode) -> tuple[int, int]:
    """(bytes, entries) that its log holds."""
    query = "select sum(octet_length(header) + octet_length(public)), max(index) from ledger_entry"
    with psycopg.connect(node.settings.dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _rows(node: ClusterNode, last: int) -> str:
    """One hash over every header and payload, in order."""
    query = (
        "select encode(sha256(string_agg(sha256(header) || sha256(public), '' order by index)), 'hex')"
        " from ledger_entry where index <= %s"
    )
    with psycopg.connect(node.settings.dsn) as connection:
        row = connection.execute(query, (last,)).fetchone()
    assert row is not None
    return str(row[0])
