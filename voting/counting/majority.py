"""Majority judgement (Balinski and Laraki): every option is graded, and the one with the best majority grade wins.

An answer is one grade an option, as its position in the question's `grades`, 0 for the best. An option left without
(NO_NUMBER) counts as given the worst. The majority grade is the median, of two middle ones the lower: the best grade
that more than half of the votes give at least.

Among options with one majority grade the majority value decides (`majority_value`): take one vote for the majority
grade away from each, find the majority grade again, and so on until they differ. Options with the very same grades are
tied, and the lot decides.

M. Balinski and R. Laraki, "A theory of measuring, electing, and ranking", PNAS 104 (2007), 8720-8725.

Round by round the bar is lowered by a grade: `votes` are those that give at least the grade of the round, and whoever
reaches the threshold (more than half) is elected, until the seats are filled. `grades` has how often each option got
each grade, `majority` for each its majority grade and how many votes are above and below it (the majority gauge).

Rules: `seats` (default 1).
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from ..question import DefinitionError, Question
from .lot import Lot
from .method import (
    NO_NUMBER,
    Answer,
    Form,
    Result,
    check_all_options,
    check_numbers,
    check_rules,
    is_blank,
    longest_numbers,
    result,
    round_entry,
    seats_of,
    seats_rule,
    tie_entry,
)

MOST_GRADES = 20

Grades = list[int]
"""How many votes gave an option each grade, the best first."""


class MajorityJudgement:
    """See the module."""

    name = "majority_judgement"
    form = Form.GRADES

    def check_question(self, question: Question) -> None:
        check_all_options(question)
        check_rules(question, seats_rule(question))
        if not 2 <= len(question.grades) <= MOST_GRADES:
            raise DefinitionError(f"majority_judgement has 2 to {MOST_GRADES} grades")

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_numbers(question, answer, range(len(question.grades)))

    def longest_answer(self, question: Question) -> Sequence[int]:
        return longest_numbers(question, range(len(question.grades)))

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        worst = len(question.grades) - 1
        given: list[Grades] = [[0] * len(question.grades) for _ in question.options]
        total = blank = 0
        for grades, weight in ballots:
            total += weight
            if is_blank(grades):
                blank += weight
                continue
            for option, grade in enumerate(grades):
                given[option][worst if grade == NO_NUMBER else grade] += weight
        rounds = _rounds(given, total - blank, seats_of(question), lot)
        winners = [option for entry in rounds for option in entry["elected"]]
        return result(question, total, blank, rounds, winners) | {
            "grades": given,
            "majority": [_gauge(grades) for grades in given] if total > blank else [],
        }


def _rounds(given: Sequence[Grades], votes: int, seats: int, lot: Lot) -> list[dict[str, Any]]:
    """One round a grade, from the best down, until the seats are filled."""
    at_least = [list(accumulate(grades)) for grades in given]
    standing = sorted(range(len(given)), key=lambda option: (majority_value(given, option), lot.index(option)))
    threshold = votes // 2 + 1
    rounds: list[dict[str, Any]] = []
    for grade in range(len(given[0])):
        reached = {option: at_least[option][grade] for option in standing}
        passed = [option for option in standing if reached[option] >= threshold]
        elected, standing_now = passed[:seats], passed[seats:]
        entry = round_entry(grade + 1, reached, threshold=threshold, elected=elected)
        if elected and standing_now:
            entry |= _tie(given, passed, elected)
        rounds.append(entry)
        seats -= len(elected)
        standing = [option for option in standing if option not in elected]
        if not seats or not standing or not votes:
            break
    return rounds


def _tie(given: Sequence[Grades], passed: Sequence[int], elected: Sequence[int]) -> dict[str, Any]:
    """Of those with one majority grade only some are elected: by their majority values, or by lot where even those
    are equal."""
    last = given[elected[-1]]
    equal = [option for option in passed if given[option] == last]
    if any(option not in elected for option in equal):
        return {"tie": tie_entry(equal, set(equal) & set(elected), "lot")}
    return {"tie": tie_entry(passed, elected, "majority_value")}


def majority_value(given: Sequence[Grades], option: int) -> list[int]:
    """Sorts the options of one election as their majority values do, the best first.

    The majority value is the sequence of majority grades as one vote after the other is taken away. With the votes in
    order of their grade that goes outward from the middle, a step to the worse and a step to the better in turn. It is
    enough to look at the steps at which any option passes from one grade to the next, so that weights may be large.
    """
    ends = list(accumulate(given[option]))
    votes = ends[-1]
    middle, odd = divmod(votes, 2)
    bounds = {bound for grades in given for bound in accumulate(grades)}
    steps = {0} | {bound - middle - odd for bound in bounds} | {middle - bound for bound in bounds}
    value = [bisect_right(ends, middle)] if odd else []
    for step in sorted(step for step in steps if 0 <= step < middle):
        value += [bisect_right(ends, middle + odd + step), bisect_right(ends, middle - 1 - step)]
    return value


def _gauge(grades: Grades) -> dict[str, int]:
    """The majority grade, and how many votes are better and worse than it."""
    ends = list(accumulate(grades))
    grade = bisect_right(ends, ends[-1] // 2)
    return {"grade": grade, "above": ends[grade] - grades[grade], "below": ends[-1] - ends[grade]}
