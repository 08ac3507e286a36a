"""Instant runoff: one vote a ballot, held by its highest-ranked option still in the count.

Round by round: an option with a majority of the votes still active (threshold = half of them rounded down,
plus one) is elected. Otherwise the option with the fewest votes is eliminated and its ballots move on. A ballot
with no further rank to move to becomes inactive and leaves the majority's base. If no vote is active the count
ends without a winner.

An answer lists the ranks in order: an option, SKIPPED or OVERVOTED. An option ranked again counts once.

Rules, all optional; the names in brackets are the keys of `inactive` for ballots that stop for this reason:

- `max_skipped_ranks`: more skipped ranks in a row than this, with a mark after them, make the ballot inactive
  there (`skipped_rankings`). Default: any number may be skipped.
- `overvote_skips`: true passes over an overvoted rank; default false: the ballot becomes inactive there
  (`overvotes`).
- `repeat_exhausts`: true makes a ballot inactive at the second mark for the same option
  (`repeated_rankings`); default false: the mark is passed over.
- `batch_elimination`: true eliminates together the largest group of lowest options whose votes together are
  fewer than those of the next option, since none of them can overtake it.
- `drop_in_round_1`: the number of an option that stands for many names (undeclared write-ins): it is
  eliminated alone in round 1 and cannot be elected. So are the other names of a question with write-ins.

A ballot whose ranks simply end is in `exhausted_choices`. Of options tied for elimination, the one with the fewest
votes in the latest earlier round that tells them apart leaves (`earlier_round`), else the lot decides.

With the first, second, fourth and fifth rule this is the count of the city of Minneapolis; a test holds it to
the official figures of every round.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

from ..question import InvalidChoice, Question
from .lot import Lot
from .method import (
    NO_NUMBER,
    Answer,
    Form,
    Result,
    break_tie,
    check_max_choices,
    check_rules,
    is_blank,
    result,
    round_entry,
    tie_entry,
)

SKIPPED = NO_NUMBER
OVERVOTED = -2


class Inactive(StrEnum):
    """Why a ballot counts for nobody any more."""

    EXHAUSTED = "exhausted_choices"
    OVERVOTE = "overvotes"
    REPEATED = "repeated_rankings"
    SKIPPED = "skipped_rankings"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a question, defaults filled in."""

    max_skipped_ranks: int
    overvote_skips: bool
    repeat_exhausts: bool
    batch_elimination: bool
    dropped: frozenset[int]


class InstantRunoff:
    """See the module."""

    name = "irv"
    form = Form.LIST

    def check_question(self, question: Question) -> None:
        check_max_choices(question, question.lines)
        check_rules(
            question,
            {
                "max_skipped_ranks": range(question.max_choices + 1),
                "overvote_skips": bool,
                "repeat_exhausts": bool,
                "batch_elimination": bool,
                "drop_in_round_1": range(len(question.options)),
            },
        )

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        if len(answer) > question.max_choices:
            raise InvalidChoice("more ranks are given than the ballot has")
        if not all(OVERVOTED <= rank < len(question.options) for rank in answer):
            raise InvalidChoice("an option is ranked that does not exist")

    def longest_answer(self, question: Question) -> Sequence[int]:
        widest = max(SKIPPED, len(question.options) - 1, key=lambda rank: len(str(rank)))
        return [widest] * question.max_choices

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        rules = _rules(question)
        runoff = _Runoff(rules, range(len(question.candidates)))
        total = blank = 0
        for ranks, weight in ballots:
            total += weight
            if is_blank(ranks):
                blank += weight
            else:
                runoff.place(ranks, weight)
        rounds = _run(runoff, rules, lot)
        return result(question, total, blank, rounds, rounds[-1]["elected"])


class _Runoff:
    """Who holds which ballots: every marked ballot is in the pile of one option, or counted as inactive."""

    def __init__(self, rules: Rules, options: Iterable[int]) -> None:
        self._rules = rules
        self._piles: dict[int, list[tuple[Answer, int]]] = {option: [] for option in options}
        self.votes = dict.fromkeys(self._piles, 0)
        self.inactive = dict.fromkeys(map(str, Inactive), 0)

    def place(self, ranks: Answer, weight: int) -> None:
        """Gives a ballot to the option it counts for now."""
        holder = holder_of(ranks, self._piles, self._rules)
        if isinstance(holder, Inactive):
            self.inactive[holder.value] += weight
        else:
            self.votes[holder] += weight
            self._piles[holder].append((ranks, weight))

    def eliminate(self, options: Sequence[int]) -> None:
        """Takes options out of the count together; their ballots move on to those that remain."""
        released = [self._piles.pop(option) for option in options]
        for option in options:
            del self.votes[option]
        for ranks, weight in chain.from_iterable(released):
            self.place(ranks, weight)


def holder_of(ranks: Answer, continuing: Collection[int], rules: Rules) -> int | Inactive:
    """The option that a ballot counts for among those `continuing`, or why it counts for none."""
    skipped = 0
    seen: set[int] = set()
    for rank in ranks:
        if rank == SKIPPED:
            skipped += 1
            continue
        if skipped > rules.max_skipped_ranks:
            return Inactive.SKIPPED
        skipped = 0
        if rank == OVERVOTED:
            if not rules.overvote_skips:
                return Inactive.OVERVOTE
            continue
        if rank in continuing:
            return rank
        if rules.repeat_exhausts and rank in seen:
            return Inactive.REPEATED
        seen.add(rank)
    return Inactive.EXHAUSTED


def _rules(question: Question) -> Rules:
    rules = question.rules
    return Rules(
        max_skipped_ranks=rules.get("max_skipped_ranks", question.max_choices),
        overvote_skips=bool(rules.get("overvote_skips", False)),
        repeat_exhausts=bool(rules.get("repeat_exhausts", False)),
        batch_elimination=bool(rules.get("batch_elimination", False)),
        dropped=frozenset(option for option in (rules.get("drop_in_round_1"), question.other) if option is not None),
    )


def _run(runoff: _Runoff, rules: Rules, lot: Lot) -> list[dict[str, Any]]:
    rounds: list[dict[str, Any]] = []
    history: list[dict[int, int]] = []
    while True:
        votes = dict(runoff.votes)
        history.append(votes)
        active = sum(votes.values())
        threshold = active // 2 + 1
        elected = [o for o in votes if votes[o] >= threshold and o not in rules.dropped]
        ended = bool(elected) or active == 0
        eliminated, tie = ([], None) if ended else _eliminated(history, rules, lot)
        entry = round_entry(
            len(history),
            votes,
            inactive=runoff.inactive,
            threshold=threshold,
            elected=elected,
            eliminated=eliminated,
        )
        rounds.append(entry if tie is None else entry | {"tie": tie})
        if ended:
            return rounds
        runoff.eliminate(eliminated)


def _eliminated(
    history: Sequence[Mapping[int, int]], rules: Rules, lot: Lot
) -> tuple[list[int], dict[str, Any] | None]:
    votes = history[-1]
    if len(history) == 1 and rules.dropped:
        return list(rules.dropped), None
    batch = _batch(votes) if rules.batch_elimination else []
    if batch:
        return batch, None
    fewest = min(votes.values())
    lowest = [option for option in votes if votes[option] == fewest]
    if len(lowest) == 1:
        return lowest, None
    option, broken_by = break_tie(lowest, history[:-1], lot, min)
    return [option], tie_entry(lowest, [option], broken_by)


def _batch(votes: Mapping[int, int]) -> list[int]:
    """The largest group of lowest options that together have fewer votes than the next one."""
    options: dict[int, list[int]] = defaultdict(list)
    for option, count in votes.items():
        options[count].append(option)
    batch: list[int] = []
    seen: list[int] = []
    together = 0
    for count in sorted(options):
        if together < count:
            batch = list(seen)
        seen += options[count]
        together += count * len(options[count])
    return batch
