"""Roll uploads: line by line, what was taken and what was refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.http.problems import Refused
from ballot.http.roll import Upload, read_upload


def csv(text: str) -> Upload:
    return read_upload("text/csv", text.encode())


def test_lines_of_addresses_are_taken() -> None:
    upload = csv("a@example.org\nB@Example.org\n\n c@example.org \n")
    assert upload.voters == {"a@example.org": 1, "b@example.org": 1, "c@example.org": 1}
    assert upload.refused == []


def test_a_header_and_a_byte_order_mark_are_passed_over() -> None:
    assert csv("\ufeffemail,weight\r\na@example.org,3\r\n").voters == {"a@example.org": 3}


def test_refused_lines_are_named_and_the_others_taken() -> None:
    upload = csv("a@example.org\nnobody\na@example.org\nb@example.org,0\nc@example.org,1,2\nd@example.org,2\n")
    assert upload.voters == {"a@example.org": 1, "d@example.org": 2}
    assert [(refused.line, refused.value) for refused in upload.refused] == [
        (2, "nobody"),
        (3, "a@example.org"),
        (4, "b@example.org"),
        (5, "c@example.org,1,2"),
    ]
    assert "line 1" in upload.refused[1].reason
    assert "weight" in upload.refused[2].reason


@pytest.mark.parametrize("weight", ["0", "-1", "1.5", "x", "4294967296", "99999999999999"])
def test_a_weight_that_is_none_is_refused(weight: str) -> None:
    assert len(csv(f"a@example.org,{weight}").refused) == 1


def test_the_largest_weight_is_taken() -> None:
    assert csv("a@example.org,4294967295").voters == {"a@example.org": 4294967295}


def test_a_json_list_is_taken() -> None:
    upload = read_upload(
        "application/json", b'{"voters":[{"email":"a@example.org"},{"email":"x"},{"email":"b@c","weight":2}]}'
    )
    assert upload.voters == {"a@example.org": 1, "b@c": 2}
    assert [refused.line for refused in upload.refused] == [2]


@pytest.mark.parametrize(
    ("media", "data", "refusal"),
    [
        ("text/plain", b"a@example.org", "WrongContentType"),
        ("text/csv", "a@example.org\n".encode("utf-16"), "BadEncoding"),
        ("text/csv", "a@example.org\n".encode("utf-16-le"), "BadEncoding"),
        ("text/csv", "a@exämple.org\n".encode("latin-1"), "BadEncoding"),
        ("text/csv", b"\xff\xfe", "BadEncoding"),
        ("text/csv", b"email,name\na@example.org,Ann\n", "MalformedBody"),
        ("text/csv", b"email,weight,email\na@example.org,1\n", "MalformedBody"),
        ("application/json", b'{"voters":[{"email":"a@example.org","name":"A"}]}', "MalformedBody"),
    ],
)
def test_an_upload_that_cannot_be_read_is_refused(media: str, data: bytes, refusal: str) -> None:
    with pytest.raises(Refused) as caught:
        read_upload(media, data)
    assert caught.value.refusal == refusal


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("ok@example.org\nä@example.org\n".encode("latin-1"), "line 2 is not UTF-8, perhaps Latin-1"),
        ("a@example.org".encode("utf-16"), "UTF-16"),
    ],
)
def test_an_encoding_that_is_not_taken_is_named(data: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        read_upload("text/csv", data)


def test_a_stray_quote_spoils_its_own_line_only() -> None:
    upload = csv(
        '"a@example.org"\n"b@example.org\nc"@example.org\n"d@example.org" x\ne@example.org\n"f@example.org",2\n'
    )
    assert upload.voters == {"a@example.org": 1, "e@example.org": 1, "f@example.org": 2}
    assert [refused.line for refused in upload.refused] == [2, 3, 4]
    assert all(refused.reason for refused in upload.refused)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them_and_blank_ones_too(end: str) -> None:
    upload = csv(end.join(["email", "", "a@example.org", "   ", "nobody", "b@example.org"]))
    assert list(upload.voters) == ["a@example.org", "b@example.org"]
    assert [refused.line for refused in upload.refused] == [5]


def test_other_separators_and_column_orders_are_understood() -> None:
    assert csv("a@example.org;3\n").voters == {"a@example.org": 3}
    assert csv("a@example.org\t3\n").voters == {"a@example.org": 3}
    assert csv("Weight;E-Mail\n3;a@example.org\n").voters == {"a@example.org": 3}


def test_the_same_mailbox_in_another_spelling_is_a_duplicate() -> None:
    upload = csv("a@exämple.org\nA@EXÄMPLE.ORG\na@xn--exmple-cua.org\n")
    assert upload.voters == {"a@xn--exmple-cua.org": 1}
    assert [refused.reason for refused in upload.refused] == ["the address is on line 1 already"] * 2


def test_a_missing_weight_is_not_taken_for_one() -> None:
    upload = csv("email,weight\na@example.org,\nb@example.org\n")
    assert upload.voters == {"b@example.org": 1}
    assert [refused.reason for refused in upload.refused] == ["the weight is missing"]


def test_what_is_shown_of_a_refused_line_is_short() -> None:
    (refused,) = csv("x" * 100_000).refused
    assert len(refused.value) == 200


@given(st.text() | st.text(alphabet='a@.,;"\n\r\t\ufeff é1'))
def test_any_text_is_read_line_by_line(text: str) -> None:
    try:
        upload = read_upload("text/csv", text.encode("utf-8", "surrogatepass"))
    except Refused as refused:
        assert refused.refusal in ("BadEncoding", "MalformedBody")
    else:
        lines = len(re.split("\r\n|\n|\r", text))
        numbers = [refused.line for refused in upload.refused]
        assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
        assert len(numbers) + len(upload.voters) <= lines


@given(st.binary())
def test_any_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    try:
        read_upload("text/csv", data)
    except Refused as refused:
        assert refused.refusal in ("BadEncoding", "MalformedBody")
