"""`ballot drill`: the failure drills from the command line of a node."""

from __future__ import annotations

import asyncio
import sys

import click
import msgspec
from rich.console import Console
from rich.table import Table

from .cli_settings import settings_or_exit
from .drilling import run_drills
from .drills.record import Report, Step
from .drills.runner import DRILLS, ElectionRunning, Outsider
from .ledger.submit import Unavailable
from .logs import configure


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="all|NAME...")
@click.option("--force", is_flag=True, help="Run although an election is open.")
@click.option("--gently", is_flag=True, help="Make a leader hand over instead of ending its process.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def drill(names: tuple[str, ...], force: bool, gently: bool, as_json: bool) -> None:
    """Run failure drills against the live cluster and print what was seen.

    NAME is login, election, vote, signature-rejection, double-vote, lock, failover or clock-skew; `all` runs each.
    Run this on a node, with its environment; all nodes need BALLOT_DRILLS=1, and BALLOT_API must name their APIs.

    A drill makes accounts under @drill.invalid and elections whose titles begin with "Drill: "; they stay in the log.
    Ends with exit status 0 only if every drill passed.
    """
    chosen = list(DRILLS) if "all" in names else list(names)
    if unknown := [name for name in chosen if name not in DRILLS]:
        raise click.ClickException(f"there is no drill {unknown[0]}; the drills are {', '.join(DRILLS)}")
    settings = settings_or_exit()
    if not settings.drills:
        raise click.ClickException("drills are not enabled on this node: set BALLOT_DRILLS=1 on all nodes")
    configure("error", node=settings.node)
    try:
        reports = asyncio.run(run_drills(settings, chosen, force=force, gently=gently, tell=_tell))
    except ElectionRunning as error:
        raise click.ClickException(f"{error}; --force runs drills all the same") from error
    except (Outsider, Unavailable) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(msgspec.json.encode(reports))
    else:
        _print(reports)
    sys.exit(0 if all(report.passed for report in reports) else 1)


def _tell(drill: str, step: Step) -> None:
    """On standard error, so that the table or the document alone is what the command prints."""
    click.echo(f"{drill}: {step.what}: {step.saw if step.ok else f'FAILED: {step.saw}'} ({step.ms:.0f} ms)", err=True)


def _print(reports: list[Report]) -> None:
    table = Table("drill", "", "seconds", "steps", "measured", title="drills")
    for report in reports:
        verdict = "PASS" if report.passed else "[red]FAIL[/red]"
        figures = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in report.measured.items())
        table.add_row(report.drill, verdict, f"{report.seconds:.1f}", str(len(report.steps)), figures)
    Console().print(table)
