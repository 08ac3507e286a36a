"""What a counting method is, and what the methods share.

Every method's result has one shape, a document (see `..document`) that a page can draw round by round:

    {
      "method": "irv",
      "ballots": 105928,             all votes given to the question, in the unit of the weights
      "blank": 1369,                 of these, ballots with no mark at all; they are in no round
      "rounds": [
        {
          "round": 1,
          "votes": {"0": 711, ...},  number (as text, for JSON) to votes, of whoever is still in the count
          "inactive": {"exhausted_choices": 37, ...},   ranked methods: ballots that count for nobody any more
          "threshold": 52243,        votes that elect in this round; 0 where simply the most votes win
          "elected": [],             numbers, most votes first
          "eliminated": [18],        numbers, ascending: who leaves the count after this round
          "tie": {"options": [3, 7], "chosen": [7], "broken_by": "lot"}   only where there was one
        }
      ],
      "winners": [10],               numbers in order of election; empty if nobody has a vote
      "margin": 5321                 whole votes between the last winner and the first loser, where that was decided
    }

Numbers are positions in `Question.candidates`. Votes are integers, or text with decimals for a method that divides
votes. In every round of a method that counts one vote a ballot, `votes` + `inactive` + `blank` = `ballots`. A method
may add what it has to show, and `write_ins` is there where names may be written in (see `..write_in`).

**Ties.** `tie.options` had equal votes where not all of them could be elected (or not all be eliminated); `tie.chosen`
are those that were. `broken_by` says what settled it: a rule of the method, or `lot` (see `.lot`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from ..question import DefinitionError, InvalidChoice, Question
from .lot import Lot

Answer = tuple[int, ...]
Result = dict[str, Any]
NO_NUMBER = -1
MOST_POINTS = 100
"""Points that one vote can give at most: the counts of the largest electorates must stay below 2^53."""


class Form(StrEnum):
    """What an answer is."""

    LIST = "list"
    """The options marked or ranked, each once or as the method says, and perhaps names written in."""
    RANKS = "ranks"
    """One number for every option, in their order: its rank, 1 the best; NO_NUMBER for an option left without."""
    POINTS = "points"
    """The same with points, the more the better."""
    GRADES = "grades"
    """The same with positions in the question's `grades`, 0 the best."""


class Method(Protocol):
    """A counting method. `question` has passed `check_question` wherever another function gets it."""

    @property
    def name(self) -> str:
        """The name in a definition."""

    @property
    def form(self) -> Form:
        """What its answers are."""

    def check_question(self, question: Question) -> None:
        """Raises DefinitionError if max_choices or the rules are not the method's."""

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        """Raises InvalidChoice if a ballot cannot say this, written names left out."""

    def longest_answer(self, question: Question) -> Sequence[int]:
        """A valid answer without written names whose document is the longest that any such answer has."""

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        """The result, from valid answers and how often (or with what weight) each was given.

        In an answer a written name has become the number of whom it counts for. Neither the order of the ballots nor
        the way they are grouped makes a difference.
        """


def check_max_choices(question: Question, limit: int) -> None:
    """Raises DefinitionError unless max_choices is from 1 to `limit`."""
    if not 1 <= question.max_choices <= limit:
        allowed = "1" if limit == 1 else f"from 1 to {limit}"
        raise DefinitionError(f"max_choices of {question.method} must be {allowed}, not {question.max_choices}")


def check_all_options(question: Question) -> None:
    """Raises DefinitionError unless max_choices is the number of options: each of them gets a number."""
    if question.max_choices != len(question.options):
        raise DefinitionError(f"max_choices of {question.method} must be the number of options")


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


def seats_rule(question: Question) -> dict[str, range]:
    """The rule `seats`, for `check_rules`: as many as there is somebody to elect."""
    return {"seats": range(1, len(question.options) + len(question.declared) + 1)}


def seats_of(question: Question) -> int:
    return int(question.rules.get("seats", 1))


def check_marks(question: Question, answer: Sequence[int]) -> None:
    """Raises InvalidChoice unless the answer marks at most max_choices options, none twice."""
    if len(answer) > question.max_choices:
        raise InvalidChoice("more options are marked than allowed")
    if not all(0 <= option < len(question.options) for option in answer):
        raise InvalidChoice("an option is marked that does not exist")
    if len(set(answer)) != len(answer):
        raise InvalidChoice("an option is marked twice")


def longest_marks(question: Question) -> Sequence[int]:
    """The answer of the highest numbers, which have the most digits."""
    return range(len(question.options))[-question.max_choices :]


def check_numbers(question: Question, answer: Sequence[int], allowed: range) -> None:
    """Raises InvalidChoice unless the answer is empty, or one number an option, allowed or NO_NUMBER."""
    if answer and len(answer) != len(question.options):
        raise InvalidChoice("there is not one number an option")
    if not all(number == NO_NUMBER or number in allowed for number in answer):
        raise InvalidChoice("an option has a number that is not allowed")


def longest_numbers(question: Question, allowed: range) -> Sequence[int]:
    return [max(NO_NUMBER, allowed[-1], key=lambda number: len(str(number)))] * len(question.options)


def is_blank(answer: Answer) -> bool:
    """Whether an answer marks nothing (-1 is NO_NUMBER, and a skipped rank)."""
    return all(number == NO_NUMBER for number in answer)


def in_order(votes: Mapping[int, int], lot: Lot) -> list[int]:
    """Whoever has a vote, the most votes first, equal ones in the order of the lot."""
    return sorted((number for number in votes if votes[number]), key=lambda number: (-votes[number], lot.index(number)))


def elect_by_votes(number: int, votes: Mapping[int, int], seats: int, lot: Lot) -> dict[str, Any]:
    """The entry of a round in which the `seats` with the most votes win; without a vote nobody does."""
    standing = in_order(votes, lot)
    elected = standing[:seats]
    entry = round_entry(number, votes, elected=elected)
    last = votes[elected[-1]] if elected else 0
    tied = [option for option in standing if votes[option] == last]
    chosen = [option for option in tied if option in elected]
    if len(chosen) < len(tied):
        entry["tie"] = tie_entry(tied, chosen, "lot")
    return entry


def count_marks(question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
    """Counts in one round: every mark is a vote, the most votes win. Other names are shown, not elected."""
    votes = dict.fromkeys(range(len(question.candidates)), 0)
    total = blank = 0
    for answer, weight in ballots:
        total += weight
        if not answer:
            blank += weight
        for option in answer:
            votes[option] += weight
    somebody = {option: votes[option] for option in votes if option != question.other}
    entry = elect_by_votes(1, somebody, seats_of(question), lot)
    entry["votes"] = _by_text(votes)
    return result(question, total, blank, [entry], entry["elected"])


def break_tie(
    tied: Sequence[int], history: Sequence[Mapping[int, int]], lot: Lot, pick: Callable[[Iterable[int]], int]
) -> tuple[int, str]:
    """The one of the tied that earlier rounds or else the lot choose, and which of the two it was.

    `pick` is max to prefer one, min to eliminate one: the latest round of `history` (votes of the rounds so far) in
    which they differ leaves those with the most or the fewest, and so on backwards while several are left.
    """
    left = list(tied)
    for votes in reversed(history):
        extreme = pick(votes[option] for option in left)
        left = [option for option in left if votes[option] == extreme]
        if len(left) == 1:
            return left[0], "earlier_round"
    left.sort(key=lot.index)
    return left[0 if pick is max else -1], "lot"


def round_entry(
    number: int,
    votes: Mapping[int, int | str],
    *,
    inactive: Mapping[str, int | str] | None = None,
    threshold: int = 0,
    elected: Sequence[int] = (),
    eliminated: Iterable[int] = (),
) -> dict[str, Any]:
    """One round of a result."""
    return {
        "round": number,
        "votes": _by_text(votes),
        "inactive": dict(inactive or {}),
        "threshold": threshold,
        "elected": list(elected),
        "eliminated": sorted(eliminated),
    }


def _by_text(votes: Mapping[int, int | str]) -> dict[str, int | str]:
    return {str(option): votes[option] for option in sorted(votes)}


def tie_entry(options: Iterable[int], chosen: Iterable[int], broken_by: str) -> dict[str, Any]:
    """How a tie was broken; `broken_by` is "lot", or the name of the method's rule."""
    return {"options": sorted(options), "chosen": sorted(chosen), "broken_by": broken_by}


def result(
    question: Question,
    total: int,
    blank: int,
    rounds: list[dict[str, Any]],
    winners: Sequence[int],
    margin: int | None = None,
) -> Result:
    """The whole result. Where votes alone decide, the margin follows from the rounds."""
    return {
        "method": question.method,
        "ballots": total,
        "blank": blank,
        "rounds": rounds,
        "winners": list(winners),
        "margin": _margin(rounds, winners, question.other) if margin is None else margin,
    }


def _margin(rounds: Sequence[Mapping[str, Any]], winners: Sequence[int], other: int | None) -> int:
    """Whole votes between the last winner and the first loser in the latest round that still had a loser.

    Winners elected before that round do not count. All of the winner's votes where nobody lost, 0 without a winner.
    """
    if not winners:
        return 0
    nobody_lost = {str(number) for number in (*winners, *(() if other is None else (other,)))}
    places = [place for place, entry in enumerate(rounds) if entry["votes"].keys() - nobody_lost]
    place = places[-1] if places else 0
    votes = {number: _whole(value) for number, value in rounds[place]["votes"].items()}
    early = {number for entry in rounds[:place] for number in entry["elected"]}
    lost = [votes[number] for number in votes.keys() - nobody_lost]
    return max(0, min(votes[str(winner)] for winner in winners if winner not in early) - max(lost, default=0))


def _whole(votes: int | str) -> int:
    return int(str(votes).partition(".")[0])
