"""The choice: what a ballot says, as the plaintext of its envelope.

A choice is the document `{"answers":[[0],[2,1]]}` with one list of integers a question, in the order of the
definition. For plurality and approval the integers are the options marked. For a ranked method they are the
ranks in order: an option, -1 for a rank left empty, -2 for a rank with more than one mark (paper ballots have
both). An empty list is a blank vote.
"""

from collections.abc import Sequence
from typing import Any

from . import document
from .counting import METHODS
from .question import InvalidChoice as InvalidChoice
from .question import Question


def encode_choice(answers: Sequence[Sequence[int]]) -> bytes:
    """The plaintext of a ballot. It is not checked against the questions; `decode_choice` does that."""
    return document.encode({"answers": [list(answer) for answer in answers]})


def decode_choice(questions: Sequence[Question], data: bytes) -> list[list[int]]:
    """The answers of a ballot, one list a question. Raises InvalidChoice for anything but a valid choice."""
    try:
        value = document.decode(data)
    except document.DocumentError as error:
        raise InvalidChoice("the choice is not a canonical document") from error
    answers = _answers(value)
    if len(answers) != len(questions):
        raise InvalidChoice(f"{len(answers)} answers to {len(questions)} questions")
    for question, answer in zip(questions, answers, strict=True):
        METHODS[question.method].check_answer(question, answer)
    return answers


def _answers(value: Any) -> list[list[int]]:
    if not isinstance(value, dict) or value.keys() != {"answers"}:
        raise InvalidChoice("the choice is not an object with answers alone")
    answers = value["answers"]
    if not isinstance(answers, list):
        raise InvalidChoice("the answers are not a list")
    # `type is int`, because True is an instance of int.
    if not all(isinstance(answer, list) and all(type(i) is int for i in answer) for answer in answers):
        raise InvalidChoice("an answer is not a list of integers")
    return answers
