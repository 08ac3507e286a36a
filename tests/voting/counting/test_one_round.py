"""Plurality, approval and score: one round, most votes win."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.voting.counting import METHODS, Tally, count_election
from ballot.voting.counting.lot import draw
from ballot.voting.definition import Question
from tests.support.counts import IN_ORDER, count, question, tallied

OPTIONS = ["Ada", "Bo", "Cy", "Di"]
CHAIR = Question("Chair?", "plurality", OPTIONS, 1)
BOARD = Question("Board?", "approval", OPTIONS, 3, {"seats": 2})
SEED = bytes(range(32))

MARKS = st.lists(st.lists(st.integers(0, 3), max_size=3, unique=True), max_size=20)


def test_the_most_marks_win_and_blank_votes_are_told_apart() -> None:
    [result] = count_election([CHAIR], [[[1]], [[0]], [[1]], [[]]])
    assert result == {
        "method": "plurality",
        "ballots": 4,
        "blank": 1,
        "rounds": [
            {
                "round": 1,
                "votes": {"0": 1, "1": 2, "2": 0, "3": 0},
                "inactive": {},
                "threshold": 0,
                "elected": [1],
                "eliminated": [],
            }
        ],
        "winners": [1],
        "margin": 1,
    }


def test_every_approval_is_a_full_vote_and_the_seats_go_to_the_first() -> None:
    [result] = count_election([BOARD], [[[0, 3]], [[3, 1, 2]], [[2, 3]], [[]]])
    assert result["rounds"][0]["votes"] == {"0": 1, "1": 1, "2": 2, "3": 3}
    assert result["winners"] == [3, 2]
    assert result["blank"] == 1
    assert "tie" not in result["rounds"][0]


def test_a_tie_for_the_last_seat_goes_by_lot_and_is_reported() -> None:
    lot = draw(SEED, 0, 4)
    [result] = count_election([BOARD], [[[3, 2, 1]], [[3]]], SEED)
    first = min(1, 2, key=lot.index)
    assert result["winners"] == [3, first]
    assert result["rounds"][0]["tie"] == {"options": [1, 2], "chosen": [first], "broken_by": "lot"}
    assert result["margin"] == 0


def test_a_tie_that_fits_the_seats_needs_no_breaking() -> None:
    [result] = count_election([BOARD], [[[3, 1]]])
    assert result["winners"] == [1, 3]
    assert "tie" not in result["rounds"][0]


def test_without_a_vote_nobody_is_elected() -> None:
    elections: list[list[list[list[int]]]] = [[], [[[], []]]]
    for choices in elections:
        for result in count_election([CHAIR, BOARD], choices):
            assert result["winners"] == []


def test_a_weight_counts_as_that_many_ballots() -> None:
    tally = Tally([CHAIR])
    for choice, weight in (([[2]], 3), ([[1]], 2), ([[]], 4)):
        tally.add(choice, weight)
    assert tally.results(SEED) == count_election([CHAIR], [[[2]]] * 3 + [[[1]]] * 2 + [[[]]] * 4, SEED)


def test_questions_are_counted_apart() -> None:
    chair, board = count_election([CHAIR, BOARD], [[[0], [1, 2]], [[0], [2]]])
    assert (chair["winners"], board["winners"]) == ([0], [2, 1])


def test_every_method_is_registered_under_its_own_name() -> None:
    assert all(method.name == name for name, method in METHODS.items())


@given(MARKS)
def test_votes_are_marks_and_winners_have_the_most(answers: list[list[int]]) -> None:
    result = count(BOARD, [(tuple(answer), 1) for answer in answers])
    votes = {int(option): count for option, count in result["rounds"][0]["votes"].items()}
    assert sum(votes.values()) == sum(map(len, answers))
    losers = votes.keys() - set(result["winners"])
    assert all(votes[winner] >= max(votes[loser] for loser in losers) for winner in result["winners"])


def test_points_are_added_up_and_no_points_are_none() -> None:
    asked = question("score", 3, max_score=5)
    result = count(asked, [((5, 0, -1), 2), ((1, 4, 4), 3), ((-1, -1, -1), 7), ((), 1)])
    assert result["rounds"][0]["votes"] == {"0": 13, "1": 12, "2": 12}
    assert (result["winners"], result["margin"], result["blank"], result["ballots"]) == ([0], 1, 8, 13)


def test_a_ballot_that_gives_everybody_nothing_is_not_blank() -> None:
    result = count(question("score", 2), [((0, 0), 3)])
    assert (result["blank"], result["winners"]) == (0, [])


@pytest.mark.parametrize("method", ["plurality", "approval"])
def test_other_names_are_shown_and_never_elected(method: str) -> None:
    asked = Question("?", method, ["Ada", "Bo"], 1, write_ins=1)
    result = tallied(asked, [(["jane doe"], 9), ([1], 2), ([0], 1)])
    assert result["rounds"][0]["votes"] == {"0": 1, "1": 2, "2": 9}
    assert (result["winners"], result["margin"]) == ([1], 1)


def test_the_order_of_equals_is_that_of_the_lot() -> None:
    asked = question("approval", 3, seats=3)
    assert count(asked, [((0, 1, 2), 1)], (2, 0, 1))["winners"] == [2, 0, 1]
    assert count(asked, [((0, 1, 2), 1)], IN_ORDER)["winners"] == [0, 1, 2]
