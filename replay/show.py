"""An audit's report for people."""

from __future__ import annotations

from dataclasses import asdict

from .report import LEVELS, ElectionReport, Level, Report

CAVEAT = (
    "  silent: credentials that were issued and neither cast nor claimed as unused. A dishonest registrar could have\n"
    "  voted for their holders; only claims expose that. Compare it with the margin."
)


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
    """Title, numbers and winners of one election; not `counted`: nobody tried to count it."""
    numbers = asdict(election.accounting)
    lines = [f"{election.title or election.election} ({election.status}{', DISPUTED' if election.disputed else ''})"]
    lines.append("  " + "  ".join(f"{name} {number}" for name, number in numbers.items()))
    for outcome in election.outcomes:
        names = ", ".join(outcome.names) or "nobody"
        lines.append(f"  {outcome.text} {names} ({outcome.method}, rounds: {outcome.rounds}, margin: {outcome.margin})")
    if election.recounted and election.accounting.silent:
        lines.append(CAVEAT)
    elif counted and not election.recounted and election.status == "tallied":
        lines.append("  the count could not be made again")
    return lines
