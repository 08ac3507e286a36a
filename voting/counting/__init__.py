"""Counting methods. To add one: write one file with a class like those here, and add one line to METHODS."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ..question import Question
from .approval import Approval
from .irv import InstantRunoff
from .method import Answer, Method, Result
from .plurality import Plurality

METHODS: dict[str, Method] = {
    "plurality": Plurality(),
    "approval": Approval(),
    "irv": InstantRunoff(),
}


def count_election(questions: Sequence[Question], choices: Iterable[Sequence[Sequence[int]]]) -> list[Result]:
    """One result a question (see `.method`), from the valid choices of all ballots in any order."""
    return count_weighted(questions, ((choice, 1) for choice in choices))


def count_weighted(
    questions: Sequence[Question], choices: Iterable[tuple[Sequence[Sequence[int]], int]]
) -> list[Result]:
    """As `count_election`, from pairs of a choice and its weight."""
    tallies: list[Counter[Answer]] = [Counter() for _ in questions]
    for choice, weight in choices:
        for tally, answer in zip(tallies, choice, strict=True):
            tally[tuple(answer)] += weight
    return [
        METHODS[question.method].count(question, tally.items())
        for question, tally in zip(questions, tallies, strict=True)
    ]
