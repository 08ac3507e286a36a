"""The 105,928 ballots of Minneapolis 2017 give the official result, figure by figure in every round."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ballot.sample import Sample, draw, load_minneapolis
from ballot.voting.choice import decode_choice, encode_choice
from ballot.voting.counting import count_election
from ballot.voting.definition import check_questions
from tests.support.counts import tallied

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def sample() -> Sample:
    return load_minneapolis(DATA / "minneapolis-2017-mayor.csv")


@pytest.fixture(scope="module")
def official() -> dict[str, Any]:
    official: dict[str, Any] = json.loads((DATA / "minneapolis-2017-mayor.official.json").read_text())
    return official


def as_reported(entry: dict[str, Any], options: list[str]) -> dict[str, Any]:
    """A round of our result in the form of the official report."""
    names = {"exhausted_choices": "exhaustedChoices", "repeated_rankings": "repeatedRankings"}
    names |= {"skipped_rankings": "skippedRankings", "overvotes": "overvotes"}
    elected = [{"elected": options[option]} for option in entry["elected"]]
    eliminated = [{"eliminated": options[option]} for option in entry["eliminated"]]
    return {
        "round": entry["round"],
        "votes": {options[int(option)]: votes for option, votes in entry["votes"].items()},
        "inactive": {names[reason]: str(votes) for reason, votes in entry["inactive"].items()},
        "threshold": str(entry["threshold"]),
        "actions": elected + eliminated,
    }


def test_every_round_is_the_official_one(sample: Sample, official: dict[str, Any]) -> None:
    check_questions([sample.question])
    result = tallied(sample.question, sample.ballots)
    assert [as_reported(entry, sample.question.options) for entry in result["rounds"]] == official["rounds"]
    assert [sample.question.options[option] for option in result["winners"]] == [official["rules"]["winner"]]
    assert result["ballots"] == official["rules"]["total_ballots"] == 105_928
    assert result["blank"] == official["rules"]["undervotes"] == 1_369


def test_ballot_by_ballot_the_count_is_the_same(sample: Sample) -> None:
    choices = [[answer] for answer in draw(sample, 105_928, seed=7)]
    assert count_election([sample.question], choices) == [tallied(sample.question, sample.ballots)]


def test_every_answer_of_the_sample_is_a_valid_choice(sample: Sample) -> None:
    for answer, _ in sample.ballots:
        assert decode_choice([sample.question], encode_choice([answer])) == [list(answer)]


def test_a_draw_is_repeatable_and_never_takes_a_ballot_twice(sample: Sample) -> None:
    drawn = draw(sample, 50_000, seed=1)
    assert drawn == draw(sample, 50_000, seed=1) != draw(sample, 50_000, seed=2)
    assert Counter(map(tuple, drawn)) <= Counter(dict(sample.ballots))


def test_no_more_ballots_are_drawn_than_there_are(sample: Sample) -> None:
    with pytest.raises(ValueError, match="larger than population"):
        draw(sample, 105_929, seed=1)
