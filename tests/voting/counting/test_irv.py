"""Instant runoff: the rules one by one, and on random elections against a slow count written another way."""

import random
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ballot.voting import document
from ballot.voting.counting import METHODS, count_election
from ballot.voting.definition import Question
from tests.support.counts import IN_ORDER, tallied

IRV = METHODS["irv"]
Ballots = list[tuple[tuple[int, ...], int]]


def question(options: int, **rules: int | bool) -> Question:
    return Question("?", "irv", [f"option {i}" for i in range(options)], options, dict(rules))


def count(options: int, ballots: Ballots, **rules: int | bool) -> dict[str, Any]:
    return IRV.count(question(options, **rules), ballots, IN_ORDER)


def test_a_majority_in_the_first_round_ends_the_count() -> None:
    result = count(3, [((0,), 3), ((1,), 2)])
    assert result["winners"] == [0]
    assert [entry["threshold"] for entry in result["rounds"]] == [3]


def test_half_of_the_votes_is_no_majority() -> None:
    assert len(count(3, [((0,), 2), ((1,), 1), ((2, 0), 1)])["rounds"]) == 2


def test_ballots_move_to_the_next_option_still_in_the_count() -> None:
    result = count(4, [((0,), 4), ((1,), 3), ((2, 3, 1), 2), ((3, 2, 1), 1)])
    assert [entry["eliminated"] for entry in result["rounds"]] == [[3], [2], []]
    assert result["rounds"][-1]["votes"] == {"0": 4, "1": 6}
    assert result["winners"] == [1]


def test_a_ballot_that_runs_out_leaves_the_base_of_the_majority() -> None:
    last = count(3, [((0,), 4), ((1,), 3), ((2,), 2)])["rounds"][-1]
    assert (last["threshold"], last["inactive"]["exhausted_choices"]) == (4, 2)


def test_a_repeated_option_counts_once_or_stops_the_ballot() -> None:
    ballots: Ballots = [((0,), 3), ((1,), 3), ((2, 2, 1), 1)]
    assert count(3, ballots)["winners"] == [1]
    strict = count(3, ballots, repeat_exhausts=True)
    assert strict["rounds"][1]["inactive"]["repeated_rankings"] == 1


def test_an_overvote_stops_the_ballot_or_is_passed_over() -> None:
    ballots: Ballots = [((0,), 2), ((-2, 1), 3)]
    strict = count(2, ballots)
    assert (strict["winners"], strict["rounds"][0]["inactive"]["overvotes"]) == ([0], 3)
    lenient = count(2, ballots, overvote_skips=True)
    assert (lenient["winners"], lenient["rounds"][0]["inactive"]["overvotes"]) == ([1], 0)


def test_too_many_skipped_ranks_stop_the_ballot_at_the_next_mark() -> None:
    ballots: Ballots = [((0,), 2), ((-1, -1, 1), 3)]
    assert count(3, ballots)["winners"] == [1]
    strict = count(3, ballots, max_skipped_ranks=1)
    assert (strict["winners"], strict["rounds"][0]["inactive"]["skipped_rankings"]) == ([0], 3)
    assert count(3, ballots, max_skipped_ranks=2)["winners"] == [1]


def test_skipped_ranks_count_only_in_a_row_and_not_at_the_end() -> None:
    inactive = count(5, [((-1, 0, -1, 1), 1), ((2, -1, -1, -1), 1), ((3,), 2)], max_skipped_ranks=1)
    assert all(entry["inactive"]["skipped_rankings"] == 0 for entry in inactive["rounds"])


def test_a_ballot_without_a_mark_is_blank_however_it_is_written() -> None:
    result = count(2, [((), 2), ((-1, -1), 1), ((0,), 1)])
    assert (result["blank"], result["ballots"], result["rounds"][0]["votes"]) == (3, 4, {"0": 1, "1": 0})


def test_without_a_vote_the_count_ends_without_a_winner() -> None:
    elections: list[Ballots] = [[], [((), 5)], [((-2,), 5)]]
    for ballots in elections:
        result = count(3, ballots)
        assert (len(result["rounds"]), result["winners"]) == (1, [])


def test_a_batch_holds_all_who_together_cannot_overtake_the_next() -> None:
    ballots: Ballots = [((0,), 10), ((1,), 9), ((2,), 2), ((3,), 1), ((4,), 0)]
    assert count(5, ballots, batch_elimination=True)["rounds"][0]["eliminated"] == [2, 3, 4]
    assert count(5, ballots)["rounds"][0]["eliminated"] == [4]


def test_a_batch_that_could_draw_level_is_not_eliminated() -> None:
    ballots: Ballots = [((0,), 9), ((1,), 9), ((2,), 3), ((3,), 3)]
    first = count(4, ballots, batch_elimination=True)["rounds"][0]
    assert first["eliminated"] == [2, 3]
    first = count(4, [((0,), 6), *ballots[1:]], batch_elimination=True)["rounds"][0]
    assert first["eliminated"] == [3]


def test_undeclared_write_ins_are_dropped_first_and_never_win() -> None:
    result = count(3, [((2, 1), 5), ((0,), 1)], drop_in_round_1=2)
    assert [entry["eliminated"] for entry in result["rounds"]] == [[2], []]
    assert result["winners"] == [1]
    assert count(1, [((0,), 5)], drop_in_round_1=0)["winners"] == []


def test_a_tie_is_broken_by_the_latest_earlier_round_that_differs() -> None:
    ballots: Ballots = [((0,), 6), ((1,), 3), ((2,), 4), ((3, 1), 1)]
    second = count(4, ballots)["rounds"][1]
    assert second["votes"] == {"0": 6, "1": 4, "2": 4}
    assert second["eliminated"] == [1]
    assert second["tie"] == {"options": [1, 2], "chosen": [1], "broken_by": "earlier_round"}


def test_of_earlier_rounds_that_differ_the_latest_decides() -> None:
    # Option 1 is ahead of 2 in round 1, behind in round 2, level in round 3.
    ballots: Ballots = [((0,), 7), ((1,), 5), ((2,), 4), ((3, 2), 2), ((4, 1), 1), ((4, 0), 2)]
    assert count(5, ballots)["rounds"][2]["tie"] == {"options": [1, 2], "chosen": [1], "broken_by": "earlier_round"}


def test_a_tie_that_no_round_breaks_is_broken_by_the_lot_which_says_so() -> None:
    for lot in ((0, 1), (1, 0)):
        result = IRV.count(question(2), [((0,), 2), ((1,), 2)], lot)
        assert result["rounds"][0]["tie"] == {"options": [0, 1], "chosen": [lot[1]], "broken_by": "lot"}
        assert result["winners"] == [lot[0]]


def test_other_names_are_dropped_in_round_1_and_never_win() -> None:
    asked = Question("?", "irv", ["Ada", "Bo"], 2, write_ins=1)
    result = tallied(asked, [(["jane doe", 1], 5), ([0], 4)])
    assert [entry["eliminated"] for entry in result["rounds"]] == [[2], []]
    assert (result["rounds"][0]["votes"], result["winners"]) == ({"0": 4, "1": 0, "2": 5}, [1])
    assert result["write_ins"] == {"listed": [{"name": "jane doe", "votes": 5}], "more": 0}


@st.composite
def elections(draw: st.DrawFn) -> tuple[Question, Ballots]:
    options = draw(st.integers(1, 5))
    ranks = draw(st.integers(1, options))
    rules: dict[str, int | bool] = {
        rule: draw(st.booleans()) for rule in ("overvote_skips", "repeat_exhausts", "batch_elimination")
    }
    if draw(st.booleans()):
        rules["max_skipped_ranks"] = draw(st.integers(0, ranks))
    if draw(st.booleans()):
        rules["drop_in_round_1"] = draw(st.integers(0, options - 1))
    answer = st.lists(st.integers(-2, options - 1), max_size=ranks).map(tuple)
    ballots = draw(st.lists(st.tuples(answer, st.integers(1, 4)), max_size=12))
    asked = Question("?", "irv", [f"option {i}" for i in range(options)], ranks, rules)
    IRV.check_question(asked)
    return asked, ballots


@given(elections())
def test_in_every_round_votes_inactive_and_blank_are_all_ballots(election: tuple[Question, Ballots]) -> None:
    asked, ballots = election
    result = IRV.count(asked, ballots, IN_ORDER)
    assert result["ballots"] == sum(weight for _, weight in ballots)
    for number, entry in enumerate(result["rounds"], 1):
        assert entry["round"] == number
        accounted = sum(entry["votes"].values()) + sum(entry["inactive"].values()) + result["blank"]
        assert accounted == result["ballots"]
    assert document.decode(document.encode(result)) == result


@given(elections(), st.randoms(use_true_random=False))
def test_neither_order_nor_grouping_changes_the_result(
    election: tuple[Question, Ballots], shuffler: random.Random
) -> None:
    asked, ballots = election
    singles = [[list(ranks)] for ranks, weight in ballots for _ in range(weight)]
    shuffler.shuffle(singles)
    assert count_election([asked], singles) == [tallied(asked, ballots)]


@given(elections())
def test_batch_elimination_never_changes_the_winner_of_an_untied_count(
    election: tuple[Question, Ballots],
) -> None:
    asked, ballots = election
    batched, single = (
        IRV.count(Question("?", "irv", asked.options, asked.max_choices, asked.rules | rule), ballots, IN_ORDER)
        for rule in ({"batch_elimination": True}, {"batch_elimination": False})
    )
    if not any("tie" in entry for result in (batched, single) for entry in result["rounds"]):
        assert batched["winners"] == single["winners"]


@given(elections())
def test_a_slow_count_written_another_way_agrees(election: tuple[Question, Ballots]) -> None:
    asked, ballots = election
    result = IRV.count(asked, ballots, IN_ORDER)
    rounds = [
        (
            {int(option): votes for option, votes in entry["votes"].items()},
            {reason: votes for reason, votes in entry["inactive"].items() if votes},
            entry["elected"],
            entry["eliminated"],
        )
        for entry in result["rounds"]
    ]
    assert rounds == slow_rounds(asked, [ranks for ranks, weight in ballots for _ in range(weight)])


SlowRound = tuple[dict[int, int], dict[str, int], list[int], list[int]]


def slow_rounds(asked: Question, papers: list[tuple[int, ...]]) -> list[SlowRound]:
    """Counts every paper anew in every round: no piles, no grouping, no running totals."""
    standing = list(range(len(asked.options)))
    dropped = asked.rules.get("drop_in_round_1")
    rounds: list[SlowRound] = []
    while True:
        held = [slow_holder(asked, paper, standing) for paper in papers if set(paper) - {-1}]
        votes = {option: held.count(option) for option in standing}
        inactive = {reason: held.count(reason) for reason in held if isinstance(reason, str)}
        active = sum(votes.values())
        elected = [o for o in standing if o != dropped and active and Fraction(votes[o], active) > Fraction(1, 2)]
        if elected or not active:
            return [*rounds, (votes, inactive, elected, [])]
        losers = [dropped] if dropped in standing and not rounds else []
        losers = losers or slow_losers(asked, [earlier[0] for earlier in rounds] + [votes])
        rounds.append((votes, inactive, [], losers))
        standing = [option for option in standing if option not in losers]


def slow_holder(asked: Question, paper: tuple[int, ...], standing: list[int]) -> int | str:
    """Looks for the first rank of each kind that stops the paper, and takes the earliest."""
    most = asked.rules.get("max_skipped_ranks", 99)
    stops: list[tuple[int, int | str]] = [(len(paper), "exhausted_choices")]
    for place, rank in enumerate(paper):
        gap = paper[max(0, place - most - 1) : place]
        if rank != -1 and len(gap) == most + 1 and set(gap) == {-1}:
            stops.append((place, "skipped_rankings"))
        elif rank == -2 and not asked.rules["overvote_skips"]:
            stops.append((place, "overvotes"))
        elif rank in standing:
            stops.append((place, rank))
        elif rank >= 0 and rank in paper[:place] and asked.rules["repeat_exhausts"]:
            stops.append((place, "repeated_rankings"))
    return min(stops, key=lambda stop: stop[0])[1]


def slow_losers(asked: Question, history: list[dict[int, int]]) -> list[int]:
    """Tries every batch from the largest; else sorts by votes of this round, the one before, and so on."""
    votes = history[-1]
    upward = sorted(votes, key=lambda option: votes[option])
    if asked.rules["batch_elimination"]:
        for size in range(len(upward) - 1, 0, -1):
            if sum(votes[option] for option in upward[:size]) < votes[upward[size]]:
                return sorted(upward[:size])
    return [min(votes, key=lambda option: ([past[option] for past in reversed(history)], -option))]
