"""Documents: one value, one encoding, and nothing that JSON readers disagree on."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.voting.document import MAX_DEPTH, MAX_INTEGER, DocumentError, decode, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_a_document_decodes_to_the_value_it_was_made_of(value: Any) -> None:
    assert decode(encode(value)) == value


@given(VALUES)
def test_any_other_spelling_of_a_value_is_refused(value: Any) -> None:
    other = json.dumps(value, indent=1).encode()
    if other != encode(value):
        with pytest.raises(DocumentError):
            decode(other)


def test_keys_are_sorted_by_utf_16_code_units() -> None:
    """The example of RFC 8785, section 3.2.3: the emoji (a surrogate pair) sorts before U+FB33."""
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert list(decode(encode(value)).values()) == [2, 4, 6, 7, 1, 5, 3]


def test_a_tuple_is_a_list() -> None:
    assert encode((1, (2,))) == b"[1,[2]]"


def test_the_largest_integers_pass_both_ways() -> None:
    assert decode(encode([MAX_INTEGER, -MAX_INTEGER])) == [MAX_INTEGER, -MAX_INTEGER]


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        b"bytes",
        {1: "a"},
        {"a": [None]},
        "\ud800",
        {"\ud800": 1},
        {"set"},
    ],
)
def test_what_is_not_a_document_is_not_encoded(value: Any) -> None:
    with pytest.raises(DocumentError):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"null", id="null"),
        pytest.param(b'{"a":[null]}', id="null inside"),
        pytest.param(b"1.0", id="float"),
        pytest.param(b"1e2", id="exponent"),
        pytest.param(b"NaN", id="not a number"),
        pytest.param(b"-Infinity", id="infinity"),
        pytest.param(b"-0", id="minus zero"),
        pytest.param(b"9007199254740992", id="2^53"),
        pytest.param(b"9" * 5000, id="thousands of digits"),
        pytest.param(b'{"a":1,"a":1}', id="duplicate key"),
        pytest.param(b'{"b":1,"a":2}', id="unsorted keys"),
        pytest.param(b'{"a": 1}', id="space"),
        pytest.param(b"1\n", id="trailing newline"),
        pytest.param(b"1 2", id="trailing value"),
        pytest.param(b'"\\u0041"', id="needless escape"),
        pytest.param(b'"\\ud800"', id="lone surrogate"),
        pytest.param(b'"\xff"', id="invalid UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate in UTF-8"),
        pytest.param(b"\xef\xbb\xbf1", id="byte order mark"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), id="too deep"),
        pytest.param(b"[" * 100_000, id="far too deep"),
    ],
)
def test_bytes_that_are_not_a_document_are_refused(data: bytes) -> None:
    with pytest.raises(DocumentError):
        decode(data)
