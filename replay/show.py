"""An audit's report for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from .report import CAVEAT, LEVELS, ElectionReport, Level, Minting, Report
from .series import COLUMNS


def show_report(report: Report, *, pinned: bool) -> None:
    """Prints the accounting of every election, a verdict a level, what was found, and the verdict on a last line."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{report.entries} entries, {report.checkpoints} checkpoints, genesis {report.genesis}")
    if not pinned:
        console.print("the genesis is not pinned: nothing here says whose ledger it is (see --genesis)")
    for recovery in report.recoveries:
        console.print("\n".join(["", f"NOTICE: {recovery.detail[0]}", *(f"  {line}" for line in recovery.detail[1:])]))
    for election in report.elections:
        console.print("\n".join(["", *election_lines(election, counted=report.level is Level.COUNT), ""]))
    levels = Table("level", "verdict", "findings", box=None, padding=(0, 2))
    for level in LEVELS:
        levels.add_row(level.value, report.verdict(level), str(len(report.at(level))))
    console.print(levels)
    for finding in report.findings:
        console.print(f"entry {finding.index}: {finding.level.value}/{finding.name}: {finding.detail}")
    for name, count in report.more.items():
        console.print(f"and {count} more of {name}")
    if report.first is not None:
        console.print(f"the first that is broken: entry {report.first.index}, {report.first.detail}")
    console.print(f"audit: {'PASS' if report.passed else 'FAIL'}{_reservation(report)}")


def _reservation(report: Report) -> str:
    """What the last line must not leave out."""
    places = ", ".join(f"entry {recovery.index}" for recovery in report.recoveries)
    return f"; but entries may be missing: the cluster was RECOVERED at {places} (see NOTICE)" if places else ""


def election_lines(election: ElectionReport, *, counted: bool = True) -> list[str]:
    """Title, numbers and winners of one election, and how far the silent could have moved them; not `counted`: nobody
    tried to count it.
    """
    numbers = asdict(election.accounting)
    lines = [f"{election.title or election.election} ({election.status}{', DISPUTED' if election.disputed else ''})"]
    shown = ((name, "-" if number is None else number) for name, number in numbers.items())
    lines.append("  " + "  ".join(f"{name} {number}" for name, number in shown))
    for outcome in election.outcomes:
        names = ", ".join(outcome.names) or "nobody"
        lines.append(f"  {outcome.text} {names} ({outcome.method}, rounds: {outcome.rounds}, margin: {outcome.margin})")
    if election.recounted:
        lines += _silent_lines(election)
        lines.append(f"  ballots opened by their seeds: {election.by_seed}, with the released keys: {election.by_keys}")
    elif counted and election.status == "tallied":
        lines.append("  the count could not be made again")
    if election.minting is not None:
        lines += _minting_lines(election.minting)
    return lines


def _silent_lines(election: ElectionReport) -> list[str]:
    votes = election.accounting.silent_votes
    if not votes or votes < 0:
        return []
    close = [outcome.text for outcome in election.outcomes if votes >= outcome.margin]
    verdict = f"as much as the margin of: {', '.join(close)}" if close else "less than every margin"
    return [f"  the silent could have been worth {votes} votes, {verdict}", f"  {CAVEAT}"]


def _minting_lines(minting: Minting) -> list[str]:
    of_weight = f" of weight {minting.weight}" if minting.weight else ""
    sums = f"{minting.ballots} ballots{of_weight} + {minting.unused} unused > {minting.issued} issued"
    lines = [f"  MINTED {minting.excess}: {sums}, as of entry {minting.index}. Count them yourself:"]
    spans = minting.entries.items()
    return lines + [f"    {kind}: {count} entries, from {first} to {last}" for kind, (first, last, count) in spans]


def json_parts(report: Report) -> Iterator[str]:
    """The report as one JSON object in parts, for the series may be too long to be held at once."""
    yield json.dumps(report.to_json())[:-1]
    yield f', "series": {{"columns": {json.dumps(COLUMNS)}, "elections": {{'
    for number, election in enumerate(report.elections):
        yield f'{", " if number else ""}"{election.election}": ['
        for place, row in enumerate(election.series):
            yield (", " if place else "") + json.dumps(row)
        yield "]"
    yield "}}}"
