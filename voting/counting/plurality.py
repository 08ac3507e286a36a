"""Plurality: one mark a ballot, the most votes win.

Rules: `seats` (default 1), how many options are elected; with more than one this is the single
non-transferable vote.
"""

from collections.abc import Iterable, Sequence

from ..question import Question
from .lot import Lot
from .method import Answer, Form, Result, check_marks, check_max_choices, check_rules, count_marks, seats_rule


class Plurality:
    """See the module."""

    name = "plurality"
    form = Form.LIST

    def check_question(self, question: Question) -> None:
        check_max_choices(question, 1)
        check_rules(question, seats_rule(question))

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_marks(question, answer)

    def longest_answer(self, question: Question) -> Sequence[int]:
        return [len(question.options) - 1]

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        return count_marks(question, ballots, lot)
