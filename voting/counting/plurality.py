"""Plurality: one mark a ballot, the most votes win.

Rules: `seats` (default 1), how many options are elected; with more than one this is the single
non-transferable vote.
"""

from collections.abc import Iterable, Sequence

from ..question import Question
from .method import Answer, Result, check_marks, check_max_choices, check_rules, count_marks


class Plurality:
    """See the module."""

    name = "plurality"

    def check_question(self, question: Question) -> None:
        check_max_choices(question, 1)
        check_rules(question, {"seats": range(1, len(question.options) + 1)})

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_marks(question, answer)

    def longest_answer(self, question: Question) -> Sequence[int]:
        return [len(question.options) - 1]

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]]) -> Result:
        return count_marks(question, ballots, int(question.rules.get("seats", 1)))
