"""The choice: what a ballot says, as the plaintext of its envelope.

A choice is the document `{"answers":[[0],[2,1]]}` with one list a question, in the order of the definition. An empty
list is a blank vote. What else a list may hold is the method's (`counting.method.Form`):

- plurality, approval: the options marked, by number
- irv: the ranks in order, each an option, -1 for a rank left empty, -2 for one with more than one mark (paper has both)
- stv: the options in order of preference
- schulze: one rank an option, from 1, equal ones allowed; majority_judgement: one grade an option, 0 for the best;
  score: one number of points an option; in all three -1 where the voter gave none

In a list of options a text is a name written in, where the question has room for such (see `write_in`).
"""

from collections.abc import Sequence
from typing import Any

from . import document
from .counting import METHODS, Choice
from .question import InvalidChoice as InvalidChoice
from .question import Question
from .write_in import check_texts


def encode_choice(answers: Choice) -> bytes:
    """The plaintext of a ballot. It is not checked against the questions; `decode_choice` does that."""
    return document.encode({"answers": [list(answer) for answer in answers]})


def decode_choice(questions: Sequence[Question], data: bytes) -> list[list[int | str]]:
    """The answers of a ballot, one list a question. Raises InvalidChoice for anything but a valid choice."""
    try:
        value = document.decode(data)
    except document.DocumentError as error:
        raise InvalidChoice("the choice is not a canonical document") from error
    answers = _answers(value)
    if len(answers) != len(questions):
        raise InvalidChoice(f"{len(answers)} answers to {len(questions)} questions")
    for question, answer in zip(questions, answers, strict=True):
        check_texts(question, answer)
        METHODS[question.method].check_answer(question, [mark for mark in answer if isinstance(mark, int)])
    return answers


def _answers(value: Any) -> list[list[int | str]]:
    if not isinstance(value, dict) or value.keys() != {"answers"}:
        raise InvalidChoice("the choice is not an object with answers alone")
    answers = value["answers"]
    if not isinstance(answers, list):
        raise InvalidChoice("the answers are not a list")
    # `type is int`, because True is an instance of int.
    if not all(isinstance(answer, list) and all(type(mark) in (int, str) for mark in answer) for answer in answers):
        raise InvalidChoice("an answer is not a list of numbers and names")
    return answers
