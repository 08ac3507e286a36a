"""What every method promises: no ballot, no option and no order is special, and a weight is so many ballots."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from votelib.evaluate.cardinal import ScoreVoting

from ballot.voting import document
from ballot.voting.counting import METHODS, NO_SEED, count_election
from ballot.voting.counting.lot import Lot
from ballot.voting.counting.method import Answer, Form
from ballot.voting.question import Question
from tests.support.counts import IN_ORDER, Ballots, count, elections, question, tallied

# Every property is tried for every method, so a few examples each are many.
FEW = settings(max_examples=30)

# In these an answer that is better for the winner, all else equal, never harms it. Instant runoff and STV are known
# not to promise that; Schulze's promise about ties has a test of its own.
MONOTONE = ["plurality", "approval", "score", "majority_judgement"]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_registered_under_its_own_name(method: str) -> None:
    assert METHODS[method].name == method


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_neither_order_nor_grouping_changes_a_result(method: str, data: st.DataObject) -> None:
    asked, ballots = data.draw(elections(method))
    singles = [[list(answer)] for answer, weight in ballots for _ in range(weight)]
    data.draw(st.randoms(use_true_random=False)).shuffle(singles)
    assert count_election([asked], singles, NO_SEED) == [tallied(asked, ballots)]


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_no_option_is_special(method: str, data: st.DataObject) -> None:
    asked, ballots = data.draw(elections(method))
    options = list(range(len(asked.options)))
    lot = tuple(data.draw(st.permutations(options)))
    renamed = data.draw(st.permutations(options))
    before = count(asked, ballots, lot)
    after = count(asked, rename(asked, ballots, renamed), tuple(renamed[option] for option in lot))
    assert after["winners"] == [renamed[winner] for winner in before["winners"]]
    assert (after["margin"], after["blank"]) == (before["margin"], before["blank"])
    for entry, was in zip(after["rounds"], before["rounds"], strict=True):
        assert entry["votes"] == {str(renamed[int(option)]): votes for option, votes in was["votes"].items()}


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_a_result_is_a_document_that_accounts_for_all_ballots(method: str, data: st.DataObject) -> None:
    asked, ballots = data.draw(elections(method))
    result = count(asked, ballots)
    assert document.decode(document.encode(result)) == result
    assert result["ballots"] == sum(weight for _, weight in ballots)
    assert [entry["round"] for entry in result["rounds"]] == list(range(1, len(result["rounds"]) + 1))
    assert result["winners"] == [winner for entry in result["rounds"] for winner in entry["elected"]]
    assert len(set(result["winners"])) == len(result["winners"]) <= int(asked.rules.get("seats", 1))
    assert 0 <= result["margin"] <= result["ballots"] * int(asked.rules.get("max_score", 10))


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_only_where_the_lot_decided_does_it_matter(method: str, data: st.DataObject) -> None:
    asked, ballots = data.draw(elections(method))
    options = range(len(asked.options))
    results = [count(asked, ballots, lot) for lot in (tuple(options), tuple(reversed(options)))]
    if not any(entry.get("tie", {}).get("broken_by") == "lot" for entry in results[0]["rounds"]):
        assert set(results[0]["winners"]) == set(results[1]["winners"])


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_weights_all_multiplied_elect_the_same(method: str, data: st.DataObject) -> None:
    if method == "stv":
        return  # Its quota and its decimals are in whole votes.
    asked, ballots = data.draw(elections(method))
    heavy = count(asked, [(answer, 1000 * weight) for answer, weight in ballots])
    assert heavy["winners"] == count(asked, ballots)["winners"]


@pytest.mark.parametrize("method", MONOTONE)
@FEW
@given(data=st.data())
def test_a_better_answer_for_the_winner_does_not_harm_it(method: str, data: st.DataObject) -> None:
    asked, ballots = data.draw(elections(method))
    lot = tuple(data.draw(st.permutations(range(len(asked.options)))))
    winners = count(asked, ballots, lot)["winners"]
    if not winners:
        return
    changed = data.draw(st.integers(0, len(ballots) - 1))
    answer, weight = ballots[changed]
    better = improved(asked, answer, winners[0])
    if better is not None:
        again = count(asked, [*ballots[:changed], (better, weight), *ballots[changed + 1 :]], lot)
        assert again["winners"][0] == winners[0]


@given(elections("score"))
def test_votelib_scores_the_same(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    result = count(question("score", len(asked.options)), ballots)
    votes: dict[frozenset[tuple[int, int]], int] = {}
    for answer, weight in ballots:
        scores = frozenset((option, max(score, 0)) for option, score in enumerate(answer))
        votes[scores] = votes.get(scores, 0) + weight
    if result["winners"] and "tie" not in result["rounds"][0]:
        assert ScoreVoting(function="sum").evaluate(votes, 1) == result["winners"]


def rename(asked: Question, ballots: Ballots, renamed: list[int]) -> Ballots:
    if METHODS[asked.method].form is Form.LIST:
        return [(tuple(renamed[mark] if mark >= 0 else mark for mark in answer), weight) for answer, weight in ballots]
    places = [renamed.index(option) for option in range(len(renamed))]
    return [(tuple(answer[place] for place in places) if answer else (), weight) for answer, weight in ballots]


def improved(asked: Question, answer: Answer, winner: int) -> Answer | None:
    """The answer with the winner marked, or with a better number; None where that would take from a blank ballot."""
    form = METHODS[asked.method].form
    if form is Form.LIST:
        if winner in answer:
            return answer
        return (*answer[: asked.max_choices - 1], winner)
    if not answer or set(answer) == {-1}:
        return None
    best = 0 if form is Form.GRADES else int(asked.rules.get("max_score", 10))
    return tuple(best if option == winner else number for option, number in enumerate(answer))


def test_equal_ballots_are_counted_together_so_that_weights_may_be_large() -> None:
    chance = random.Random(1)
    for method in METHODS:
        asked = question(method, 6)
        lists = METHODS[method].form is Form.LIST
        ballots: Ballots = []
        for _ in range(200):
            order = chance.sample(range(6), 6)
            answer = tuple(order[: asked.max_choices]) if lists else tuple(1 + number % 3 for number in order)
            ballots.append((answer, 10**9))
        assert count(asked, ballots, IN_ORDER)["ballots"] == 200 * 10**9


def test_a_lot_has_everybody_once() -> None:
    lots: list[Lot] = [tuple(range(5)), tuple(reversed(range(5)))]
    results = {count(question("plurality", 5), [((0,), 1), ((4,), 1)], lot)["winners"][0] for lot in lots}
    assert results == {0, 4}
