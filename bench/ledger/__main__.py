"""`python -m bench.ledger`: append rate, latency and failover of the replicated log, beside etcd if it is installed."""

from __future__ import annotations

import asyncio
import json
import platform
import statistics

import click
import uvloop
from rich.console import Console
from rich.table import Table

from .etcd import Etcd, is_installed
from .load import Figures, run_load
from .ours import Ledger, failover_times

Row = dict[str, float]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--clients", default="1,64,256", show_default=True, help="Numbers of clients to measure with.")
@click.option("--seconds", default=6.0, show_default=True, help="How long each measurement takes.")
@click.option("--rounds", default=3, show_default=True, help="Repetitions, in turn with etcd; medians count.")
@click.option("--kills", default=30, show_default=True, help="Leader kills under a load of 64 clients; 0: none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(clients: str, seconds: float, rounds: int, kills: int, as_json: bool) -> None:
    """Measure durable replicated appends of 1 KiB on three local nodes.

    Each number of clients is measured in turn on this ledger and on etcd (apt-get install etcd-server, and
    nghttp2-client for h2load), so that a drift of the machine meets both.
    """
    counts = [int(count) for count in clients.split(",")]
    uvloop.install()
    ledger, etcd = Ledger(), Etcd() if is_installed() else None
    try:
        ledger.start()
        if etcd is not None:
            etcd.start()
        rows, gaps = asyncio.run(_measure(ledger, etcd, counts, seconds, rounds, kills))
    finally:
        ledger.stop()
        if etcd is not None:
            etcd.stop()
    if as_json:
        click.echo(json.dumps({"machine": platform.platform(), "appends": rows, "failover_s": gaps}))
    else:
        _print(rows, gaps)


async def _measure(
    ledger: Ledger, etcd: Etcd | None, counts: list[int], seconds: float, rounds: int, kills: int
) -> tuple[list[Row], list[float]]:
    await run_load(ledger.append, 16, 2.0)
    rows = [await _measure_count(ledger, etcd, count, seconds, rounds) for count in counts]
    if etcd is not None:
        await etcd.disconnect()
        etcd.stop()
    gaps = await failover_times(ledger, kills) if kills else []
    for client in ledger.clients:
        client.close()
    return rows, gaps


async def _measure_count(ledger: Ledger, etcd: Etcd | None, clients: int, seconds: float, rounds: int) -> Row:
    ours: list[Figures] = []
    gateway: list[Figures] = []
    h2load: list[float] = []
    cpu, entries, writes = 0.0, 0, 0
    for _ in range(rounds):
        used, before = ledger.cpu(), await ledger.status()
        ours.append(await run_load(ledger.append, clients, seconds))
        after = await ledger.status()
        cpu += ledger.cpu() - used
        entries += _sum(after, "last") - _sum(before, "last")
        writes += _sum(after, "writes") - _sum(before, "writes")
        if etcd is not None:
            gateway.append(await run_load(etcd.append, clients, seconds))
            h2load += [rate] if (rate := etcd.h2load(clients, seconds)) else []
    row = {
        "clients": clients,
        "rate": _median(ours, "rate"),
        "p50_ms": _median(ours, "p50"),
        "p99_ms": _median(ours, "p99"),
        "entries_a_write": entries / max(1, writes),
        "cpu_us_an_entry_and_node": cpu / max(1, entries) * 1e6,
    }
    if gateway:
        row |= {"etcd_gateway_rate": _median(gateway, "rate"), "etcd_gateway_p50_ms": _median(gateway, "p50")}
        row["ratio_to_gateway"] = row["rate"] / row["etcd_gateway_rate"]
    if h2load:
        row["etcd_h2load_rate"] = statistics.median(h2load)
        row["ratio_to_h2load"] = row["rate"] / row["etcd_h2load_rate"]
    return row


def _sum(statuses: list[dict[str, object]], field: str) -> int:
    return sum(int(str(status[field])) for status in statuses)


def _median(figures: list[Figures], field: str) -> float:
    return float(statistics.median(getattr(one, field) for one in figures))


def _print(rows: list[Row], gaps: list[float]) -> None:
    table = Table(title=f"durable appends of 1 KiB, three nodes, {platform.machine()}")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['clients']:.0f} clients", justify="right")
    for name in list(rows[-1])[1:]:
        shown = (f"{row.get(name, 0):.2f}" if "ratio" in name else f"{row.get(name, 0):,.1f}" for row in rows)
        table.add_row(name.replace("_", " "), *shown)
    console = Console()
    console.print(table)
    if gaps:
        ordered = sorted(gaps)
        middle, worst = statistics.median(ordered) * 1000, ordered[-1] * 1000
        console.print(f"failover over {len(gaps)} leader kills: median {middle:.0f} ms, worst {worst:.0f} ms")


if __name__ == "__main__":
    main()
