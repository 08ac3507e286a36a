"""A count for people: every round as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..voting.question import Question


def print_count(console: Console, question: Question, result: Mapping[str, Any]) -> None:
    """Prints the rounds, one row a candidate and one column a round, what else the method shows, ties and winners."""
    names = [escape(name) for name in question.candidates]
    console.print(_rounds(names, result))
    if "pairwise" in result:
        console.print(_comparisons(names, result["pairwise"]))
    if "grades" in result:
        console.print(_grades(names, question.grades, result))
    for written in result.get("write_ins", {}).get("listed", ()):
        console.print(f"written in: {escape(written['name'])} {written['votes']}")
    for line in _ties(names, result["rounds"]):
        console.print(line)
    winners = ", ".join(names[winner] for winner in result["winners"]) or "nobody"
    console.print(f"elected: {winners}   margin: {result['margin']}")


def _rounds(names: Sequence[str], result: Mapping[str, Any]) -> Table:
    rounds = result["rounds"]
    table = Table(title=f"the count: {result['method']}, {result['ballots']} ballots, {result['blank']} blank")
    table.add_column("option")
    for entry in rounds:
        table.add_column("better than" if "pairwise" in result else f"round {entry['round']}", justify="right")
    for number in sorted(map(int, rounds[0]["votes"]), key=lambda number: _standing(rounds, number)):
        table.add_row(names[number], *(_cell(entry, number) for entry in rounds))
    table.add_section()
    for reason in rounds[0]["inactive"]:
        table.add_row(reason.replace("_", " "), *(str(entry["inactive"][reason]) for entry in rounds))
    if any(entry["threshold"] for entry in rounds):
        table.add_row("needed to win", *(str(entry["threshold"]) for entry in rounds))
    return table


def _standing(rounds: Sequence[Mapping[str, Any]], number: int) -> tuple[int, int, Decimal]:
    """Sorts the elected first, in order of their election, then who stayed longest and had the most votes at first."""
    elected = [winner for entry in rounds for winner in entry["elected"]]
    place = elected.index(number) if number in elected else len(elected)
    stayed = sum(str(number) in entry["votes"] for entry in rounds)
    return place, -stayed, -Decimal(rounds[0]["votes"][str(number)])


def _cell(entry: Mapping[str, Any], number: int) -> str:
    votes = entry["votes"].get(str(number))
    if votes is None:
        return ""
    if number in entry["elected"]:
        return f"[green]{votes} ✓"
    return f"[dim]{votes} out" if number in entry["eliminated"] else str(votes)


def _comparisons(names: Sequence[str], pairwise: Sequence[Sequence[int]]) -> Table:
    table = Table(title="votes that rank the row above the column")
    for heading in ("", *names):
        table.add_column(heading, justify="right")
    for number, row in enumerate(pairwise):
        cells = ["" if number == other else str(votes) for other, votes in enumerate(row)]
        marked = [
            f"[green]{cell}" if other != number and row[other] > pairwise[other][number] else cell
            for other, cell in enumerate(cells)
        ]
        table.add_row(names[number], *marked)
    return table


def _grades(names: Sequence[str], grades: Sequence[str], result: Mapping[str, Any]) -> Table:
    table = Table(title="how often each grade was given")
    for heading in ("option", *map(escape, grades), "above", "majority grade", "below"):
        table.add_column(heading, justify="right")
    for number, (given, gauge) in enumerate(zip(result["grades"], result["majority"], strict=False)):
        majority = f"[green]{escape(grades[gauge['grade']])}"
        table.add_row(names[number], *map(str, given), str(gauge["above"]), majority, str(gauge["below"]))
    return table


def _ties(names: Sequence[str], rounds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for entry in rounds:
        if tie := entry.get("tie"):
            tied, chosen = (", ".join(names[number] for number in tie[key]) for key in ("options", "chosen"))
            yield f"round {entry['round']}: {tied} were tied, {chosen} taken by {tie['broken_by'].replace('_', ' ')}"
