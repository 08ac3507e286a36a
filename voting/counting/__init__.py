"""Counting methods. To add one: write one file with a class like those here, and add one line to METHODS."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

from ..question import Question
from ..write_in import Marks, resolve
from . import lot
from .approval import Approval
from .irv import InstantRunoff
from .majority import MajorityJudgement
from .method import Answer, Method, Result
from .plurality import Plurality
from .schulze import Schulze
from .score import Score
from .stv import SingleTransferableVote

METHODS: dict[str, Method] = {
    "plurality": Plurality(),
    "approval": Approval(),
    "irv": InstantRunoff(),
    "stv": SingleTransferableVote(),
    "schulze": Schulze(),
    "majority_judgement": MajorityJudgement(),
    "score": Score(),
}

NO_SEED = bytes(lot.SEED_BYTES)

Choice = Sequence[Sequence[int | str]]
"""The answers of one ballot, see `..choice`."""


class Tally:
    """Takes the valid choices of all ballots in any order, and counts them once all are there."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self._given: list[Counter[Marks]] = [Counter() for _ in questions]

    def add(self, choice: Choice, weight: int = 1) -> None:
        for given, answer in zip(self._given, choice, strict=True):
            given[tuple(answer)] += weight

    def results(self, seed: bytes) -> list[Result]:
        """One result a question (see `.method`); `seed` is that of the lots (see `.lot`)."""
        return [
            count_question(question, given.items(), lot.draw(seed, number, len(question.candidates)))
            for number, (question, given) in enumerate(zip(self._questions, self._given, strict=True))
        ]


def count_question(question: Question, given: Iterable[tuple[Marks, int]], drawn: lot.Lot) -> Result:
    """The result of one question, from answers that may have names written in, and how often each was given."""
    method = METHODS[question.method]
    if not question.write_ins:
        return method.count(question, cast("Iterable[tuple[Answer, int]]", given), drawn)
    ballots, written = resolve(question, given)
    return method.count(question, ballots.items(), drawn) | {"write_ins": written}


def count_election(questions: Sequence[Question], choices: Iterable[Choice], seed: bytes = NO_SEED) -> list[Result]:
    """One result a question, from the choices of ballots that all weigh the same."""
    tally = Tally(questions)
    for choice in choices:
        tally.add(choice)
    return tally.results(seed)
