"""Durable appends at several numbers of clients, each in turn on this ledger and on etcd."""

from __future__ import annotations

import statistics

from .etcd import Etcd
from .figures import Figures
from .load import Advance, run_load
from .ours import Ledger, Reading

Row = dict[str, float]


async def measure_appends(
    ledger: Ledger, etcd: Etcd | None, counts: list[int], seconds: float, rounds: int, advance: Advance
) -> list[Row]:
    """One row a number of clients, medians of the rounds."""
    await run_load(ledger.append, 16, 2.0)
    rows = []
    for place, clients in enumerate(counts):
        rows.append(await _measure(ledger, etcd, clients, seconds, rounds))
        advance(place + 1)
    return rows


async def _measure(ledger: Ledger, etcd: Etcd | None, clients: int, seconds: float, rounds: int) -> Row:
    ours: list[Row] = []
    gateway: list[Figures] = []
    h2load: list[float] = []
    for _ in range(rounds):
        ours.append(await measure_load(ledger, clients, seconds))
        if etcd is not None:
            gateway.append(await run_load(etcd.append, clients, seconds))
            h2load += [rate] if (rate := etcd.h2load(clients, seconds)) else []
    row = {"clients": clients} | {name: statistics.median(one[name] for one in ours) for name in ours[0]}
    if gateway:
        row["etcd_gateway_rate"] = statistics.median(one.rate for one in gateway)
        row["etcd_gateway_p50_ms"] = statistics.median(one.p50 for one in gateway)
        row["etcd_gateway_p99_ms"] = statistics.median(one.p99 for one in gateway)
        row["ratio_to_gateway"] = row["rate"] / row["etcd_gateway_rate"]
    if h2load:
        row["etcd_h2load_rate"] = statistics.median(h2load)
        row["ratio_to_h2load"] = row["rate"] / row["etcd_h2load_rate"]
    return row


async def measure_load(ledger: Ledger, clients: int, seconds: float) -> Row:
    before = await ledger.read()
    figures = await run_load(ledger.append, clients, seconds)
    after = await ledger.read()
    row = {"rate": figures.rate, "p50_ms": figures.p50, "p99_ms": figures.p99}
    return row | costs(before, after, len(ledger.clients))


def costs(before: Reading, after: Reading, nodes: int) -> Row:
    """What an entry took: `writes` and processor time are those of one node, `messages` those to one follower."""
    entries = max(1, after.entries - before.entries)
    return {
        "entries_a_write": entries * nodes / max(1, after.writes - before.writes),
        "entries_a_message": entries * (nodes - 1) / max(1, after.appends - before.appends),
        "ledger_cpu_us_an_entry_and_node": (after.ledger_cpu_s - before.ledger_cpu_s) / entries / nodes * 1e6,
        "postgres_cpu_us_an_entry_and_node": (after.postgres_cpu_s - before.postgres_cpu_s) / entries / nodes * 1e6,
    }
