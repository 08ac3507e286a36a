"""The election definition: one document an election, and a clear reason for every one that is refused."""

from typing import Any

import msgspec
import pytest

from ballot.ledger.frame import frame_hash
from ballot.voting import document
from ballot.voting.definition import (
    MAX_CLAIMS_S,
    DefinitionError,
    ElectionDefinition,
    Question,
    Registrar,
    Roll,
    Trustee,
    check_questions,
    decode_definition,
    election_id,
    encode_definition,
    pad_length,
)

MAYOR = Question("Mayor?", "irv", ["Ada", "Bo", "Cy"], 3, {"max_skipped_ranks": 1, "overvote_skips": True})
BUDGET = Question("Budget?", "plurality", ["Yes", "No"], 1)


def modulus(digit: str) -> str:
    return digit * 768


def definition(**changes: Any) -> ElectionDefinition:
    """A valid definition, with some fields replaced."""
    fields: dict[str, Any] = {
        "title": "City election",
        "questions": [MAYOR, BUDGET],
        "opens_us": 1_700_000_000_000_000,
        "closes_us": 1_700_000_600_000_000,
        "pad_len": 64,
        "k": 2,
        "trustees": [Trustee("North", modulus("a")), Trustee("South", modulus("b"))],
        "registrars": [Registrar(1, modulus("c")), Registrar(5, modulus("d"))],
        "roll": Roll(3, "0" * 64),
        "origin": "ballot.example/log",
        "genesis": "f" * 64,
    }
    return ElectionDefinition(**(fields | changes))


def ranked(count: int, ranks: int) -> Question:
    return Question("?", "irv", [str(i) for i in range(count)], ranks)


def test_a_definition_decodes_to_itself() -> None:
    assert decode_definition(encode_definition(definition())) == definition()


def test_the_election_id_is_the_framed_hash_of_the_document() -> None:
    data = encode_definition(definition())
    assert election_id(data) == frame_hash("election", data)


def test_every_field_changes_the_election_id() -> None:
    changed = [
        definition(title="Another"),
        definition(closes_us=0),
        definition(k=1),
        definition(pad_len=128),
        definition(roll=Roll(4, "0" * 64)),
        definition(questions=[BUDGET, MAYOR]),
        definition(claims_s=60),
        definition(claims_s=61),
    ]
    ids = {election_id(encode_definition(one)) for one in [definition(), *changed]}
    assert len(ids) == 1 + len(changed)


@pytest.mark.parametrize("field", ["title", "version", "roll"])
def test_a_definition_without_a_field_is_refused(field: str) -> None:
    value = document.decode(encode_definition(definition()))
    del value[field]
    with pytest.raises(DefinitionError):
        decode_definition(document.encode(value))


def test_a_question_without_its_rules_is_refused_although_they_may_be_empty() -> None:
    value = document.decode(encode_definition(definition()))
    del value["questions"][1]["rules"]
    with pytest.raises(DefinitionError, match="leaves out a field"):
        decode_definition(document.encode(value))


def test_an_unknown_field_or_a_wrong_type_is_refused() -> None:
    value = document.decode(encode_definition(definition()))
    changes: list[dict[str, Any]] = [{"extra": 1}, {"k": "2"}, {"k": True}, {"questions": {}}]
    for change in changes:
        with pytest.raises(DefinitionError, match="not an election definition"):
            decode_definition(document.encode(value | change))


def test_other_bytes_for_the_same_definition_are_refused() -> None:
    with pytest.raises(DefinitionError, match="canonical"):
        decode_definition(encode_definition(definition()) + b" ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version 2 is not known"),
        ({"title": ""}, "the title is empty"),
        ({"title": "x" * 201}, "the title is longer than 200 characters"),
        ({"title": "a\nb"}, "the title has a control character"),
        ({"questions": []}, "1 to 50 questions"),
        ({"opens_us": -1}, "opening time"),
        ({"closes_us": 1}, "closes before it opens"),
        ({"pad_len": 16}, "pad_len"),
        ({"pad_len": 65_538}, "pad_len"),
        ({"k": 0}, "k is not between"),
        ({"k": 3}, "k is not between"),
        ({"trustees": []}, "trustees"),
        ({"trustees": [Trustee("", modulus("a")), Trustee("B", modulus("b"))]}, "name is empty"),
        ({"trustees": [Trustee("A", modulus("c")), Trustee("B", modulus("b"))]}, "one key, one purpose"),
        ({"registrars": []}, "at least one registrar"),
        ({"registrars": [Registrar(0, modulus("c"))]}, "weight"),
        ({"registrars": [Registrar(1, modulus("c")), Registrar(1, modulus("d"))]}, "same weight"),
        ({"registrars": [Registrar(1, modulus("C"))]}, "384 bytes in lower-case hex"),
        ({"registrars": [Registrar(1, "cc")]}, "384 bytes in lower-case hex"),
        ({"roll": Roll(-1, "0" * 64)}, "size of the roll"),
        ({"roll": Roll(1, "0" * 63)}, "root of the roll"),
        ({"genesis": ""}, "genesis"),
        ({"origin": " "}, "origin is empty"),
    ],
)
def test_an_unacceptable_definition_is_refused_by_both_directions(changes: dict[str, Any], reason: str) -> None:
    bad = definition(**changes)
    with pytest.raises(DefinitionError, match=reason):
        encode_definition(bad)
    with pytest.raises(DefinitionError, match=reason):
        decode_definition(document.encode(msgspec.to_builtins(bad)))


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Question("", "irv", ["A"], 1), "the text is empty"),
        (Question("?", "borda", ["A"], 1), "method 'borda' is not one of plurality, approval, irv"),
        (Question("?", "irv", [], 1), "1 to 200 options, not 0"),
        (ranked(201, 3), "1 to 200 options, not 201"),
        (Question("?", "irv", ["A", "A"], 1), "same name"),
        (Question("?", "irv", ["\u00e9", "e\u0301"], 1), "same name"),
        (Question("?", "irv", ["A", ""], 1), "an option is empty"),
        (Question("?", "irv", ["A", "B "], 1), "begins or ends with a space"),
        (Question("?", "irv", ["A", "B" * 201], 1), "longer than 200"),
        (Question("?", "irv", ["A", "\ud800"], 1), "control character"),
        (Question("?", "plurality", ["A", "B"], 2), "max_choices of plurality must be 1, not 2"),
        (Question("?", "approval", ["A", "B"], 3), "max_choices of approval must be from 1 to 2, not 3"),
        (Question("?", "irv", ["A", "B"], 0), "max_choices of irv must be from 1 to 2, not 0"),
        (Question("?", "plurality", ["A"], 1, {"batch_elimination": True}), "has no rule 'batch_elimination'"),
        (Question("?", "approval", ["A"], 1, {"seats": 2}), "rule 'seats' must be from 1 to 1"),
        (Question("?", "approval", ["A"], 1, {"seats": True}), "rule 'seats' must be from 1 to 1"),
        (Question("?", "irv", ["A"], 1, {"batch_elimination": 1}), "must be true or false"),
        (Question("?", "irv", ["A"], 1, {"drop_in_round_1": 1}), "must be from 0 to 0"),
        (Question("?", "irv", ["A"], 1, {"max_skipped_ranks": -1}), "must be from 0 to 1"),
    ],
)
def test_a_refused_question_is_named_with_the_reason(question: Question, reason: str) -> None:
    with pytest.raises(DefinitionError, match=f"question 2: .*{reason}"):
        check_questions([BUDGET, question])


def test_at_most_fifty_questions_are_asked() -> None:
    check_questions([BUDGET] * 50)
    with pytest.raises(DefinitionError, match="not 51"):
        check_questions([BUDGET] * 51)


def test_the_padding_is_the_next_multiple_of_64() -> None:
    assert pad_length([BUDGET]) == 64
    # {"answers":[[ and ]]} are 16 bytes, the length 2, every further rank below ten 3 ("-1,").
    assert pad_length([ranked(15, 15)]) == 64
    assert pad_length([ranked(16, 16)]) == 128


def test_the_largest_election_still_fits_the_length_prefix() -> None:
    for options, written, questions in ((200, 10, 4), (52, 10, 50), (63, 0, 50)):
        one = msgspec.structs.replace(ranked(options - bool(written), options - bool(written)), write_ins=written)
        largest = [one] * questions
        check_questions(largest)
        encode_definition(definition(questions=largest, pad_len=pad_length(largest)))


def test_a_result_that_no_entry_could_hold_is_refused_before_the_election() -> None:
    with pytest.raises(DefinitionError, match="too many options together"):
        check_questions([ranked(200, 200)] * 6)


def test_weights_whose_count_would_not_be_exact_are_refused() -> None:
    heavy = [Registrar(2**32 - 1, modulus("c"))]
    encode_definition(definition(registrars=heavy, roll=Roll(20_000, "0" * 64)))
    with pytest.raises(DefinitionError, match="weights are too large"):
        encode_definition(definition(registrars=heavy, roll=Roll(30_000, "0" * 64)))


def test_fields_that_came_later_are_left_out_while_they_are_empty() -> None:
    value = document.decode(encode_definition(definition()))
    assert set(value["questions"][0]) == {"text", "method", "options", "max_choices", "rules"}
    value["questions"][0]["write_ins"] = 0
    with pytest.raises(DefinitionError, match="a field"):
        decode_definition(document.encode(value))


def test_a_definition_without_an_end_of_claims_is_that_of_earlier_versions() -> None:
    assert "claims_s" not in document.decode(encode_definition(definition()))
    assert decode_definition(encode_definition(definition(claims_s=60))).claims_s == 60


@pytest.mark.parametrize("claims_s", [0, -1, MAX_CLAIMS_S + 1])
def test_claims_are_taken_for_a_time_that_there_is(claims_s: int) -> None:
    with pytest.raises(DefinitionError, match="seconds after the close"):
        encode_definition(definition(claims_s=claims_s))
