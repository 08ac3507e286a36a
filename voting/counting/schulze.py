"""Schulze: whoever wins every direct comparison is elected; where comparisons go round in a circle, the weakest yield.

An answer is one rank an option: 1 is best, equal ranks are allowed, ranks may be left out, NO_NUMBER stands below all
of them. From `pairwise[a][b]`, the votes that rank a above b, follow the links: the link from a to b is the stronger
the more votes support it, of equal ones the fewer oppose it (winning votes; one without a majority is weaker than any
with one). A path is as strong as its weakest link, `paths[a][b]` is the strongest one as [support, opposition], and a
is better than b if `paths[a][b]` is stronger than `paths[b][a]`. That relation has no circles. Elected are those whom
nobody left is better than, until the seats are filled; if more remain than seats, the lot decides among them.

M. Schulze, "The Schulze Method of Voting", arXiv 1804.02973, section 2.

The one round's `votes` say how many others each is better than, and `margin` is the least support by which a winner's
path is stronger than the loser's way back. Nobody is elected without a vote.

Rules: `seats` (default 1).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
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

MOST_OPTIONS = 100
"""The result has two tables of options by options."""

Matrix = list[list[int]]
Link = tuple[int, int]
"""How many votes support a comparison, and how many oppose it."""

_FIELD = 64
"""Bits for one sum of votes, which stays below 2^53."""


class Schulze:
    """See the module."""

    name = "schulze"
    form = Form.RANKS

    def check_question(self, question: Question) -> None:
        check_all_options(question)
        if len(question.options) > MOST_OPTIONS:
            raise DefinitionError(f"schulze compares at most {MOST_OPTIONS} options")
        check_rules(question, seats_rule(question))

    def check_answer(self, question: Question, answer: Sequence[int]) -> None:
        check_numbers(question, answer, _ranks(question))

    def longest_answer(self, question: Question) -> Sequence[int]:
        return longest_numbers(question, _ranks(question))

    def count(self, question: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot) -> Result:
        comparisons = _Comparisons(len(question.options))
        total = blank = 0
        for ranks, weight in ballots:
            total += weight
            if is_blank(ranks):
                blank += weight
            else:
                comparisons.add(ranks, weight)
        pairwise = comparisons.matrix()
        strength, links = strongest_paths(pairwise)
        options = range(len(pairwise))
        better = [{b for b in options if strength[a][b] > strength[b][a]} for a in options]
        winners, tie = _elect(better, seats_of(question), lot) if total > blank else ([], None)
        entry = round_entry(1, {option: len(better[option]) for option in options}, elected=winners)
        rounds = [entry if tie is None else entry | {"tie": tie}]
        paths = [[list(links[strength[a][b]]) for b in options] for a in options]
        margin = _margin(paths, winners)
        return result(question, total, blank, rounds, winners, margin) | {"pairwise": pairwise, "paths": paths}


def _ranks(question: Question) -> range:
    return range(1, len(question.options) + 1)


class _Comparisons:
    """Sums up who is ranked above whom. A row is one long integer with a field of bits for every other option, so
    that a ballot costs one addition an option and not one a pair."""

    def __init__(self, options: int) -> None:
        self._rows = [0] * options

    def add(self, ranks: Answer, weight: int) -> None:
        tiers: dict[int, list[int]] = defaultdict(list)
        for option, rank in enumerate(ranks):
            tiers[rank].append(option)
        below = sum(weight << _FIELD * option for option in tiers.pop(NO_NUMBER, ()))
        for rank in sorted(tiers, reverse=True):
            for option in tiers[rank]:
                self._rows[option] += below
            below += sum(weight << _FIELD * option for option in tiers[rank])

    def matrix(self) -> Matrix:
        options = range(len(self._rows))
        return [[row >> _FIELD * option & (1 << _FIELD) - 1 for option in options] for row in self._rows]


def strongest_paths(pairwise: Matrix) -> tuple[Matrix, list[Link]]:
    """For every pair the strength of the strongest path, as a place in the list of all links from weak to strong."""
    options = range(len(pairwise))
    of_pair = {(a, b): (pairwise[a][b], pairwise[b][a]) for a in options for b in options if a != b}
    by_strength = {_strength(link): link for link in of_pair.values()}
    ordered = [(0, 0), *(by_strength[strength] for strength in sorted(by_strength))]
    place = {_strength(link): at for at, link in enumerate(ordered) if at}
    paths = [[0 if a == b else place[_strength(of_pair[a, b])] for b in options] for a in options]
    # Floyd and Warshall's algorithm: allow one more option in between at a time.
    for between in options:
        onward = paths[between]
        for a in options:
            first = paths[a][between]
            paths[a] = [max(known, min(first, second)) for known, second in zip(paths[a], onward, strict=True)]
    for a in options:
        paths[a][a] = 0
    return paths, ordered


def _strength(link: Link) -> tuple[int, int, int]:
    """Orders links by winning votes (section 2.1 of the paper); all draws are equally strong."""
    support, opposition = link
    if support > opposition:
        return 1, support, -opposition
    return (0, 0, 0) if support == opposition else (-1, -opposition, support)


def _elect(better: Sequence[set[int]], seats: int, lot: Lot) -> tuple[list[int], dict[str, Any] | None]:
    winners: list[int] = []
    left = set(range(len(better)))
    while left and len(winners) < seats:
        beaten = set().union(*(better[option] for option in left))
        best = sorted(left - beaten, key=lot.index)
        chosen = best[: seats - len(winners)]
        winners += chosen
        left -= set(chosen)
        if len(chosen) < len(best):
            return winners, tie_entry(best, chosen, "lot")
    return winners, None


def _margin(paths: Sequence[Sequence[Sequence[int]]], winners: Sequence[int]) -> int:
    losers = [option for option in range(len(paths)) if option not in winners]
    if not winners or not losers:
        return 0
    return min(
        _support(paths[winner][loser]) - _support(paths[loser][winner]) for winner in winners for loser in losers
    )


def _support(link: Sequence[int]) -> int:
    support, opposition = link
    return support if support > opposition else 0
