"""The plaintext of a ballot: every valid choice passes unchanged, everything else is refused with a reason."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.voting.choice import InvalidChoice, decode_choice, encode_choice
from ballot.voting.counting import METHODS
from ballot.voting.counting.method import Form
from ballot.voting.definition import LENGTH_PREFIX, PAD_STEP, Question, check_questions, longest_answer, pad_length
from tests.support.counts import answers as answers_to
from tests.support.counts import question

PLURALITY = Question("Chair?", "plurality", ["Ada", "Bo", "Cy"], 1)
APPROVAL = Question("Days?", "approval", ["Mon", "Tue", "Wed"], 2)
RANKED = Question("Mayor?", "irv", ["Ada", "Bo", "Cy"], 3)
ALL = [PLURALITY, APPROVAL, RANKED]


@st.composite
def questions_and_answers(draw: st.DrawFn) -> tuple[list[Question], list[list[int | str]]]:
    questions, answers = [], []
    for _ in range(draw(st.integers(1, 4))):
        asked = question(draw(st.sampled_from(sorted(METHODS))), draw(st.integers(1, 100)))
        answer: list[int | str] = list(draw(answers_to(asked)))
        if METHODS[asked.method].form is Form.LIST and draw(st.booleans()):
            asked = msgspec.structs.replace(asked, write_ins=draw(st.integers(1, min(asked.max_choices, 10))))
            for place in range(min(len(answer), asked.write_ins)):
                answer[place] = draw(st.sampled_from(["jane doe", "x" * 64, "é" * 32]))
        questions.append(asked)
        answers.append(answer)
    check_questions(questions)
    return questions, answers


def test_the_encoding_is_the_one_of_the_envelope_vectors() -> None:
    assert encode_choice([[0]]).hex() == "7b22616e7377657273223a5b5b305d5d7d"


@given(questions_and_answers())
def test_a_valid_choice_decodes_to_its_answers_and_fits_the_padding(
    case: tuple[list[Question], list[list[int | str]]],
) -> None:
    questions, answers = case
    data = encode_choice(answers)
    assert decode_choice(questions, data) == answers
    assert LENGTH_PREFIX + len(data) <= pad_length(questions)


@given(questions_and_answers())
def test_the_longest_answer_is_valid_and_no_padding_is_wasted(
    case: tuple[list[Question], list[list[int | str]]],
) -> None:
    questions, _ = case
    longest = encode_choice([longest_answer(asked) for asked in questions])
    decode_choice(questions, longest)
    assert pad_length(questions) - PAD_STEP < LENGTH_PREFIX + len(longest) <= pad_length(questions)


@pytest.mark.parametrize(
    "answers",
    [[[], [], []], [[2], [2, 0], [0, 1, 2]], [[0], [1], [-1, -2, 1]], [[0], [], [1, 1, -1]]],
)
def test_blank_votes_and_the_marks_of_paper_are_valid(answers: list[list[int]]) -> None:
    assert decode_choice(ALL, encode_choice(answers)) == answers


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([[0], [0]], "2 answers to 3 questions"),
        ([[0], [0], [0], [0]], "4 answers to 3 questions"),
        ([[0, 1], [], []], "more options are marked than allowed"),
        ([[3], [], []], "an option is marked that does not exist"),
        ([[-1], [], []], "an option is marked that does not exist"),
        ([[], [0, 1, 2], []], "more options are marked than allowed"),
        ([[], [1, 1], []], "an option is marked twice"),
        ([[], [], [0, 1, 2, 0]], "more ranks are given than the ballot has"),
        ([[], [], [3]], "an option is ranked that does not exist"),
        ([[], [], [-3]], "an option is ranked that does not exist"),
    ],
)
def test_an_answer_the_question_does_not_allow_is_refused(answers: list[list[int]], reason: str) -> None:
    with pytest.raises(InvalidChoice) as caught:
        decode_choice(ALL, encode_choice(answers))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[[0]]",
        b'{"answers":[[0]] }',
        b'{"answers":[[00]]}',
        b'{"answers":[[0.0]]}',
        b'{"answers":[[true]]}',
        b'{"answers":[[null]]}',
        b'{"answers":[["0"]]}',
        b'{"answers":[[{}]]}',
        b'{"answers":[0]}',
        b'{"answers":{"0":[0]}}',
        b'{"answer":[[0]]}',
        b'{"answers":[[0]],"note":"x"}',
        b'{"answers":[[0]]}\x00',
        b'{"answers":[[0]],"answers":[[0]]}',
    ],
)
def test_bytes_that_are_not_a_choice_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidChoice):
        decode_choice([PLURALITY], data)
