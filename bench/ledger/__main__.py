"""`python -m bench.ledger`: what the replicated log costs, beside etcd if it is installed."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .appends import Row, measure_appends
from .catchup import measure_catch_up
from .etcd import Etcd, is_installed
from .failover import measure_failover
from .figures import spread_of
from .length import measure_lengths
from .load import Advance
from .ours import Ledger
from .report import print_report


def _numbers(_: click.Context, option: click.Parameter, text: str) -> list[int]:
    """`1,64,256`; empty for none."""
    try:
        numbers = [int(one) for one in text.split(",") if one]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers", param=option) from None
    if any(number < 1 for number in numbers):
        raise click.BadParameter("each number must be at least 1", param=option)
    return numbers


@dataclass(frozen=True)
class Plan:
    """What to measure; an empty list or 0 leaves a part out."""

    clients: list[int]
    seconds: float
    rounds: int
    kills: int
    length: list[int]
    catch_up: int


@dataclass
class Report:
    machine: str = field(default_factory=platform.platform)
    appends: list[Row] = field(default_factory=list)
    failover: Row = field(default_factory=dict)
    length: list[Row] = field(default_factory=list)
    catch_up: Row = field(default_factory=dict)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--clients", default="1,64,256", show_default=True, callback=_numbers, help="Numbers of clients, or ''.")
@click.option("--seconds", default=6.0, show_default=True, type=click.FloatRange(0.5), help="Of each measurement.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of which the medians count.")
@click.option("--kills", default=30, show_default=True, type=click.IntRange(0), help="Leader kills under 64 clients.")
@click.option("--length", default="", callback=_numbers, help="Lengths of the log to compare: 10000,1000000.")
@click.option("--catch-up", default=0, type=click.IntRange(0), help="Entries that a new node has to stream, at least.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(as_json: bool, **options: Any) -> None:
    """Measure durable replicated appends of 1 KiB on three local nodes.

    Each number of clients is measured in turn on this ledger and on etcd (apt-get install etcd-server, and
    nghttp2-client for h2load), so that a drift of the machine meets both. Then, where asked for: the cost of a long
    log, a new node that catches up, and failover.
    """
    plan = Plan(**options)
    uvloop.install()
    ledger, etcd = Ledger(), Etcd() if plan.clients and is_installed() else None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        try:
            ledger.start()
            report = asyncio.run(_measure(plan, ledger, etcd, progress))
        finally:
            ledger.stop()
            if etcd is not None:
                etcd.stop()
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        print_report(report.appends, report.length, report.catch_up, report.failover)


async def _measure(plan: Plan, ledger: Ledger, etcd: Etcd | None, progress: Progress) -> Report:
    report = Report()
    if plan.clients:
        with _part(progress, "appends, by number of clients", len(plan.clients)) as advance:
            if etcd is not None:
                await asyncio.to_thread(etcd.start)
            report.appends = await measure_appends(ledger, etcd, plan.clients, plan.seconds, plan.rounds, advance)
    if etcd is not None:
        await etcd.disconnect()
        etcd.stop()
    if plan.length:
        with _part(progress, "growing the log, in entries", max(plan.length)) as advance:
            report.length = await measure_lengths(ledger, plan.length, plan.seconds, plan.rounds, advance)
    if plan.kills:
        with _part(progress, "killing leaders", plan.kills) as advance:
            outcome = await measure_failover(ledger, plan.kills, advance)
        report.failover = asdict(spread_of(outcome.gaps_s)) | {"acknowledged_and_found": outcome.checked}
    if plan.catch_up:
        total = max(plan.catch_up, await ledger.last_index())
        with _part(progress, "a new node catches up, in entries", total) as advance:
            report.catch_up = await measure_catch_up(ledger, plan.catch_up, advance)
    for client in ledger.clients:
        client.close()
    return report


@contextmanager
def _part(progress: Progress, description: str, total: int) -> Iterator[Advance]:
    """Shows one part of the run; the caller says how far it is, of `total`."""
    task = progress.add_task(description, total=total)
    yield lambda done: progress.update(task, completed=done)
    progress.update(task, completed=total)


if __name__ == "__main__":
    main()
