"""Glasgow, ward 2, 5 May 2017: every stage of the council's report, to the last decimal."""

import json
from pathlib import Path
from typing import Any

import pytest

from ballot.replay.ballot_file import BallotFile, read_ballot_file
from ballot.voting.counting.method import Form
from ballot.voting.definition import Question
from tests.support.counts import Ballots, count

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def ward() -> BallotFile:
    return read_ballot_file(DATA / "glasgow-2017-ward-2.blt", Form.LIST)


@pytest.fixture(scope="module")
def official() -> dict[str, Any]:
    official: dict[str, Any] = json.loads((DATA / "glasgow-2017-ward-2.official.json").read_text())
    return official


def ballots(ward: BallotFile) -> Ballots:
    return [(answer, weight) for answer, weight, _ in ward.given]


def as_reported(result: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """The rounds of our result in the form of the official report."""
    stages: list[dict[str, Any]] = []
    action = "first preferences"
    for entry in result["rounds"]:
        votes = {name: entry["votes"].get(str(option), "0.00000") for option, name in enumerate(names)}
        votes["non-transferable"] = entry["inactive"]["non_transferable"]
        elected = [names[option] for option in entry["elected"]]
        stages.append({"stage": entry["round"], "action": action, "votes": votes, "elected_at_stage": elected})
        for what, options in (("Surplus", entry["surplus"]), ("Exclusion", entry["eliminated"])):
            action = "".join(f"{what} of {names[option]}" for option in options) or action
    return stages


def test_every_stage_is_the_official_one(ward: BallotFile, official: dict[str, Any]) -> None:
    asked = Question(ward.title, "stv", ward.options, len(ward.options), {"seats": ward.seats})
    result = count(asked, ballots(ward))
    assert as_reported(result, ward.options) == official["stages"]
    assert [ward.options[option] for option in result["winners"]] == official["elected"]
    assert {entry["threshold"] for entry in result["rounds"]} == {official["quota"]}
    assert result["ballots"] == official["valid_votes"] == 7_263
    assert not any("tie" in entry for entry in result["rounds"])


def test_the_margin_is_that_of_the_last_two(ward: BallotFile) -> None:
    asked = Question(ward.title, "stv", ward.options, len(ward.options), {"seats": ward.seats})
    assert count(asked, ballots(ward))["margin"] == 1774 - 1409


def test_with_papers_that_all_weigh_seven_times_as_much_the_same_are_elected(ward: BallotFile) -> None:
    asked = Question(ward.title, "stv", ward.options, len(ward.options), {"seats": ward.seats})
    heavy = count(asked, [(answer, 7 * weight) for answer, weight in ballots(ward)])
    assert heavy["winners"] == count(asked, ballots(ward))["winners"]
    assert heavy["rounds"][0]["threshold"] == 7 * 7_263 // 4 + 1
