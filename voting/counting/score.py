"""Score: every option gets points, the highest sum wins.

An answer is one number an option, from 0 to `max_score`; an option left without (NO_NUMBER) gets no points.

Rules: `max_score` (default 10), and `seats` (default 1).
"""

from collections.abc import Iterable, Sequence

from ..question import Question
from .lot import Lot
from .method import (
    MOST_POINTS,
    Answer,
    Form,
    Result,
    check_all_options,
    check_numbers,
    check_rules,
    elect_by_votes,
    is_blank,
    longest_numbers,
    result,
    seats_of,
    seats_rule,
)

DEFAULT_MAX_SCORE = 10


class Score:
    """See the module."""

    name = "score"
    form = Form.POINTS

    def check_question(self, question: Question) -> None:
        check_all_options(question)
        check_rules(question, {"max_score": range(1, MOST_POINTS + 1), **seats_rule(question)})

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_numbers(question, answer, _scale(question))

    def longest_answer(self, question: Question) -> Sequence[int]:
        return longest_numbers(question, _scale(question))

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        points = dict.fromkeys(range(len(question.options)), 0)
        total = blank = 0
        for scores, weight in ballots:
            total += weight
            if is_blank(scores):
                blank += weight
                continue
            for option, score in enumerate(scores):
                points[option] += weight * max(score, 0)
        entry = elect_by_votes(1, points, seats_of(question), lot)
        return result(question, total, blank, [entry], entry["elected"])


def _scale(question: Question) -> range:
    return range(int(question.rules.get("max_score", DEFAULT_MAX_SCORE)) + 1)
