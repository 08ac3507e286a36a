"""Drafts: kept as canonical documents, refused as early as their definition would be."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ballot.http.drafts import Draft, DraftBody, DraftChange, amended, decode_draft, draft_of, encode_draft
from ballot.http.parse import decode
from ballot.http.problems import Refused
from ballot.voting.question import Question

QUESTION = Question("Who?", "plurality", ["A", "B"], 1)
DRAFT = Draft("Board", [QUESTION], 0, 1_900_000_000_000_000)


def changed(**changes: Any) -> Draft:
    return amended(DRAFT, msgspec.convert(changes, DraftChange))


def test_a_draft_goes_there_and_back() -> None:
    assert decode_draft(encode_draft(DRAFT)) == DRAFT


def test_a_draft_keeps_grades_lines_for_names_and_declared_names() -> None:
    text = b'{"title":"T","questions":[{"text":"Who?","method":"stv","options":["A","B"],"max_choices":2,"write_ins":1,'
    text += b'"declared":["C"]},{"text":"What?","method":"majority_judgement","options":["X"],"max_choices":1,'
    text += b'"grades":["Good","Bad"]}]}'
    draft = decode_draft(encode_draft(draft_of(decode(DraftBody, text))))
    assert (draft.questions[0].write_ins, draft.questions[0].declared) == (1, ["C"])
    assert draft.questions[1].grades == ["Good", "Bad"]


def test_times_that_are_left_out_are_none() -> None:
    body = decode(DraftBody, b'{"title":"T","questions":[]}')
    assert draft_of(body) == Draft("T", [], 0, 0)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(Refused):
        decode(DraftBody, b'{"title":"T","questions":[],"closes_at":"2030-01-01T00:00:00"}')


def test_an_amendment_changes_what_it_names_and_nothing_else() -> None:
    assert changed(title="Other") == Draft("Other", [QUESTION], 0, DRAFT.closes_us)
    assert changed(opens_at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)).opens_us == 1_000_000


def test_an_amendment_can_take_a_time_away() -> None:
    assert changed(closes_at=None).closes_us == 0
    assert changed().closes_us == DRAFT.closes_us


@pytest.mark.parametrize(
    "draft",
    [
        Draft("", [QUESTION], 0, 0),
        Draft("T\n", [QUESTION], 0, 0),
        Draft("T", [], 0, 0),
        Draft("T", [Question("Who?", "dice", ["A", "B"], 1)], 0, 0),
        Draft("T", [Question("Who?", "plurality", ["A", "A"], 1)], 0, 0),
        Draft("T", [QUESTION], 2_000_000, 1_000_000),
        Draft("T", [QUESTION], -1, 0),
        Draft("T", [QUESTION], 0, 0, claims_s=0),
    ],
)
def test_a_draft_that_could_never_be_opened_is_refused(draft: Draft) -> None:
    with pytest.raises(Refused) as caught:
        encode_draft(draft)
    assert caught.value.refusal == "BadDefinition"


def test_claims_are_taken_for_a_week_unless_the_organiser_says_otherwise() -> None:
    assert draft_of(decode(DraftBody, b'{"title":"T","questions":[]}')).claims_s == 7 * 86_400
    assert draft_of(decode(DraftBody, b'{"title":"T","questions":[],"claims_s":60}')).claims_s == 60
    assert changed(claims_s=90).claims_s == 90
    assert changed(title="Other").claims_s == DRAFT.claims_s
