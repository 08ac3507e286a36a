"""Bytes to typed requests and back: one spelling only."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated

import msgspec
import pytest
from falcon.asgi import Request

from ballot.http.parse import (
    B64,
    GONE,
    B64Converter,
    b64,
    b64_pattern,
    decode,
    encode,
    from_time,
    read_body,
    to_time,
    unb64,
)
from ballot.http.problems import Refused


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    data: B64
    number: int = 0


def chunked(chunks: Sequence[bytes]) -> Request:
    """A request that does not say how long its body is."""
    events = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    events[-1]["more_body"] = False

    async def receive() -> dict[str, object]:
        return events.pop(0)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "http_version": "1.1"}
    return Request(scope, receive)


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(Shape, data)
    assert caught.value.refusal == "MalformedBody"
    return caught.value


@pytest.mark.parametrize("data", [b"", b"a", b"\xff\xfe\xfd", bytes(range(256))])
def test_base64url_goes_there_and_back(data: bytes) -> None:
    assert unb64(b64(data)) == data
    assert unb64(b64(data), len(data)) == data


@pytest.mark.parametrize("text", ["YQ==", "YR", "Y", "a b", "-_+/", "Y\n", "é", "AA AA", "YQ="])
def test_any_other_spelling_of_base64url_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unb64(text)


def test_a_value_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError):
        unb64(b64(bytes(15)), 16)


def test_a_route_takes_exactly_so_many_bytes() -> None:
    convert = B64Converter(16).convert
    assert convert(b64(bytes(16))) == bytes(16)
    assert [convert(b64(bytes(15))), convert(b64(bytes(17))), convert("nothing like it")] == [None, None, None]


def test_a_body_is_read_and_written() -> None:
    body = decode(Shape, b'{"data":"AAE","number":3}')
    assert (body.data, body.number) == (b"\x00\x01", 3)
    assert encode(body) == b'{"data":"AAE","number":3}'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"data":"AAE","more":1}',
        b'{"number":1}',
        b'{"data":"AAE="}',
        b'{"data":1}',
        b'{"data":"AAE","number":"1"}',
        b'{"data":"AAE","number":1.5}',
        b'{"data":"AAE"} ,',
        b'{"data":"\xff"}',
        b'{"data":"AAE","data":"AAE"}',
        b'{"data":"AAE","d\\u0061ta":"AAI"}',
        b'{"data":"AAE","number":1,"number":2}',
        b'{"data":"AAE","number":1e400}',
        b'{"data":"AAE","number":' + b"9" * 5000 + b"}",
        b'{"data":"AAE","number":NaN}',
        b'\xef\xbb\xbf{"data":"AAE"}',
        b'{"data":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_a_malformed_body_is_refused(data: bytes) -> None:
    refusal(data)


def test_a_refusal_does_not_quote_the_body() -> None:
    assert "hidden" not in refusal(b'{"data":"hidden secret"}').detail


def test_times_go_there_and_back_to_the_microsecond() -> None:
    moment = datetime(2017, 11, 7, 20, 0, 0, 123456, tzinfo=UTC)
    assert from_time(moment) == 1510084800123456
    assert to_time(1510084800123456) == moment
    assert encode(moment) == b'"2017-11-07T20:00:00.123456Z"'


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    there = datetime(2017, 11, 7, 14, 0, tzinfo=timezone(timedelta(hours=-6)))
    assert from_time(there) == from_time(datetime(2017, 11, 7, 20, 0, tzinfo=UTC))


def test_no_time_is_zero() -> None:
    assert (from_time(None), to_time(0)) == (0, None)


@pytest.mark.parametrize("chunks", [[b"12345678"], [b"1234", b"5678"], [b"", b"1", b"2345678", b""]])
def test_a_body_in_chunks_is_read_whole(chunks: list[bytes]) -> None:
    assert asyncio.run(read_body(chunked(chunks), 8)) == b"12345678"


@pytest.mark.parametrize("chunks", [[b"123456789"], [b"12345678", b"9"], [b"1234", b"5678", b"9" * 1000]])
def test_a_body_in_chunks_that_is_too_large_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(Refused) as caught:
        asyncio.run(read_body(chunked(chunks), 8))
    assert caught.value.refusal == "BodyTooLarge"


def test_an_object_deep_inside_has_no_name_twice_either() -> None:
    class Outer(msgspec.Struct):
        inner: dict[str, int]

    with pytest.raises(Refused):
        decode(Outer, b'{"inner":{"a":1,"a":2}}')


@pytest.mark.parametrize("length", range(1, 40))
def test_the_pattern_of_base64url_is_its_one_spelling(length: int) -> None:
    for data in (bytes(length), b"\xff" * length, bytes(range(length))):
        assert re.fullmatch(b64_pattern(length), b64(data)) and re.fullmatch(b64_pattern(), b64(data))
        assert not re.fullmatch(b64_pattern(length + 1), b64(data))
    whole = b64(bytes(length))
    others = [whole + "=", whole + "A", whole[:-1] + "=", *([whole[:-1] + "B"] if length % 3 else [])]
    assert not any(re.fullmatch(b64_pattern(length), other) for other in others)


def refused_body(request: Request, limit: int = 100) -> Refused:
    with pytest.raises(Refused) as caught:
        asyncio.run(read_body(request, limit))
    return caught.value


def test_a_packed_body_is_refused_unread() -> None:
    request = chunked([b"x"])
    request = Request({**request.scope, "headers": [(b"content-encoding", b"gzip")]}, request._receive)
    refused = refused_body(request)
    assert (refused.refusal, refused.headers["Accept-Encoding"]) == ("WrongContentType", "identity")


def test_a_body_whose_client_goes_away_is_not_half_a_body() -> None:
    """The framework hands out what came so far as if it were all."""
    request = chunked([b"one,1\n"])
    request.scope[GONE] = True
    assert refused_body(request).refusal == "RequestTimeout"


def test_a_body_shorter_than_announced_is_refused() -> None:
    whole = chunked([b"12345"])
    request = Request({**whole.scope, "headers": [(b"content-length", b"9")]}, whole._receive)
    assert refused_body(request).refusal == "RequestTimeout"


def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ballot.http.parse.BODY_TIMEOUT_S", 0.05)

    async def drip() -> dict[str, object]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert refused_body(Request(chunked([b""]).scope, drip), 10**6).refusal == "RequestTimeout"


class Counted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    count: Annotated[int, msgspec.Meta(ge=0, le=9)]
    name: B64 = B64(b"")
    at: datetime | None = None


def test_a_whole_number_may_be_written_as_a_fraction_of_nothing() -> None:
    """RFC 8259 has one kind of number, and JSON Schema calls 3.0 an integer."""
    for text in (b"3", b"3.0", b"30e-1", b"0.3e1"):
        assert decode(Counted, b'{"count":%s,"name":"AAA","at":"2030-01-01T00:00:00Z"}' % text).count == 3


@pytest.mark.parametrize(
    "text", ["3.5", "1e400", "-1.0", "10.0", "9007199254740993.0", "NaN", '"3.0"', "true", "[3.0]"]
)
def test_what_is_no_such_number_is_still_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        decode(Counted, b'{"count":%s}' % text.encode())
    assert caught.value.refusal == "MalformedBody"


def test_a_whole_float_hides_nothing_else_that_is_wrong() -> None:
    for rest in (b',"more":1}', b',"name":"A="}', b',"count":3.0}', b""):
        with pytest.raises(Refused):
            decode(Counted, b'{"count":3.0' + rest)
