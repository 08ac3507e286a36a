"""`python -m bench.api`: ballots a second over HTTP, and three ceilings under the same gunicorn."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from ballot.embedded import EmbeddedPostgres
from ballot.embedded_programs import make_postgres_folder
from ballot.ledger import rsa
from ballot.ports import free_port
from ballot.serve import gunicorn_command, stop_all
from ballot.voting.ballot import parse_ballot, verify_credential, verify_signature
from bench.ledger.figures import Figures, figures_of

from .ballots import Booth, make_ballots
from .ours import Nodes
from .wire import Poster

CEILINGS = ("echo", "checked", "stored")
WORKERS = 2


@dataclass(frozen=True)
class Run:
    """`cpu` in microseconds a ballot by kind of process; the load generator's own is among them."""

    figures: Figures
    cpu: Mapping[str, float]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--clients", default=64, show_default=True, help="Connections, each with one ballot on its way.")
@click.option("--ballots", default=4000, show_default=True, help="Ballots of each measurement.")
@click.option("--rounds", default=3, show_default=True, help="Repetitions in turn with the ceilings; medians count.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(clients: int, ballots: int, rounds: int, as_json: bool) -> None:
    """Cast ballots over HTTP through three nodes with all checks on, as fast as they are taken.

    Beside it, in the same run and under the same gunicorn: a bare app that answers the same body (echo), one that also
    checks both signatures (checked), one that also inserts durably into a single PostgreSQL (stored).
    """
    console, nodes = Console(stderr=True), Nodes()
    try:
        with console.status("starting three nodes"):
            nodes.start()
            booth = asyncio.run(nodes.open())
        with console.status(f"making {ballots * (rounds + 1)} ballots"):
            made = make_ballots(booth, ballots * (rounds + 1))
        with console.status("measuring"), _ceilings(booth) as ceilings:
            ours, theirs = _measure(nodes, ceilings, [made[i :: rounds + 1] for i in range(rounds + 1)], clients)
    finally:
        nodes.stop()
    checks = signature_us(booth, made[:300])
    rows = _rows(ours, theirs, checks)
    if as_json:
        click.echo(json.dumps({"machine": platform.platform(), "clients": clients, "rows": rows}))
    else:
        _print(rows, clients)


def _measure(
    nodes: Nodes, ceilings: Mapping[str, tuple[int, int]], parts: Sequence[Sequence[bytes]], clients: int
) -> tuple[dict[str, list[Run]], dict[str, list[Run]]]:
    ours: dict[str, list[Run]] = {"three nodes": [], "three nodes, no mutex": []}
    theirs: dict[str, list[Run]] = {name: [] for name in CEILINGS}
    for part in parts[1:]:
        ours["three nodes"].append(_cast(nodes, part, clients))
        for name, (port, _) in ceilings.items():
            theirs[name].append(Run(_post([("127.0.0.1", port)], part, clients), {}))
    nodes.switch_mutex(False)
    ours["three nodes, no mutex"].append(_cast(nodes, parts[0], clients))
    return ours, theirs


def _cast(nodes: Nodes, ballots: Sequence[bytes], clients: int) -> Run:
    before, own = nodes.cpu(), _own_cpu()
    figures = _post(nodes.addresses, ballots, clients)
    after = nodes.cpu()
    cpu = {name: (after[name] - used) / len(ballots) * 1e6 for name, used in before.items()}
    return Run(figures, cpu | {"load generator": (_own_cpu() - own) / len(ballots) * 1e6})


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _post(addresses: Sequence[tuple[str, int]], ballots: Sequence[bytes], clients: int) -> Figures:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(post_all(addresses, ballots, clients))


async def post_all(addresses: Sequence[tuple[str, int]], ballots: Sequence[bytes], clients: int) -> Figures:
    """Posts each ballot once. Raises SystemExit when one is not answered with 201."""
    waiting, latencies = iter(ballots), []

    async def client(number: int) -> None:
        poster = Poster(*addresses[number % len(addresses)])
        for body in waiting:
            begun = time.monotonic()
            status = await poster.post(body)
            if status != 201:
                raise SystemExit(f"a ballot was answered with {status}")
            latencies.append(time.monotonic() - begun)
        poster.close()

    begun = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return figures_of(clients, latencies, time.monotonic() - begun)


def signature_us(booth: Booth, ballots: Sequence[bytes]) -> float:
    """Microseconds that the two signature checks of a ballot take."""
    registrar = rsa.modulus(rsa.load_private(booth.registrar))
    begun = time.process_time()
    for body in ballots:
        ballot = parse_ballot(body)
        verify_credential(registrar, ballot.eid, ballot.bpk, ballot.prefix, ballot.credential)
        verify_signature(ballot)
    return (time.process_time() - begun) / len(ballots) * 1e6


@contextmanager
def _ceilings(booth: Booth) -> Iterator[dict[str, tuple[int, int]]]:
    """(port, process id) of a running server each."""
    sockets = make_postgres_folder()
    postgres = EmbeddedPostgres(sockets / "data", sockets / "s")
    servers: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
    with TemporaryDirectory() as folder:
        try:
            postgres.start()
            with psycopg.connect(postgres.dsn, autocommit=True) as connection:
                connection.execute("create table ceiling (body bytea)")
            for name in CEILINGS:
                servers[name] = _serve(name, booth, postgres.dsn, Path(folder) / f"{name}.log")
            time.sleep(3)
            yield {name: (port, server.pid) for name, (port, server) in servers.items()}
        finally:
            stop_all([server for _, server in servers.values()])
            postgres.stop()
            subprocess.run(["rm", "-rf", str(sockets)], check=True)


def _serve(name: str, booth: Booth, dsn: str, log: Path) -> tuple[int, subprocess.Popen[bytes]]:
    port = free_port()
    registrar = rsa.modulus(rsa.load_private(booth.registrar)).hex()
    environment = {**os.environ, "CEILING": name, "CEILING_REGISTRAR": registrar, "CEILING_DSN": dsn}
    command = gunicorn_command("bench.api.ceilings:application()", ("127.0.0.1", port), WORKERS)
    with log.open("wb") as output:
        return port, subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def _rows(
    ours: Mapping[str, Sequence[Run]], theirs: Mapping[str, Sequence[Run]], checks_us: float
) -> dict[str, dict[str, float]]:
    rows = {}
    for name, runs in (*ours.items(), *theirs.items()):
        row = {what: statistics.median(getattr(run.figures, what) for run in runs) for what in ("rate", "p50", "p99")}
        for part in runs[0].cpu:
            row[f"us_{part}"] = statistics.median(run.cpu[part] for run in runs)
        rows[name] = row
    rate = rows["three nodes"]["rate"]
    for name in theirs:
        rows[name]["ratio"] = rate / rows[name]["rate"]
    rows["three nodes"]["us_signature checks"] = checks_us
    with_lock, without = rows["three nodes"], rows["three nodes, no mutex"]
    rows["three nodes"]["us_lock"] = with_lock["us_HTTP"] - without["us_HTTP"] + with_lock["us_Redis"]
    return rows


def _print(rows: Mapping[str, Mapping[str, float]], clients: int) -> None:
    table = Table("", "ballots a second", "p50 ms", "p99 ms", "three nodes reach", title=f"{clients} clients")
    for name, row in rows.items():
        ratio = f"{row['ratio']:.2f} of it" if "ratio" in row else ""
        table.add_row(name, f"{row['rate']:,.0f}", f"{row['p50']:.1f}", f"{row['p99']:.1f}", ratio)
    console = Console()
    console.print(table)
    parts = Table("processor time", "us a ballot", title="three nodes, all of them and the load generator")
    for name, value in rows["three nodes"].items():
        if name.startswith("us_"):
            parts.add_row(name.removeprefix("us_"), f"{value:,.0f}")
    console.print(parts)
    console.print("signature checks and lock are part of HTTP and Redis", highlight=False)


if __name__ == "__main__":
    main()
