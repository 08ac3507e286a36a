"""`python -m bench.audit`: signatures checked a second beside a bare loop, memory, and the rate of a rebuild."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .bare import run_bare
from .making import make_export
from .ours import run_ours

Row = dict[str, float]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--lengths", default="10000,100000,1000000", show_default=True, help="Entries of the logs, separated by ,"
)
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1))
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep the logs there, and use them again."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(lengths: str, workers: int, folder: Path | None, as_json: bool) -> None:
    """Audit and rebuild logs of several lengths, made for it: real elections of up to 25,000 voters, one after another.

    Beside each audit of the signatures, half before and half after it, the same number of the same verifications in a
    bare loop over `cryptography` on as many processes. Ratios are by time and, for a busy machine, by processor time.
    For the third the bare loop loads a key for each ballot's signature, too, as whoever checks them all has to.
    """
    console = Console(stderr=True)
    with TemporaryDirectory(prefix="ballot-bench-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        rows = []
        for entries in sorted(int(one) for one in lengths.split(",")):
            path = place / f"{entries}.ballots"
            counts = _made(path, entries, workers, console)
            with console.status(f"measuring {entries:,} entries"):
                rows.append(measure(path, counts, workers))
    if as_json:
        click.echo(json.dumps({"machine": platform.platform(), "workers": workers, "rows": rows}))
    else:
        _print(rows, workers)


def measure(path: Path, counts: Mapping[str, int], workers: int) -> Row:
    """One log: the signatures between two halves of the bare loop, then the whole audit, then a rebuild."""
    half = {name: count // 2 for name, count in counts.items()}
    before = run_bare(half, workers)
    ours = run_ours("signatures", path, workers)
    after = run_bare(half, workers)
    fresh = run_bare({**half, "rsa2048": 0, "fresh2048": half["rsa2048"]}, workers)
    whole, rebuilt = run_ours("count", path, workers), run_ours("rebuild", path, workers)
    checks = sum(counts.values())
    return {
        "entries": ours["entries"],
        "verifications": checks,
        "verified_a_second": checks / ours["seconds"],
        "bare_a_second": checks / (before[0] + after[0]),
        "ratio": (before[0] + after[0]) / ours["seconds"],
        "ratio_of_processor_time": (before[1] + after[1]) / ours["cpu_s"],
        "ratio_with_ballots_keys_loaded": 2 * fresh[0] / ours["seconds"],
        "audited_a_second": whole["entries"] / whole["seconds"],
        "audit_peak_mib": max(ours["peak_mib"], whole["peak_mib"]),
        "rebuilt_a_second": rebuilt["entries"] / rebuilt["seconds"],
        "rebuild_peak_mib": rebuilt["peak_mib"],
    }


def _made(path: Path, entries: int, workers: int, console: Console) -> dict[str, int]:
    """Makes the log unless it is there; how many verifications it needs."""
    beside = path.with_suffix(".json")
    if not (path.exists() and beside.exists()):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"making {entries:,} entries", total=entries)
            counts = make_export(path, entries, workers, lambda done: progress.update(task, completed=done))
        beside.write_text(json.dumps(counts))
    found: dict[str, int] = json.loads(beside.read_text())
    return found


def _print(rows: list[Row], workers: int) -> None:
    table = Table("", title=f"audit and rebuild, {workers} processes, {platform.machine()}")
    for row in rows:
        table.add_column(f"{row['entries']:,.0f} entries", justify="right")
    for name in rows[-1]:
        if name != "entries":
            shown = (f"{row[name]:.2f}" if name.startswith("ratio") else f"{row[name]:,.0f}" for row in rows)
            table.add_row(name.replace("_", " "), *shown)
    Console().print(table)


if __name__ == "__main__":
    main()
