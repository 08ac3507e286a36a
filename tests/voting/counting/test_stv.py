"""Scottish STV: the rules one by one, and on random elections against a slow count of paper by paper."""

from collections import Counter
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from hypothesis import given

from ballot.voting import document
from ballot.voting.definition import Question
from tests.support.counts import Ballots, count, elections, letters, question, tallied


def election(papers: str, options: str, seats: int, lot: str = "") -> dict[str, Any]:
    """Counts "4 AB 3 C": four papers with A first and B second, three with C."""
    words = papers.split()
    ballots = [(letters(marks, options), int(number)) for number, marks in zip(words[::2], words[1::2], strict=True)]
    asked = question("stv", len(options), seats=seats)
    return count(asked, ballots, letters(lot or options, options))


def stages(result: dict[str, Any], options: str) -> list[dict[str, str]]:
    return [
        {options[int(option)]: votes for option, votes in entry["votes"].items()}
        | {"-": entry["inactive"]["non_transferable"]}
        for entry in result["rounds"]
    ]


def test_the_quota_is_one_more_than_the_votes_divided_by_seats_plus_one() -> None:
    assert election("5 A 4 B 3 C", "ABC", 2)["rounds"][0]["threshold"] == 5
    assert election("5 A 4 B 2 C", "ABC", 2)["rounds"][0]["threshold"] == 4


def test_a_surplus_goes_on_at_a_value_cut_off_after_five_decimals() -> None:
    # Quota 5, surplus 3 of 8: 3 / 8 = 0.375 a paper, six of which go to B.
    result = election("6 AB 2 A 3 B 2 C", "ABC", 2)
    assert stages(result, "ABC")[1] == {"A": "5.00000", "B": "5.25000", "C": "2.00000", "-": "0.75000"}
    # Quota 4, surplus 3 of 7: 0.42857142... is cut to 0.42857, and what is cut off is lost.
    result = election("7 AB 1 B 1 C 1 D", "ABCD", 2)
    assert stages(result, "ABCD")[1] == {
        "A": "4.00000",
        "B": "3.99999",
        "C": "1.00000",
        "D": "1.00000",
        "-": "0.00001",
    }


def test_papers_of_a_second_surplus_keep_part_of_the_value_they_came_with() -> None:
    # Quota 5. A's 4 surplus votes of 9: 0.44444 a paper. B has 4 + 9 x 0.44444 = 7.99996, surplus 2.99996:
    # papers of one vote go on at 2.99996 / 7.99996 = 0.37499, those of 0.44444 at 0.16666.
    result = election("9 ABC 4 BC 1 C 2 D 2 E", "ABCDE", 3)
    assert stages(result, "ABCDE")[1]["B"] == "7.99996"
    assert stages(result, "ABCDE")[2]["C"] == str(1 + 4 * Decimal("0.37499") + 9 * Decimal("0.16666"))


def test_the_largest_surplus_goes_first_and_only_to_those_still_in_the_count() -> None:
    result = election("5 BC 7 AB 2 C 1 D 1 E", "ABCDE", 3)
    assert [entry["surplus"] for entry in result["rounds"][:3]] == [[0], [], []]
    # B is elected already, and the papers name nobody else.
    assert stages(result, "ABCDE")[1]["-"] == "2.00000"


def test_excluded_papers_go_on_at_what_they_are_worth() -> None:
    # A's surplus of 3 brings D nine papers at 0.33333 each, which go on to C at that value.
    result = election("9 ADC 4 B 3 C 1 E", "ABCDE", 2)
    assert [entry["eliminated"] for entry in result["rounds"]] == [[], [4], [3], [1], []]
    assert stages(result, "ABCDE")[2]["D"] == "2.99997"
    assert stages(result, "ABCDE")[3]["C"] == "5.99997"


def test_those_left_for_the_last_vacancies_are_elected_without_the_quota() -> None:
    result = election("9 A 2 B 1 C", "ABC", 2)
    assert result["rounds"][-1]["elected"] == [1]
    assert stages(result, "ABC")[-1]["B"] == "2.00000"
    assert result["winners"] == [0, 1]


def test_with_no_more_options_than_seats_all_are_elected_at_once() -> None:
    result = election("2 A 1 B", "ABC", 3)
    assert (len(result["rounds"]), result["winners"], result["margin"]) == (1, [0, 1, 2], 0)


def test_without_a_vote_nobody_is_elected() -> None:
    nothing: list[Ballots] = [[], [((), 4)]]
    for ballots in nothing:
        result = count(question("stv", 2, seats=2), ballots)
        assert (len(result["rounds"]), result["winners"]) == (1, [])


def test_a_tie_for_exclusion_goes_by_the_latest_earlier_stage_that_differs() -> None:
    result = election("6 A 3 B 4 C 1 DB", "ABCD", 1, lot="DCBA")
    assert result["rounds"][1]["tie"] == {"options": [1, 2], "chosen": [1], "broken_by": "earlier_round"}


def test_of_earlier_stages_that_differ_the_latest_decides() -> None:
    # B is ahead of C in stage 1, behind in stage 2, level in stage 3.
    entry = election("7 A 5 B 4 C 2 DC 1 EB 2 EA", "ABCDE", 1, lot="BCADE")["rounds"][2]
    assert entry["tie"] == {"options": [1, 2], "chosen": [1], "broken_by": "earlier_round"}


def test_a_tie_for_exclusion_that_no_stage_breaks_goes_by_lot_the_last_leaves() -> None:
    for lot, out in (("ABC", 2), ("CAB", 1)):
        entry = election("3 A 2 B 2 C", "ABC", 1, lot)["rounds"][0]
        assert (entry["eliminated"], entry["tie"]["broken_by"]) == ([out], "lot")


def test_a_tie_between_surpluses_goes_by_the_latest_earlier_stage_that_differs() -> None:
    # Quota 11. X leaves first, and its papers bring both A and B to 12.
    entry = election("10 AC 9 BC 8 C 8 D 2 XA 3 XB", "ABCDX", 3, lot="XDCBA")["rounds"][1]
    assert (entry["elected"], entry["surplus"]) == ([0, 1], [0])
    assert entry["tie"] == {"options": [0, 1], "chosen": [0], "broken_by": "earlier_round"}


def test_a_tie_between_surpluses_that_no_stage_breaks_goes_by_lot_the_first_is_passed_on() -> None:
    for lot, first in (("ABCD", 0), ("DBCA", 1)):
        entry = election("5 AC 5 BC 1 C 2 D", "ABCD", 3, lot)["rounds"][0]
        assert (entry["surplus"], entry["tie"]) == (
            [first],
            {"options": [0, 1], "chosen": [first], "broken_by": "lot"},
        )


def test_other_names_hold_votes_but_no_seat_and_leave_first() -> None:
    asked = Question("?", "stv", ["Ada", "Bo", "Cy"], 3, {"seats": 1}, write_ins=1)
    result = tallied(asked, [(["jane doe", 2], 9), ([0], 4), ([1], 1)])
    assert (result["rounds"][0]["elected"], result["rounds"][0]["eliminated"]) == ([], [3])
    assert result["rounds"][1]["votes"] == {"0": "4.00000", "1": "1.00000", "2": "9.00000"}
    assert (result["winners"], result["write_ins"]["listed"]) == ([2], [{"name": "jane doe", "votes": 9}])


@given(elections("stv", 6))
def test_at_every_stage_all_votes_are_accounted_for(case: tuple[Question, Ballots]) -> None:
    result = count(*case)
    for entry in result["rounds"]:
        held = sum(map(Decimal, entry["votes"].values())) + Decimal(entry["inactive"]["non_transferable"])
        assert held + result["blank"] == result["ballots"]
        assert Decimal(entry["inactive"]["non_transferable"]) >= 0
    assert document.decode(document.encode(result)) == result
    if result["ballots"] > result["blank"]:
        assert len(result["winners"]) == len(set(result["winners"])) == case[0].rules["seats"]


@given(elections("stv", 6))
def test_a_slow_count_of_paper_by_paper_agrees(case: tuple[Question, Ballots]) -> None:
    asked, ballots = case
    result = count(asked, ballots)
    found = [
        (
            {int(option): Decimal(votes) for option, votes in entry["votes"].items()},
            Decimal(entry["inactive"]["non_transferable"]),
            Counter(entry["elected"]),
        )
        for entry in result["rounds"]
    ]
    papers = [ranks for ranks, weight in ballots for _ in range(weight) if ranks]
    assert found == slow_stages(len(asked.options), int(asked.rules["seats"]), papers)


Stage = tuple[dict[int, Decimal], Decimal, Counter[int]]


@dataclass
class Paper:
    """One ballot paper: what it lists, whose pile it lies in (None: nobody's), and its value there."""

    ranks: tuple[int, ...]
    holder: int | None
    value: Decimal = Decimal(1)


def slow_stages(options: int, seats: int, listed: list[tuple[int, ...]]) -> list[Stage]:
    """Follows the Order's rules 45 to 52 with decimals, looking through all papers every time; the lot is in the
    options' order. The non-transferable votes are added up from what falls away and not taken as the rest."""
    papers = [Paper(ranks, ranks[0]) for ranks in listed]
    quota = len(papers) // (seats + 1) + 1
    continuing, elected, unspent = list(range(options)), list[int](), list[int]()
    credited = {option: Decimal(sum(paper.holder == option for paper in papers)) for option in continuing}
    lost, history, stages = Decimal(0), list[dict[int, Decimal]](), list[Stage]()
    while True:
        history.append(dict(credited))
        now = [option for option in continuing if credited[option] >= quota]
        if papers and len(continuing) <= seats - len(elected):
            now = list(continuing)
        stages.append((dict(credited), lost, Counter(now)))
        elected += now
        unspent += [option for option in now if credited[option] > quota]
        continuing = [option for option in continuing if option not in now]
        if len(elected) == seats or not continuing or not papers:
            return stages
        if unspent:
            mover = max(unspent, key=lambda option: ([past[option] for past in reversed(history)], -option))
            unspent.remove(mover)
            total, kept = credited[mover], Decimal(quota)
        else:
            mover = min(continuing, key=lambda option: ([past[option] for past in reversed(history)], -option))
            continuing.remove(mover)
            total, kept = credited.pop(mover), Decimal(0)
        surplus = total - kept
        moved = Decimal(0)
        for paper in [paper for paper in papers if paper.holder == mover]:
            if kept:
                paper.value = (surplus * paper.value / total).quantize(Decimal("0.00001"), ROUND_DOWN)
            after = paper.ranks[paper.ranks.index(mover) + 1 :]
            paper.holder = next((option for option in after if option in continuing), None)
            if paper.holder is not None:
                credited[paper.holder] += paper.value
                moved += paper.value
        if kept:
            credited[mover] = kept
        lost += surplus - moved
