"""Small elections for tests of counting."""

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from ballot.voting.counting import METHODS, NO_SEED, Tally
from ballot.voting.counting.lot import Lot
from ballot.voting.counting.method import NO_NUMBER, Answer, Form
from ballot.voting.definition import DefinitionError, check_questions
from ballot.voting.question import Question

Ballots = list[tuple[Answer, int]]

IN_ORDER: Lot = tuple(range(300))
"""A lot that happens to prefer whoever is listed first."""

GRADES = ["Excellent", "Good", "Fair", "Poor"]


def question(method: str, options: int, **rules: int | bool) -> Question:
    """A question with so many options, all of which a ballot may mark, rank or grade."""
    names = [f"option {number}" for number in range(options)]
    most = 1 if method == "plurality" else options
    grades = GRADES if METHODS[method].form is Form.GRADES else []
    asked = Question("?", method, names, most, dict(rules), grades)
    check_questions([asked])
    return asked


def takes_seats(method: str) -> bool:
    try:
        question(method, 2, seats=2)
    except DefinitionError:
        return False
    return True


def count(asked: Question, ballots: Iterable[tuple[Answer, int]], lot: Lot = IN_ORDER) -> dict[str, Any]:
    return METHODS[asked.method].count(asked, ballots, lot)


def tallied(asked: Question, ballots: Iterable[tuple[Sequence[int | str], int]]) -> dict[str, Any]:
    """As the ballots of an election are counted, written names and all."""
    tally = Tally([asked])
    for answer, weight in ballots:
        tally.add([answer], weight)
    return tally.results(NO_SEED)[0]


def letters(text: str, options: str) -> Answer:
    """ "CAB" of the options "ABC" is (2, 0, 1): an order of preference."""
    return tuple(options.index(letter) for letter in text)


def ranks(text: str, options: str) -> Answer:
    """ "CA=B" of the options "ABC" is (2, 2, 1): a rank for each of them."""
    numbers = [NO_NUMBER] * len(options)
    rank = 0
    for place, letter in enumerate(text):
        if letter == "=":
            continue
        rank += 0 if place and text[place - 1] == "=" else 1
        numbers[options.index(letter)] = rank
    return tuple(numbers)


def answers(asked: Question) -> st.SearchStrategy[Answer]:
    """Any valid answer, blank ones too."""
    form, options = METHODS[asked.method].form, len(asked.options)
    if form is Form.LIST:
        return st.lists(st.integers(0, options - 1), max_size=asked.max_choices, unique=True).map(tuple)
    low, high = {
        Form.RANKS: (1, options),
        Form.POINTS: (0, int(asked.rules.get("max_score", 10))),
        Form.GRADES: (0, len(asked.grades) - 1),
    }[form]
    numbers = st.lists(st.integers(low, high) | st.just(NO_NUMBER), min_size=options, max_size=options)
    return (numbers | st.just([])).map(tuple)


@st.composite
def elections(draw: st.DrawFn, method: str, most_options: int = 5) -> tuple[Question, Ballots]:
    """A question and up to a dozen kinds of ballots on it."""
    options = draw(st.integers(1, most_options))
    seats = {"seats": draw(st.integers(1, options))} if takes_seats(method) else {}
    asked = question(method, options, **seats)
    ballots = draw(st.lists(st.tuples(answers(asked), st.integers(1, 6)), max_size=12))
    return asked, ballots
