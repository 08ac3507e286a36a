"""Plurality and approval: one round, most votes win."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.voting import document
from ballot.voting.counting import METHODS, count_election, count_weighted
from ballot.voting.definition import Question

OPTIONS = ["Ada", "Bo", "Cy", "Di"]
CHAIR = Question("Chair?", "plurality", OPTIONS, 1)
BOARD = Question("Board?", "approval", OPTIONS, 3, {"seats": 2})

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
    }


def test_every_approval_is_a_full_vote_and_the_seats_go_to_the_first() -> None:
    [result] = count_election([BOARD], [[[0, 3]], [[3, 1, 2]], [[2, 3]], [[]]])
    assert result["rounds"][0]["votes"] == {"0": 1, "1": 1, "2": 2, "3": 3}
    assert result["winners"] == [3, 2]
    assert result["blank"] == 1
    assert "tie" not in result["rounds"][0]


def test_a_tie_for_the_last_seat_goes_by_option_order_and_is_reported() -> None:
    [result] = count_election([BOARD], [[[3, 2, 1]], [[3]]])
    assert result["winners"] == [3, 1]
    assert result["rounds"][0]["tie"] == {"options": [1, 2], "chosen": [1], "broken_by": "option_order"}


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
    weighted = count_weighted([CHAIR], [([[2]], 3), ([[1]], 2), ([[]], 4)])
    assert weighted == count_election([CHAIR], [[[2]]] * 3 + [[[1]]] * 2 + [[[]]] * 4)


def test_questions_are_counted_apart() -> None:
    chair, board = count_election([CHAIR, BOARD], [[[0], [1, 2]], [[0], [2]]])
    assert (chair["winners"], board["winners"]) == ([0], [2, 1])


def test_every_method_is_registered_under_its_own_name() -> None:
    assert all(method.name == name for name, method in METHODS.items())


@pytest.mark.parametrize("method", ["plurality", "approval"])
@given(answers=MARKS, seed=st.integers(0, 99))
def test_neither_order_nor_grouping_changes_the_result(method: str, answers: list[list[int]], seed: int) -> None:
    most = 1 if method == "plurality" else 3
    question = Question("?", method, OPTIONS, most, {"seats": 2})
    grouped = [(tuple(answer[:most]), 1 + seed % 3) for answer in answers]
    single = [(answer, 1) for answer, count in grouped for _ in range(count)]
    random.Random(seed).shuffle(single)
    result = METHODS[method].count(question, grouped)
    assert METHODS[method].count(question, single) == result
    assert document.decode(document.encode(result)) == result


@given(MARKS)
def test_votes_are_marks_and_winners_have_the_most(answers: list[list[int]]) -> None:
    result = METHODS["approval"].count(BOARD, [(tuple(answer), 1) for answer in answers])
    votes = {int(option): count for option, count in result["rounds"][0]["votes"].items()}
    assert sum(votes.values()) == sum(map(len, answers))
    losers = votes.keys() - set(result["winners"])
    assert all(votes[winner] >= max(votes[loser] for loser in losers) for winner in result["winners"])
