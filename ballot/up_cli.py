"""`ballot up`: a cluster on this machine, left running."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from .cluster import Cluster


def default_folder() -> Path:
    """PostgreSQL refuses to run as root, and another user could not enter root's home."""
    return Path("/var/lib/ballot") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "ballot"


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_folder,
    show_default="/var/lib/ballot for root, else ~/.local/share/ballot",
    help="Where keys, databases and logs of the cluster are kept.",
)
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(1, 9), help="How many, the first time.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="HTTP worker processes a node.")
@click.option("--drills", is_flag=True, help="Allow drills (`ballot drill`, /api/_diag/drills).")
@click.option("--organiser", default="", help="Grant this address the organiser's role once it has registered.")
def up(data: Path, nodes: int, workers: int, drills: bool, organiser: str) -> None:
    """Start a cluster on this machine and leave it running until Ctrl-C (or SIGTERM).

    Every node has its own ledger process, gunicorn and PostgreSQL; one Redis serves all. Codes that would be
    e-mailed go to a mailbox folder, whose path is printed. So is how to give a shell a node's environment, which
    `ballot operator`, `ballot node` and `ballot drill` need. Addresses are those of the last time in the same folder,
    unless something else listens there. If this command is killed, what it started ends with it.
    """
    from .cluster import Cluster, ClusterError
    from .embedded import EmbeddedError
    from .keys import KeysError

    console = Console(soft_wrap=True)
    cluster = Cluster(data, nodes=nodes, workers=workers, settings={"BALLOT_DRILLS": str(int(drills))})
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored by what a script starts in the background
        signal.signal(number, _end)
    try:
        with console.status(f"starting {nodes} nodes in {data}"):
            cluster.start()
        _print_addresses(console, cluster)
        _stay(cluster, organiser)
    except (ClusterError, EmbeddedError, KeysError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        pass
    finally:
        with console.status("stopping"):
            cluster.stop()


def _end(_number: int, _frame: object) -> None:
    """The first one ends the cluster in order; those that follow do not cut that short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _print_addresses(console: Console, cluster: Cluster) -> None:
    table = Table(title="cluster is up")
    for column in ("node", "API", "log"):
        table.add_column(column, overflow="fold")
    for one in cluster.nodes:
        table.add_row(str(one.number), f"{one.url}/api", str(one.log))
    console.print(table)
    for what, port in cluster.moved.items():
        console.print(f"{what}: not at port {port} as before, where something else listens")
    console.print(f"mailbox  {cluster.mailbox}\ngenesis  {cluster.genesis.hash.hex()}")
    console.print(f"as node 1, in another shell:  . {cluster.nodes[0].environment_file}")
    console.print("Ctrl-C stops it; data stays.")


def _stay(cluster: Cluster, organiser: str) -> None:
    from .operator import OperatorError

    while True:
        time.sleep(1)
        for number in cluster.revive():
            click.echo(f"node {number} had ended and was started again")
        if organiser:
            try:
                asyncio.run(cluster.grant(organiser, "organiser"))
                click.echo(f"{organiser} is an organiser now")
                organiser = ""
            except OperatorError:
                continue
