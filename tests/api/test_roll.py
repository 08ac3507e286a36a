"""Roll uploads: line by line, what was taken and what was refused."""

import pytest

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
    assert "earlier line" in upload.refused[1].reason
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
        ("text/csv", b"\xff\xfe", "MalformedBody"),
        ("text/csv", b'"a@example.org', "MalformedBody"),
        ("application/json", b'{"voters":[{"email":"a@example.org","name":"A"}]}', "MalformedBody"),
    ],
)
def test_an_upload_that_cannot_be_read_is_refused(media: str, data: bytes, refusal: str) -> None:
    with pytest.raises(Refused) as caught:
        read_upload(media, data)
    assert caught.value.refusal == refusal
