"""Single transferable vote by the Scottish rules: several seats, and no vote is lost while it can still help somebody.

The rules are those of the Scottish Local Government Elections Order 2007 (SSI 2007/42, schedule 1, rules 45 to 52),
the weighted inclusive Gregory method with five decimals:

- Quota: the valid votes divided by seats + 1, rounded down, plus one. Whoever reaches it, at any stage, is elected.
- Surplus: all papers of the elected option with the largest surplus go on to the next preference still in the count,
  each at `surplus x value / votes`, cut off after five decimals (value: what it was worth when it came).
- Exclusion: once no surplus is left, the option with the fewest votes leaves; its papers go on at their value.
- Last vacancies: when as many options are left as seats, all of them are elected and the count ends.
- Ties, in surplus or exclusion: the latest earlier stage that tells them apart decides, else the lot.

A round is a stage: what each holds once that stage's transfer is done. `surplus` is whose surplus goes on next, as
`eliminated` is who leaves next. `inactive.non_transferable` holds the papers without a further preference and what was
cut off. The transfer of an excluded option's papers is always carried out, as electronic counts do (SSI 2021/437,
article 2(4)), also where it leaves only as many options as seats.

Where names may be written in, the other names can hold votes but no seat, and are the first to be excluded. Without a
valid vote nobody is elected.

Rules: `seats` (default 1). A test holds this to a council's official report, every stage to the last decimal.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..question import Question
from .lot import Lot
from .method import (
    Answer,
    Form,
    Result,
    break_tie,
    check_marks,
    check_max_choices,
    check_rules,
    longest_marks,
    result,
    round_entry,
    seats_of,
    seats_rule,
    tie_entry,
)

DECIMALS = 5
ONE = 10**DECIMALS
"""One vote. All votes and values below are integers in units of 1/ONE."""

Paper = tuple[Answer, int, int, int]
"""Equal ballots: their preferences, the place of the one they count for, how many they are, what each is worth."""


class SingleTransferableVote:
    """See the module."""

    name = "stv"
    form = Form.LIST

    def check_question(self, question: Question) -> None:
        check_max_choices(question, question.lines)
        check_rules(question, seats_rule(question))

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_marks(question, answer)

    def longest_answer(self, question: Question) -> Sequence[int]:
        return longest_marks(question)

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        papers: list[Paper] = []
        total = blank = 0
        for ranks, weight in ballots:
            total += weight
            if ranks:
                papers.append((ranks, 0, weight, ONE))
            else:
                blank += weight
        count = _Count(question, papers, total - blank, lot)
        return result(question, total, blank, count.run(), count.elected)


class _Count:
    """The state between two stages. `votes` are of those elected and continuing; papers lie in piles, one an option."""

    def __init__(self, question: Question, papers: Iterable[Paper], valid: int, lot: Lot) -> None:
        everybody = range(len(question.candidates))
        self._other, self._seats, self._lot = question.other, seats_of(question), lot
        self._valid = valid
        self.quota = valid // (self._seats + 1) + 1
        self.elected: list[int] = []
        self._continuing = set(everybody)
        self._unspent: list[int] = []
        self._votes = dict.fromkeys(everybody, 0)
        self._piles: dict[int, list[Paper]] = {option: [] for option in everybody}
        self._history: list[dict[int, int]] = []
        for paper in papers:
            self._put(paper)

    def run(self) -> list[dict[str, Any]]:
        """The rounds of the whole count."""
        rounds = []
        while True:
            self._history.append(dict(self._votes))
            elected = self._elect()
            surplus, eliminated, tie = self._next()
            rounds.append(self._entry(elected, surplus, eliminated, tie))
            if surplus:
                self._pass_on_surplus(surplus[0])
            elif eliminated:
                self._exclude(eliminated[0])
            else:
                return rounds

    def _put(self, paper: Paper) -> None:
        """Gives papers to the option they name at their place, at what they are worth."""
        ranks, place, count, value = paper
        self._votes[ranks[place]] += count * value
        self._piles[ranks[place]].append(paper)

    def _elect(self) -> list[int]:
        """Whoever reached the quota, and whoever is left for the last vacancies: most votes first."""
        left = self._continuing - {self._other}
        reached = [option for option in left if self._votes[option] >= self.quota * ONE]
        vacancies = self._seats - len(self.elected)
        if self._valid and len(left) <= vacancies:
            reached = list(left)
        elected = self._by_votes(reached)
        self.elected += elected
        self._continuing -= set(elected)
        self._unspent += [option for option in elected if self._votes[option] > self.quota * ONE]
        return elected

    def _by_votes(self, options: list[int]) -> list[int]:
        """Most votes first; of equal ones, who had more at the latest earlier stage, else who is first in the lot."""
        past = self._history[::-1]
        return sorted(options, key=lambda option: ([-votes[option] for votes in past], self._lot.index(option)))

    def _next(self) -> tuple[list[int], list[int], dict[str, Any] | None]:
        """Whose surplus goes on, or else who is excluded; neither once the count is over."""
        if len(self.elected) == self._seats or not (self._continuing - {self._other}) or not self._valid:
            return [], [], None
        if self._unspent:
            chosen, tie = self._choose(self._unspent, max)
            return [chosen], [], tie
        if self._other in self._continuing:
            return [], [self._other], None
        chosen, tie = self._choose(self._continuing, min)
        return [], [chosen], tie

    def _choose(self, options: Iterable[int], pick: Any) -> tuple[int, dict[str, Any] | None]:
        extreme = pick(self._votes[option] for option in options)
        tied = [option for option in options if self._votes[option] == extreme]
        if len(tied) == 1:
            return tied[0], None
        chosen, broken_by = break_tie(tied, self._history[:-1], self._lot, pick)
        return chosen, tie_entry(tied, [chosen], broken_by)

    def _pass_on_surplus(self, option: int) -> None:
        self._unspent.remove(option)
        votes = self._votes[option]
        surplus = votes - self.quota * ONE
        papers, self._piles[option] = self._piles[option], []
        self._votes[option] = self.quota * ONE
        for ranks, place, count, value in papers:
            self._move(ranks, place, count, surplus * value // votes)

    def _exclude(self, option: int) -> None:
        self._continuing.remove(option)
        del self._votes[option]
        for ranks, place, count, value in self._piles.pop(option):
            self._move(ranks, place, count, value)

    def _move(self, ranks: Answer, place: int, count: int, value: int) -> None:
        """To the next available preference; without one the papers are in no pile any more."""
        for following in range(place + 1, len(ranks)):
            if ranks[following] in self._continuing:
                self._put((ranks, following, count, value))
                return

    def _entry(
        self, elected: list[int], surplus: list[int], eliminated: list[int], tie: dict[str, Any] | None
    ) -> dict[str, Any]:
        lost = self._valid * ONE - sum(self._votes.values())
        entry = round_entry(
            len(self._history),
            _texts(self._votes),
            inactive={"non_transferable": _text(lost)},
            threshold=self.quota,
            elected=elected,
            eliminated=eliminated,
        )
        return entry | {"surplus": surplus} | ({} if tie is None else {"tie": tie})


def _texts(votes: Mapping[int, int]) -> dict[int, str]:
    return {option: _text(votes[option]) for option in votes}


def _text(votes: int) -> str:
    """Votes as official reports print them: 1816.00000."""
    return f"{votes // ONE}.{votes % ONE:0{DECIMALS}d}"
