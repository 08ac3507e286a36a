"""`ballot replay count`: counts a file of ballots outside any election, to be compared with other software."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click
import msgspec

from ..voting.counting import METHODS, NO_SEED, lot
from ..voting.definition import DefinitionError, Question, check_questions
from ..voting.question import InvalidChoice
from .ballot_file import BallotFile, BallotFileError, read_ballot_file


@click.command("count")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--method", required=True, type=click.Choice(list(METHODS)), help="The counting method.")
@click.option("--seats", type=click.IntRange(1), help="How many are elected. Default: what a BLT file says, else 1.")
@click.option("--max-choices", type=click.IntRange(1), help="Marks a ballot may have. Default: the most that one has.")
@click.option("--rule", "rules", multiple=True, metavar="NAME=VALUE", help="A rule of the method; repeat for more.")
@click.option("--grade", "grades", multiple=True, help="A grade of the scale, the best first; repeat for more.")
@click.option("--lot", "seed", metavar="HEX", help="The seed of the lots, 32 bytes. Default: zeros.")
@click.option("--json", "as_json", is_flag=True, help="Print the result document instead of tables.")
def count_command(
    file: Path,
    method: str,
    seats: int | None,
    max_choices: int | None,
    rules: tuple[str, ...],
    grades: tuple[str, ...],
    seed: str | None,
    as_json: bool,
) -> None:
    """Count the ballots in FILE (.blt or .csv) and print every round.

    \b
      ballot replay count ward.blt --method stv --seats 3
      ballot replay count mayor.csv --method irv --rule max_skipped_ranks=1 --rule drop_in_round_1=UWI

    A rule's value is a number, true or false, or the name of an option. docs/counting.md has the rules and the formats.
    """
    try:
        contest = read_ballot_file(file, METHODS[method].form, grades)
        question = _question(contest, method, seats, max_choices, rules, grades)
        check_questions([question])
        ballots = _ballots(contest, question)
    except (BallotFileError, DefinitionError, OSError) as error:
        raise click.ClickException(str(error)) from error
    drawn = lot.draw(_seed(seed), 0, len(question.candidates))
    result = METHODS[method].count(question, ballots.items(), drawn)
    if as_json:
        click.echo(json.dumps({"question": msgspec.to_builtins(question), "result": result}, ensure_ascii=False))
        return
    _print(question, result)


def _question(
    contest: BallotFile,
    method: str,
    seats: int | None,
    max_choices: int | None,
    rules: tuple[str, ...],
    grades: tuple[str, ...],
) -> Question:
    given = dict(_rule(rule, contest.options) for rule in rules)
    elected = seats or contest.seats or 1
    most = max((len(answer) for answer, _, _ in contest.given), default=1)
    return Question(
        text=contest.title or "?",
        method=method,
        options=contest.options,
        max_choices=max_choices or max(most, 1),
        rules=given | ({"seats": elected} if elected > 1 else {}),
        grades=list(grades),
    )


def _rule(text: str, options: list[str]) -> tuple[str, int | bool]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--rule {text!r} is not NAME=VALUE")
    if value in options:
        return name, options.index(value)
    if value in ("true", "false"):
        return name, value == "true"
    if value.isascii() and value.isdigit():
        return name, int(value)
    raise click.UsageError(f"--rule {name}: {value!r} is neither a number, true, false, nor an option")


def _ballots(contest: BallotFile, question: Question) -> Counter[tuple[int, ...]]:
    """Equal ballots together. Raises BallotFileError, naming the line of one that the question does not allow."""
    ballots: Counter[tuple[int, ...]] = Counter()
    for answer, count, line in contest.given:
        if answer not in ballots:
            try:
                METHODS[question.method].check_answer(question, answer)
            except InvalidChoice as error:
                raise BallotFileError(line, error.reason) from error
        ballots[answer] += count
    return ballots


def _seed(text: str | None) -> bytes:
    if text is None:
        return NO_SEED
    if len(text) != 2 * lot.SEED_BYTES or set(text.lower()) - set("0123456789abcdef"):
        raise click.UsageError(f"--lot is not {2 * lot.SEED_BYTES} hex digits")
    return bytes.fromhex(text)


def _print(question: Question, result: dict[str, Any]) -> None:
    from rich.console import Console

    from .show_count import print_count

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(120, 20 + 18 * len(result["rounds"])))
    print_count(console, question, result)
