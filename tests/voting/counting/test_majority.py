"""Majority judgement: a published election, the tie-break written out, and what the method promises."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from votelib.evaluate.cardinal import MajorityJudgment as Votelib

from ballot.voting.counting.majority import majority_value
from ballot.voting.definition import DefinitionError, Question, check_questions
from tests.support.counts import GRADES, Ballots, count, elections, question

# Balinski and Laraki, "Election by Majority Judgement: Experimental Evidence" (2007): 1,733 ballots of Orsay, in
# per cent from "excellent" to "to reject", and by the majority gauge: votes above, majority grade, votes below.
ORSAY_GRADES = ["Excellent", "Very good", "Good", "Acceptable", "Poor", "To reject"]
ORSAY = {
    "Besancenot": ("4.1 9.9 16.3 16.0 22.6 31.1", 46.3, "Poor", 31.2),
    "Buffet": ("2.5 7.6 12.5 20.6 26.4 30.4", 43.2, "Poor", 30.5),
    "Schivardi": ("0.5 1.0 3.9 9.5 24.9 60.4", 39.7, "To reject", 0.0),
    "Bayrou": ("13.6 30.7 25.1 14.8 8.4 7.4", 44.3, "Good", 30.6),
    "Bové": ("1.5 6.0 11.4 16.0 25.7 39.5", 34.9, "Poor", 39.4),
    "Voynet": ("2.9 9.3 17.5 23.7 26.1 20.5", 29.8, "Acceptable", 46.6),
    "Villiers": ("2.4 6.4 8.7 11.3 15.8 55.5", 44.5, "To reject", 0.0),
    "Royal": ("16.7 22.7 19.1 16.8 12.2 12.6", 39.4, "Good", 41.5),
    "Nihous": ("0.3 1.8 5.3 11.0 26.7 55.0", 45.0, "To reject", 0.0),
    "Le Pen": ("3.0 4.6 6.2 6.5 5.4 74.4", 25.7, "To reject", 0.0),
    "Laguiller": ("2.1 5.3 10.2 16.6 25.9 40.1", 34.2, "Poor", 40.0),
    "Sarkozy": ("19.1 19.8 14.3 11.5 7.1 28.2", 38.9, "Good", 46.9),
}
ORSAY_RANKING = "Bayrou Royal Sarkozy Voynet Besancenot Buffet Bové Laguiller Nihous Villiers Schivardi Le_Pen"


def orsay() -> Ballots:
    """A thousand ballots that give these percentages; what rounding leaves over is the last grade's."""
    columns = []
    for percentages, *_ in ORSAY.values():
        grades = [round(float(share) * 10) * [grade] for grade, share in enumerate(percentages.split())]
        column = [grade for group in grades for grade in group][:1000]
        columns.append(column + [len(ORSAY_GRADES) - 1] * (1000 - len(column)))
    return [(ballot, 1) for ballot in zip(*columns, strict=True)]


def orsay_result(seats: int) -> dict[str, Any]:
    asked = Question("?", "majority_judgement", list(ORSAY), len(ORSAY), {"seats": seats}, ORSAY_GRADES)
    check_questions([asked])
    return count(asked, orsay())


def test_the_published_ranking_is_found() -> None:
    names = [list(ORSAY)[option].replace(" ", "_") for option in orsay_result(len(ORSAY))["winners"]]
    assert names == ORSAY_RANKING.split()


def test_the_published_majority_grades_are_found() -> None:
    for (_, above, grade, below), gauge in zip(ORSAY.values(), orsay_result(1)["majority"], strict=True):
        assert ORSAY_GRADES[gauge["grade"]] == grade
        assert abs(gauge["above"] / 10 - above) <= 0.2
        assert abs(gauge["below"] / 10 - below) <= 0.2


def test_bayrou_is_elected_once_the_bar_is_at_good() -> None:
    result = orsay_result(1)
    assert [len(entry["elected"]) for entry in result["rounds"]] == [0, 0, 1]
    assert result["rounds"][-1]["threshold"] == 501
    passed = [list(ORSAY).index(name) for name in ("Bayrou", "Royal", "Sarkozy")]
    assert result["rounds"][-1]["tie"] == {
        "options": sorted(passed),
        "chosen": passed[:1],
        "broken_by": "majority_value",
    }


def graded(*columns: str) -> Ballots:
    """Ballots of weight one from each option's grades: "EEGP" is two times excellent, once good, once poor."""
    letters = {grade[0]: number for number, grade in enumerate(GRADES)}
    return [(tuple(letters[letter] for letter in row), 1) for row in zip(*columns, strict=True)]


def test_of_two_middle_grades_the_lower_is_the_majority_grade() -> None:
    result = count(question("majority_judgement", 2), graded("EEFF", "GGGG"))
    assert [gauge["grade"] for gauge in result["majority"]] == [2, 1]
    assert result["winners"] == [1]


def test_an_option_left_without_a_grade_gets_the_worst() -> None:
    result = count(question("majority_judgement", 2), [((-1, 0), 3), ((0, 1), 1)])
    assert result["grades"] == [[1, 0, 0, 3], [3, 1, 0, 0]]


def test_the_same_grades_make_a_tie_for_the_lot() -> None:
    asked = question("majority_judgement", 3)
    entry = count(asked, graded("EGP", "PEG", "PPP"), (1, 2, 0))["rounds"][-1]
    assert (entry["elected"], entry["tie"]) == ([1], {"options": [0, 1], "chosen": [1], "broken_by": "lot"})


def test_where_the_majority_value_decides_against_the_number_there_is_no_margin() -> None:
    result = count(question("majority_judgement", 2), graded("EEGGF", "GGGGG"))
    assert result["rounds"][-1]["votes"] == {"0": 4, "1": 5}
    assert (result["winners"], result["margin"]) == ([0], 0)


def test_without_a_vote_nobody_is_elected() -> None:
    result = count(question("majority_judgement", 2), [((), 3), ((-1, -1), 2)])
    assert (result["winners"], result["blank"], result["majority"]) == ([], 5, [])


@pytest.mark.parametrize("grades", [[], ["Good"], [f"grade {number}" for number in range(21)]])
def test_a_scale_has_two_to_twenty_grades(grades: list[str]) -> None:
    with pytest.raises(DefinitionError, match="has 2 to 20 grades"):
        check_questions([Question("?", "majority_judgement", ["Ada"], 1, {}, grades)])


COLUMNS = st.integers(1, 4).flatmap(
    lambda options: st.integers(1, 12).flatmap(
        lambda voters: st.lists(
            st.lists(st.integers(0, 3), min_size=voters, max_size=voters), min_size=options, max_size=options
        )
    )
)


@given(COLUMNS)
def test_the_ranking_is_that_of_taking_majority_grades_away_one_by_one(columns: list[list[int]]) -> None:
    given_ = [[column.count(grade) for grade in range(4)] for column in columns]
    options = range(len(columns))
    keys = [majority_value(given_, option) for option in options]
    slow = [slow_value(column) for column in columns]
    assert all((keys[a] < keys[b]) == (slow[a] < slow[b]) for a in options for b in options)
    assert all((keys[a] == keys[b]) == (slow[a] == slow[b]) for a in options for b in options)


@given(COLUMNS)
def test_votelib_elects_the_same_where_the_majority_grade_alone_decides(columns: list[list[int]]) -> None:
    """Its tie-break takes several votes away at a time and then differs from the definition, which the slow count
    above follows: of grades 0 0 1 1 1 2 and 0 1 1 1 1 1 it prefers the second."""
    result = count(question("majority_judgement", len(columns)), [(row, 1) for row in zip(*columns, strict=True)])
    if "tie" in result["rounds"][-1]:
        return
    # There the higher number is the better grade.
    rows = zip(*columns, strict=True)
    votes = Counter(frozenset((option, 3 - grade) for option, grade in enumerate(row)) for row in rows)
    assert Votelib().evaluate(votes, 1) == result["winners"]


@given(elections("majority_judgement"))
def test_every_round_counts_who_reaches_its_grade(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    result = count(asked, ballots)
    for entry in result["rounds"]:
        for option, votes in entry["votes"].items():
            assert votes == sum(result["grades"][int(option)][: entry["round"]])
    assert all(sum(grades) + result["blank"] == result["ballots"] for grades in result["grades"])


def slow_value(grades: list[int]) -> list[int]:
    """The majority grades as one vote after the other is taken away."""
    left, value = sorted(grades, reverse=True), []
    while left:
        value.append(left.pop((len(left) - 1) // 2))
    return value
