"""A voter's answers in words, for every form of an answer."""

import pytest

from ballot.client.answers import AnswerError, read_answer, show_answer, show_question
from ballot.voting.question import Question

RANKED = Question("Mayor?", "irv", ["Ada", "Bo, of Oslo", "Cy"], 3, write_ins=1)
SINGLE = Question("Chair?", "plurality", ["Ada", "Bo"], 1)
SEATS = Question("Seats?", "approval", ["3", "5", "7"], 2)
GRADED = Question("Name?", "majority_judgement", ["Union", "League"], 2, grades=["Good", "Fair", "Poor"])
SCHULZE = Question("Seat?", "schulze", ["Rome", "Oslo", "Bern"], 3)
SCORE = Question("Day?", "score", ["Mon", "Tue"], 2, {"max_score": 5})


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        (RANKED, "3, 1", [2, 0]),
        (RANKED, 'cy,  "Bo, of Oslo"', [2, 1]),
        (RANKED, "+Jane  DOE, 1", ["jane doe", 0]),
        (RANKED, "+ADA", [0]),
        (RANKED, "-", []),
        (SINGLE, "Bo", [1]),
        (SEATS, "#3, 5", [2, 1]),
        (SEATS, "#1", [0]),
        (GRADED, "2=Poor, Union=1", [0, 2]),
        (GRADED, "League=good", [-1, 0]),
        (SCHULZE, "Oslo=1, 1=2", [2, 1, -1]),
        (SCORE, "Mon=5, 2=0", [5, 0]),
    ],
)
def test_what_is_typed_becomes_the_marks_of_the_ballot(question: Question, text: str, answer: list[int | str]) -> None:
    assert read_answer(question, text) == answer


@pytest.mark.parametrize(
    ("question", "text", "why"),
    [
        (RANKED, "", "empty"),
        (RANKED, "1,", "empty"),
        (RANKED, "Dora", "there is no Dora"),
        (RANKED, "4", "from 1 to 3"),
        (RANKED, "0", "there is no 0"),
        (RANKED, "1, ada", "twice"),
        (RANKED, "+Jane, +John", "more names"),
        (RANKED, "+" + "x" * 65, "longer"),
        (RANKED, "1\x1b", "cannot be shown"),
        (SINGLE, "1, 2", "1 at most"),
        (SINGLE, "+Jane", "no names"),
        (SEATS, "3", "more than one"),
        (GRADED, "1", "OPTION=NUMBER"),
        (GRADED, "1=Splendid", "there is no Splendid"),
        (SCHULZE, "1=0", "not allowed"),
        (SCORE, "1=6", "not allowed"),
        (SCORE, "1=-1", "not a number"),
        (SCORE, "1=5, Mon=4", "twice"),
    ],
)
def test_what_is_no_answer_is_refused_with_the_reason(question: Question, text: str, why: str) -> None:
    with pytest.raises(AnswerError, match=why):
        read_answer(question, text)


def test_an_answer_is_shown_as_what_it_says() -> None:
    assert show_answer(RANKED, [2, "jane doe"]) == ["1. Cy (3)", "2. jane doe (written in)"]
    assert show_answer(GRADED, [-1, 0]) == ["Union: left out", "League: Good"]
    assert show_answer(SCORE, [5, 0]) == ["Mon: 5 points", "Tue: 0 points"]
    assert show_answer(SCHULZE, [2, 1, -1]) == ["Rome: rank 2", "Oslo: rank 1", "Bern: left out"]
    assert show_answer(SINGLE, []) == ["blank: nothing is marked"]


def test_a_question_is_shown_with_its_options_and_how_to_answer() -> None:
    shown = "\n".join(show_question(GRADED))
    for part in ("Name?", "1 Union", "2 League", "3 Poor", "majority_judgement", "- for a blank vote"):
        assert part in shown
