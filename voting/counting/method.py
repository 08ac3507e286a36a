"""What a counting method is, and what the methods share.

Every method's result has one shape, a document (see `..document`) that a page can draw round by round:

    {
      "method": "irv",
      "ballots": 105928,             all votes given to the question, in the unit of the weights
      "blank": 1369,                 of these, ballots with no mark at all; they are in no round
      "rounds": [
        {
          "round": 1,
          "votes": {"0": 711, ...},  option number (as text, for JSON) to votes, of options still in the count
          "inactive": {"exhausted_choices": 37, ...},   ranked methods: ballots that count for nobody any more
          "threshold": 52243,        votes that elect in this round; 0 where simply the most votes win
          "elected": [],             option numbers, most votes first
          "eliminated": [18],        option numbers, ascending
          "tie": {"options": [3, 7], "chosen": [7], "broken_by": "option_order"}   only where there was one
        }
      ],
      "winners": [10]                option numbers in order of election; empty if nobody has a vote
    }

In every round of a method that counts one vote a ballot, `votes` + `inactive` + `blank` = `ballots`.

**Ties.** `tie.options` had equal votes where not all of them could be elected (or not all be eliminated);
`tie.chosen` are those that were. `broken_by` is `earlier_round` if going back round by round left one that
had the fewest, else `option_order`: of those still tied, the option that the definition lists first is
preferred, so it is elected first and eliminated last. An election whose law wants lots drawn finds the tied
options named here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..question import DefinitionError, InvalidChoice, Question

Answer = tuple[int, ...]
Result = dict[str, Any]


class Method(Protocol):
    """A counting method. `question` has passed `check_question` wherever another function gets it."""

    @property
    def name(self) -> str:
        """The name in a definition."""

    def check_question(self, question: Question) -> None:
        """Raises DefinitionError if max_choices or the rules are not the method's."""

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        """Raises InvalidChoice if a ballot cannot say this."""

    def longest_answer(self, question: Question) -> Sequence[int]:
        """A valid answer whose document is the longest that any valid answer has."""

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]]) -> Result:
        """The result, from valid answers and how often (or with what weight) each was given.

        Neither the order of the ballots nor the way they are grouped makes a difference.
        """


def check_max_choices(question: Question, limit: int) -> None:
    """Raises DefinitionError unless max_choices is from 1 to `limit`."""
    if not 1 <= question.max_choices <= limit:
        allowed = "1" if limit == 1 else f"from 1 to {limit}"
        raise DefinitionError(f"max_choices of {question.method} must be {allowed}, not {question.max_choices}")


def check_rules(question: Question, known: Mapping[str, range | type[bool]]) -> None:
    """Raises DefinitionError unless every rule is `known`, with an integer in its range, or a truth value."""
    for rule, value in question.rules.items():
        allowed = known.get(rule)
        if allowed is None:
            raise DefinitionError(f"{question.method} has no rule {rule!r}")
        if isinstance(allowed, range):
            if isinstance(value, bool) or value not in allowed:
                raise DefinitionError(f"rule {rule!r} must be from {allowed.start} to {allowed.stop - 1}")
        elif not isinstance(value, bool):
            raise DefinitionError(f"rule {rule!r} must be true or false")


def check_marks(question: Question, answer: Sequence[int]) -> None:
    """Raises InvalidChoice unless the answer marks at most max_choices options, none twice."""
    if len(answer) > question.max_choices:
        raise InvalidChoice("more options are marked than allowed")
    if not all(0 <= option < len(question.options) for option in answer):
        raise InvalidChoice("an option is marked that does not exist")
    if len(set(answer)) != len(answer):
        raise InvalidChoice("an option is marked twice")


def count_marks(question: Question, ballots: Iterable[tuple[Answer, int]], seats: int) -> Result:
    """Counts in one round: every mark is a vote, the `seats` options with the most votes win.

    An option without a vote is never elected.
    """
    votes = dict.fromkeys(range(len(question.options)), 0)
    total = blank = 0
    for answer, weight in ballots:
        total += weight
        if not answer:
            blank += weight
        for option in answer:
            votes[option] += weight
    standing = sorted((option for option in votes if votes[option]), key=lambda option: (-votes[option], option))
    elected = standing[:seats]
    entry = round_entry(1, votes, elected=elected)
    last = votes[elected[-1]] if elected else 0
    tied = [option for option in standing if votes[option] == last]
    chosen = [option for option in tied if option in elected]
    if len(chosen) < len(tied):
        entry["tie"] = tie_entry(tied, chosen, "option_order")
    return result(question, total, blank, [entry], elected)


def round_entry(
    number: int,
    votes: Mapping[int, int],
    *,
    inactive: Mapping[str, int] | None = None,
    threshold: int = 0,
    elected: Sequence[int] = (),
    eliminated: Iterable[int] = (),
) -> dict[str, Any]:
    """One round of a result."""
    return {
        "round": number,
        "votes": {str(option): votes[option] for option in sorted(votes)},
        "inactive": dict(inactive or {}),
        "threshold": threshold,
        "elected": list(elected),
        "eliminated": sorted(eliminated),
    }


def tie_entry(options: Iterable[int], chosen: Iterable[int], broken_by: str) -> dict[str, Any]:
    """How a tie was broken; `broken_by` is "earlier_round" or "option_order"."""
    return {"options": sorted(options), "chosen": sorted(chosen), "broken_by": broken_by}


def result(question: Question, total: int, blank: int, rounds: list[dict[str, Any]], winners: Sequence[int]) -> Result:
    """The whole result."""
    return {
        "method": question.method,
        "ballots": total,
        "blank": blank,
        "rounds": rounds,
        "winners": list(winners),
    }
