"""Names written in: one form, a bounded size, counted for whom they name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.voting.choice import InvalidChoice, decode_choice, encode_choice
from ballot.voting.definition import DefinitionError, Question, check_questions, pad_length
from ballot.voting.write_in import MOST_BYTES, normal_form, resolve
from tests.support.counts import tallied

Given = list[tuple[tuple[int | str, ...], int]]

CHAIR = Question("Chair?", "plurality", ["Ada Lovelace", "Bo"], 1, write_ins=1, declared=["Cy Twombly"])
BOARD = Question("Board?", "approval", ["Ada", "Bo"], 4, {"seats": 2}, write_ins=2)
MAYOR = Question("Mayor?", "irv", ["Ada", "Bo"], 3, write_ins=3)
OLD_LETTERS = st.text(
    st.characters(codec="utf-8").filter(lambda char: unicodedata.ucd_3_2_0.category(char) not in ("Cn", "Cc")),
    max_size=12,
)


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("  Jane \t DOE ", "jane doe"),
        ("\uff2aane", "jane"),
        ("Émile", "émile"),
        ("E\u0301mile", "émile"),
        ("Weiß", "weiss"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("ﬁ", "fi"),
        ("   ", ""),
    ],
)
def test_spellings_of_one_name_have_one_form(written: str, form: str) -> None:
    assert normal_form(written) == form


@given(OLD_LETTERS)
def test_a_form_is_its_own_form(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)


def test_a_written_name_counts_for_the_option_or_the_declared_name_or_as_another() -> None:
    given_: Given = [
        (("ada lovelace",), 1),
        ((0,), 2),
        (("cy twombly",), 3),
        (("jane doe",), 4),
        (("j. doe",), 5),
        ((), 6),
    ]
    result = tallied(CHAIR, given_)
    assert result["rounds"][0]["votes"] == {"0": 3, "1": 0, "2": 3, "3": 9}
    assert result["write_ins"] == {
        "listed": [{"name": "j. doe", "votes": 5}, {"name": "jane doe", "votes": 4}],
        "more": 0,
    }
    assert (result["blank"], result["ballots"]) == (6, 21)
    assert CHAIR.candidates == ["Ada Lovelace", "Bo", "Cy Twombly", "other names"]


def test_a_declared_name_can_win_and_another_cannot() -> None:
    assert tallied(CHAIR, [(("cy twombly",), 2), (("jane doe",), 9)])["winners"] == [2]


def test_another_spelling_is_another_name_because_a_count_never_normalises() -> None:
    ballots, written = resolve(CHAIR, [(("Ada Lovelace",), 1)])
    assert dict(ballots) == {(3,): 1}
    assert written["listed"] == [{"name": "Ada Lovelace", "votes": 1}]


@pytest.mark.parametrize(
    ("marks", "numbers"),
    [
        ((0, "ada"), (0,)),
        (("ada", 0), (0,)),
        (("x", "y", 1), (2, 1)),
        (("bo", "bo"), (1,)),
        ((0, -1, "bo", "z"), (0, -1, 1, 2)),
        ((0, 0, "bo"), (0, 0, 1)),
    ],
)
def test_a_name_that_the_answer_has_already_counts_once(marks: tuple[int | str, ...], numbers: tuple[int, ...]) -> None:
    ballots, _ = resolve(MAYOR, [(marks, 1)])
    assert list(ballots) == [numbers]


def test_the_list_of_other_names_is_bounded_and_says_what_it_leaves_out() -> None:
    given_: Given = [((f"name {number:03}",), 200 - number) for number in range(102)]
    _, written = resolve(CHAIR, given_)
    assert len(written["listed"]) == 100
    assert written["listed"][0] == {"name": "name 000", "votes": 200}
    assert written["more"] == 100 + 99


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (["a", "b", "c"], "more names are written in than the ballot has lines for"),
        ([0, 1, "a", "b", 1], "more options are marked than allowed"),
        ([""], "a written name is empty or longer than 64 bytes"),
        (["x" * 65], "a written name is empty or longer than 64 bytes"),
        (["é" * 33], "a written name is empty or longer than 64 bytes"),
        (['"' * 33], "a written name is empty or longer than 64 bytes"),
        (["a\nb"], "a written name has a control character"),
        (["a\x85b"], "a written name has a control character"),
        ([2, "a"], "an option is marked that does not exist"),
        ([1, 1, "a"], "an option is marked twice"),
    ],
)
def test_an_answer_with_names_that_does_not_fit_is_refused(answer: list[int | str], reason: str) -> None:
    with pytest.raises(InvalidChoice) as caught:
        decode_choice([BOARD], encode_choice([answer]))
    assert caught.value.reason == reason


def test_no_name_is_taken_where_there_is_no_line_for_one() -> None:
    with pytest.raises(InvalidChoice):
        decode_choice([Question("?", "plurality", ["Ada"], 1)], encode_choice([["ada"]]))


@given(st.lists(st.integers(0, 1) | OLD_LETTERS.map(normal_form).filter(bool), max_size=3))
def test_whatever_is_valid_fits_the_padding(answer: list[int | str]) -> None:
    data = encode_choice([answer])
    try:
        assert decode_choice([MAYOR], data) == [answer]
    except InvalidChoice:
        return
    assert 2 + len(data) <= pad_length([MAYOR])


def test_the_longest_names_make_the_padding_and_no_more() -> None:
    longest = ["x" * MOST_BYTES, "y" * MOST_BYTES, "z" * MOST_BYTES]
    data = encode_choice([longest])
    decode_choice([MAYOR], data)
    assert pad_length([MAYOR]) - 64 < 2 + len(data) <= pad_length([MAYOR])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"write_ins": 2}, "write_ins must be from 0 to max_choices"),
        ({"write_ins": -1}, "write_ins must be from 0 to max_choices"),
        ({"write_ins": 0}, "names are declared, but none can be written in"),
        ({"declared": ["BO"]}, "two names could not be told apart"),
        ({"declared": ["Bo"]}, "two options have the same name"),
        ({"declared": ["Smile \U0001f600"]}, "too new to be compared"),
        ({"method": "score", "max_choices": 2}, "no names can be written in where score wants a number"),
        ({"method": "schulze", "max_choices": 2}, "no names can be written in where schulze wants a number"),
        ({"grades": ["Good", "Bad"]}, "plurality has no grades"),
        ({"declared": [f"name {number}" for number in range(200)]}, "1 to 200 options, not 203"),
    ],
)
def test_a_question_whose_names_could_not_be_counted_is_refused(change: dict[str, object], reason: str) -> None:
    fields: dict[str, object] = {"declared": ["Cy"]} | change
    value = {"text": "?", "method": "plurality", "options": ["Ada", "Bo"], "max_choices": 1, "write_ins": 1} | fields
    with pytest.raises(DefinitionError, match=reason):
        check_questions([Question(**value)])  # type: ignore[arg-type]
