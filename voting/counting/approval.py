"""Approval: up to max_choices marks a ballot, each a full vote, the most votes win. Marks have no order.

Rules: `seats` (default 1), how many options are elected.
"""

from collections.abc import Iterable, Sequence

from ..question import Question
from .lot import Lot
from .method import (
    Answer,
    Form,
    Result,
    check_marks,
    check_max_choices,
    check_rules,
    count_marks,
    longest_marks,
    seats_rule,
)


class Approval:
    """See the module."""

    name = "approval"
    form = Form.LIST

    def check_question(self, question: Question) -> None:
        check_max_choices(question, question.lines)
        check_rules(question, seats_rule(question))

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_marks(question, answer)

    def longest_answer(self, question: Question) -> Sequence[int]:
        return longest_marks(question)

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        return count_marks(question, ballots, lot)
