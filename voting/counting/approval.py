"""Approval: up to max_choices marks a ballot, each a full vote, the most votes win. Marks have no order.

Rules: `seats` (default 1), how many options are elected.
"""

from collections.abc import Iterable, Sequence

from ..question import Question
from .method import Answer, Result, check_marks, check_max_choices, check_rules, count_marks


class Approval:
    """See the module."""

    name = "approval"

    def check_question(self, question: Question) -> None:
        check_max_choices(question, len(question.options))
        check_rules(question, {"seats": range(1, len(question.options) + 1)})

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_marks(question, answer)

    def longest_answer(self, question: Question) -> Sequence[int]:
        # The highest numbers have the most digits.
        return range(len(question.options))[-question.max_choices :]

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]]) -> Result:
        return count_marks(question, ballots, int(question.rules.get("seats", 1)))
