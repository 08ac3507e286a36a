"""`ballot replay count`: files of ballots counted outside any election."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ballot.replay.cli import replay
from ballot.voting.counting import METHODS

DATA = Path(__file__).parents[1] / "data"
GLASGOW, MINNEAPOLIS = DATA / "glasgow-2017-ward-2.blt", DATA / "minneapolis-2017-mayor.csv"
CITY_RULES = ("max_skipped_ranks=1", "overvote_skips=true", "batch_elimination=true", "drop_in_round_1=UWI")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(replay, ["count", *map(str, arguments)])


def test_the_stages_of_glasgow_are_printed() -> None:
    result = run(GLASGOW, "--method", "stv", "--seats", "3")
    assert result.exit_code == 0, result.output
    assert "2157.89519 ✓" in result.output and "1473.10481" in result.output
    assert "elected: Josephine DOCHERTY, Stephen CURRAN, Kyle THORNTON   margin: 365" in result.output


def test_the_seats_of_a_blt_file_are_its_own() -> None:
    default = run(GLASGOW, "--method", "stv", "--json")
    assert default.output == run(GLASGOW, "--method", "stv", "--seats", "3", "--json").output
    assert json.loads(default.output)["result"]["winners"] == [2, 1, 5]
    one = json.loads(run(GLASGOW, "--method", "stv", "--seats", "1", "--json").output)
    assert len(one["result"]["winners"]) == 1


def test_minneapolis_is_counted_from_its_csv_file() -> None:
    rules = [word for rule in CITY_RULES for word in ("--rule", rule)]
    result = json.loads(run(MINNEAPOLIS, "--method", "irv", *rules, "--json").output)
    official = json.loads((DATA / "minneapolis-2017-mayor.official.json").read_text())
    names = result["question"]["options"]
    for ours, theirs in zip(result["result"]["rounds"], official["rounds"], strict=True):
        shown = {names[int(option)].replace("UWI", "Undeclared Write-ins"): n for option, n in ours["votes"].items()}
        assert sorted(shown.values()) == sorted(theirs["votes"].values())
        assert str(ours["threshold"]) == theirs["threshold"]
    assert names[result["result"]["winners"][0]] == official["rules"]["winner"]


def test_every_method_prints_what_it_has(tmp_path: Path) -> None:
    lists, numbers = tmp_path / "lists.csv", tmp_path / "numbers.csv"
    lists.write_text("count,mark\n3,Ada\n2,[red]Bo\n")
    numbers.write_text("count,Ada,[red]Bo\n3,1,0\n2,1,1\n")
    ranks = tmp_path / "ranks.csv"
    ranks.write_text("count,Ada,[red]Bo\n3,1,2\n2,2,1\n")
    for method in METHODS:
        file = ranks if method == "schulze" else numbers if method in ("score", "majority_judgement") else lists
        grades = ("--grade", "Good", "--grade", "Bad") if method == "majority_judgement" else ()
        result = run(file, "--method", method, *grades)
        assert result.exit_code == 0, result.output
        assert "elected: " in result.output and "[red]Bo" in result.output, result.output


def test_ties_are_named_and_the_lot_can_be_that_of_an_election(tmp_path: Path) -> None:
    file = tmp_path / "tie.csv"
    file.write_text("count,mark\n1,Ada\n1,Bo\n")
    drawn = {
        json.loads(run(file, "--method", "plurality", "--lot", f"{n:064x}", "--json").output)["result"]["winners"][0]
        for n in range(8)
    }
    assert drawn == {0, 1}
    assert "round 1: Ada, Bo were tied, " in run(file, "--method", "plurality").output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--method", "plurality"), 1, "max_choices of plurality must be 1, not 7"),
        (("--method", "plurality", "--max-choices", "1"), 1, "line 3: more options are marked than allowed"),
        (("--method", "score"), 1, "a BLT file has preferences, not points"),
        (("--method", "irv", "--seats", "2"), 1, "irv has no rule 'seats'"),
        (("--method", "stv", "--rule", "seats"), 2, "--rule 'seats' is not NAME=VALUE"),
        (("--method", "stv", "--rule", "seats=many"), 2, "neither a number, true, false, nor an option"),
        (("--method", "stv", "--lot", "12"), 2, "--lot is not 64 hex digits"),
        (("--method", "borda"), 2, "'borda' is not one of"),
    ],
)
def test_what_cannot_be_counted_is_refused(arguments: tuple[str, ...], status: int, message: str) -> None:
    result = run(GLASGOW, *arguments)
    assert result.exit_code == status
    assert message in result.output
