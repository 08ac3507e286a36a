"""Schulze: published examples with their tables, the rules of ties, and what the method promises."""

from itertools import pairwise as neighbours
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from votelib.convert import RankedToCondorcetVotes
from votelib.evaluate.condorcet import Schulze as Votelib

from ballot.voting.definition import DefinitionError, Question, check_questions
from tests.support.counts import Ballots, count, elections, question, ranks

Matrix = list[list[int]]


def election(papers: str, options: str, seats: int = 1) -> dict[str, Any]:
    """Counts "5 ACB 2 B=CA": five ballots that rank A before C before B, two that rank B and C first."""
    words = papers.split()
    ballots = [(ranks(marks, options), int(number)) for number, marks in zip(words[::2], words[1::2], strict=True)]
    return count(question("schulze", len(options), seats=seats), ballots)


def table(text: str) -> Matrix:
    """Rows without their diagonal."""
    rows = [[int(word) for word in line.split()] for line in text.strip().splitlines()]
    return [[*row[:place], 0, *row[place:]] for place, row in enumerate(rows)]


def supports(paths: list[list[list[int]]]) -> Matrix:
    return [[support if support > opposition else 0 for support, opposition in row] for row in paths]


# Wikipedia, "Schulze method" (its example is Schulze's own): votes, d, p and the ranking.
WIKIPEDIA = "5 ACBED 5 ADECB 8 BEDAC 3 CABED 7 CAEBD 2 CBADE 7 DCEBA 8 EBADC"
WIKIPEDIA_D = """
20 26 30 22
25 16 33 18
19 29 17 24
15 12 28 14
23 27 21 31
"""
WIKIPEDIA_P = """
28 28 30 24
25 28 33 24
25 29 29 24
25 28 28 24
25 28 28 31
"""


def test_the_tables_of_the_published_example_are_found() -> None:
    result = election(WIKIPEDIA, "ABCDE", seats=5)
    assert result["pairwise"] == table(WIKIPEDIA_D)
    assert supports(result["paths"]) == table(WIKIPEDIA_P)
    assert result["winners"] == ["ABCDE".index(letter) for letter in "EACBD"]


# Schulze, arXiv 1804.02973 and his list of examples: (votes, ranking).
PUBLISHED = [
    ("5 ACBD 2 ACDB 3 ADCB 4 BACD 3 CBDA 3 CDBA 1 DACB 5 DBAC 4 DCBA", "DACB"),
    ("3 ABDEC 5 ADEBC 1 ADECB 2 BADEC 2 BDECA 4 CABDE 6 CBADE 2 DBECA 5 DECAB", "BADEC"),
]


@pytest.mark.parametrize(("papers", "ranking"), PUBLISHED)
def test_published_rankings_are_found(papers: str, ranking: str) -> None:
    options = "".join(sorted(ranking))
    result = election(papers, options, seats=len(options))
    assert "".join(options[option] for option in result["winners"]) == ranking


def test_a_published_tie_is_left_to_the_lot() -> None:
    entry = election("3 ABCD 2 DABC 2 DBCA 2 CBDA", "ABCD")["rounds"][0]
    assert entry["tie"] == {"options": [1, 3], "chosen": [1], "broken_by": "lot"}


# Tideman's example of the Schwartz set in "Independence of clones", here as the capital of Tennessee on Wikipedia.
def test_the_capital_of_tennessee_is_nashville() -> None:
    result = election("42 MNCK 26 NCKM 15 CKNM 17 KCNM", "MNCK")
    assert result["winners"] == [1]
    assert result["rounds"][0]["votes"] == {"0": 0, "1": 3, "2": 2, "3": 1}
    assert result["margin"] == 58


def test_equal_ranks_and_options_left_out_support_neither() -> None:
    result = election("3 A=B 2 CA", "ABC")
    assert result["pairwise"] == [[0, 2, 3], [0, 0, 3], [2, 2, 0]]


def test_of_equally_supported_links_the_less_opposed_is_the_stronger() -> None:
    # A beats B by 5 to 4, B beats C by 5 to 3, C beats A by 5 to 2: the circle is cut between A and B.
    result = election("3 CAB 2 BA=C 1 AB=C 2 BCA 1 ABC", "ABC")
    assert result["pairwise"] == [[0, 5, 2], [4, 0, 5], [5, 3, 0]]
    assert result["winners"] == [1]
    assert "tie" not in result["rounds"][0]


def test_the_seats_go_to_the_best_and_then_to_the_best_of_the_rest() -> None:
    assert election("5 ABC 4 BAC", "ABC", seats=2)["winners"] == [0, 1]


def test_blank_ballots_are_in_no_comparison_and_alone_elect_nobody() -> None:
    result = count(question("schulze", 2), [((-1, -1), 3), ((), 2)])
    assert (result["blank"], result["winners"], result["pairwise"]) == (5, [], [[0, 0], [0, 0]])


def test_more_options_than_the_tables_may_have_are_refused() -> None:
    with pytest.raises(DefinitionError, match="at most 100 options"):
        check_questions([Question("?", "schulze", [f"{number}" for number in range(101)], 101)])


@given(elections("schulze"))
def test_the_pairwise_votes_are_those_counted_one_by_one(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    assert count(asked, ballots)["pairwise"] == pairs(ballots, len(asked.options))


@given(elections("schulze"))
def test_a_winner_of_all_direct_comparisons_wins(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    pairwise = pairs(ballots, len(asked.options))
    for option, row in enumerate(pairwise):
        if all(row[other] > pairwise[other][option] for other in range(len(row)) if other != option) and len(row) > 1:
            assert count(asked, ballots)["winners"][0] == option


@given(elections("schulze"))
def test_the_first_winner_is_in_the_smith_set(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    pairwise = pairs(ballots, len(asked.options))
    for winner in count(asked, ballots)["winners"][:1]:
        assert winner in smith_set(pairwise)


@given(elections("schulze"))
def test_better_has_no_circles_and_is_what_paths_say(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    result = count(asked, ballots)
    strongest = strongest_by_search(pairs(ballots, len(asked.options)))
    options = range(len(asked.options))
    better = {(a, b) for a, b in permutations(options, 2) if strongest[a, b] > strongest[b, a]}
    assert all((a, c) in better for a, b in better for x, c in better if x == b)
    assert {int(o): votes for o, votes in result["rounds"][0]["votes"].items()} == {
        a: sum((a, b) in better for b in options) for a in options
    }


@given(elections("schulze"))
def test_votelib_finds_paths_of_the_same_strength(case: tuple[Question, Ballots]) -> None:
    result = count(*case)
    options = range(len(result["pairwise"]))
    theirs = Votelib.widest_paths({(a, b): result["pairwise"][a][b] for a, b in permutations(options, 2)})
    assert supports(result["paths"]) == [[theirs.get((a, b), 0) if a != b else 0 for b in options] for a in options]


@given(elections("schulze"))
def test_votelib_compares_pairs_alike(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    votes = {as_tiers(answer): 0 for answer, _ in ballots}
    for answer, weight in ballots:
        votes[as_tiers(answer)] += weight
    found = RankedToCondorcetVotes().convert({tiers: weight for tiers, weight in votes.items() if tiers})
    pairwise = count(asked, ballots)["pairwise"]
    ranked = {option for tiers in votes for tier in tiers for option in tier}
    assert all(found.get((a, b), 0) == pairwise[a][b] for a, b in permutations(ranked, 2))


@given(elections("schulze"), st.data())
def test_ranking_a_sole_winner_higher_leaves_it_among_the_best(
    case: tuple[Question, Ballots], data: st.DataObject
) -> None:
    asked, ballots = case
    before = count(question("schulze", len(asked.options)), ballots)["rounds"][0]
    if not ballots or "tie" in before or not before["elected"]:
        return
    (winner,) = before["elected"]
    changed = data.draw(st.integers(0, len(ballots) - 1))
    answer, weight = ballots[changed]
    if not answer:
        return
    raised = tuple(1 if option == winner else rank + (rank > 0) for option, rank in enumerate(answer))
    after = count(
        question("schulze", len(asked.options)), [*ballots[:changed], (raised, weight), *ballots[changed + 1 :]]
    )
    entry = after["rounds"][0]
    assert winner in entry.get("tie", {"options": entry["elected"]})["options"]


def pairs(ballots: Ballots, options: int) -> Matrix:
    """Every ballot looked at for every pair."""
    places = [([rank if rank > 0 else 999 for rank in answer], weight) for answer, weight in ballots if answer]
    return [
        [sum(weight for place, weight in places if place[a] < place[b]) for b in range(options)] for a in range(options)
    ]


def as_tiers(answer: tuple[int, ...]) -> tuple[frozenset[int], ...]:
    used = sorted({rank for rank in answer if rank > 0})
    return tuple(frozenset(option for option, rank in enumerate(answer) if rank == one) for one in used)


def smith_set(pairwise: Matrix) -> set[int]:
    """The smallest set whose members all beat everybody outside."""
    options = range(len(pairwise))
    for size in range(1, len(pairwise) + 1):
        for members in permutations(options, size):
            outside = set(options) - set(members)
            if all(pairwise[a][b] > pairwise[b][a] for a in members for b in outside):
                return set(members)
    return set(options)


def strongest_by_search(pairwise: Matrix) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Tries every path."""
    options = range(len(pairwise))

    def link(a: int, b: int) -> tuple[int, int, int]:
        support, opposition = pairwise[a][b], pairwise[b][a]
        if support > opposition:
            return (1, support, -opposition)
        return (-1, -opposition, support) if support < opposition else (0, 0, 0)

    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for size in range(2, len(pairwise) + 1):
        for path in permutations(options, size):
            weakest = min(link(a, b) for a, b in neighbours(path))
            ends = path[0], path[-1]
            best[ends] = max(best.get(ends, weakest), weakest)
    return best
