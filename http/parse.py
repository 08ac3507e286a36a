"""From bytes to typed requests and back: strict JSON, strict base64url, strict content types and sizes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
from falcon.asgi import Request, Response
from falcon.routing import BaseConverter

from .problems import Refused

JSON = "application/json"
OCTETS = "application/octet-stream"
CSV = "text/csv"
TEXT = "text/plain"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
GONE = "ballot.gone"
"""In a request's scope once its client went away."""
READS = ("GET", "HEAD")
# Long enough for the largest roll over a slow line; a body that trickles is given up.
BODY_TIMEOUT_S = 30.0

# From here on a float says no longer which integer is meant.
MOST_EXACT = 2**53

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


class B64(bytes):
    """Bytes that JSON carries as base64url without padding."""


def b64_pattern(length: int | None = None) -> str:
    """A regular expression of the base64url of `length` bytes, or of any, down to the bits that must be zero."""
    tails = ["", "[A-Za-z0-9_-][AQgw]", "[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]"]
    if length is None:
        return f"^([A-Za-z0-9_-]{{4}})*({tails[1]}|{tails[2]})?$"
    return f"^[A-Za-z0-9_-]{{{length // 3 * 4}}}{tails[length % 3]}$"


_IN_WORDS: dict[str, str] = {}


def matching(pattern: str, words: str) -> msgspec.Meta:
    """Text of this pattern, which is for machines: `words` say to people what is expected."""
    _IN_WORDS[f"`str` matching regex {pattern!r}"] = words
    return msgspec.Meta(pattern=pattern, description=words)


def in_words(error: Exception) -> str:
    """What a decoder complains of, without the regular expression that it quotes."""
    text = str(error)
    for quoted, words in _IN_WORDS.items():
        text = text.replace(quoted, words)
    return text


Cursor = Annotated[str, matching(b64_pattern(8), "what `next` said on the page before")]
Name = Annotated[str, matching(b64_pattern(32), "32 bytes in base64url, without padding")]
Index = Annotated[int, msgspec.Meta(ge=1, le=sys.maxsize)]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str, length: int | None = None) -> bytes:
    """The bytes whose `b64` this is, to the character. Raises ValueError, also for any other length than asked for."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64url") from error
    if b64(data) != text:
        raise ValueError("base64url that is not canonical")
    if length is not None and len(data) != length:
        raise ValueError(f"{len(data)} bytes where {length} are expected")
    return data


class B64Converter(BaseConverter):
    """`{name:b64(16)}` in a route: exactly so many bytes; any other text is no route at all."""

    def __init__(self, length: int) -> None:
        self._length = length

    def convert(self, value: str) -> bytes | None:
        try:
            return unb64(value, self._length)
        except ValueError:
            return None


def to_time(us: int) -> datetime | None:
    """Microseconds since 1970 as a time in UTC; 0 says that there is none."""
    return EPOCH + timedelta(microseconds=us) if us else None


def from_time(time: datetime | None) -> int:
    """The reverse of `to_time`; the time must say its offset from UTC."""
    return 0 if time is None else (time - EPOCH) // _MICROSECOND


def _decode_hook(kind: type[Any], value: Any) -> Any:
    if kind is not B64 or not isinstance(value, str):
        raise ValueError("expected base64url text")
    return B64(unb64(value))


def _encode_hook(value: Any) -> Any:
    if isinstance(value, B64):
        return b64(value)
    raise NotImplementedError(f"no JSON for a {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_encode_hook)


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(shape: type[Any]) -> msgspec.json.Decoder[Any]:
    if shape not in _decoders:
        _decoders[shape] = msgspec.json.Decoder(shape, dec_hook=_decode_hook)
    return _decoders[shape]


def encode(value: Any) -> bytes:
    return _encoder.encode(value)


def decode(shape: type[T], data: bytes) -> T:
    """Raises Refused(MalformedBody), naming the place but quoting nothing of the body."""
    try:
        try:
            body: T = _decoder(shape).decode(data)
        except msgspec.ValidationError as error:
            body = _with_whole_numbers(shape, data, error)
        # The decoder lets the last of two equal names win; a gateway before us may have looked at the first.
        json.loads(data, object_pairs_hook=_no_twins, parse_int=len, parse_float=len)
        return body
    except msgspec.MsgspecError as error:
        raise Refused("MalformedBody", in_words(error)) from error
    except _Twins:
        raise Refused("MalformedBody", "an object has the same name twice") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise Refused("MalformedBody", "not JSON in UTF-8") from error


def _with_whole_numbers(shape: type[T], data: bytes, error: msgspec.ValidationError) -> T:
    """JSON knows one kind of number: 2.0 is the integer 2, and the decoder takes it for a float.

    Raises ValidationError, this `error` where that is not it.
    """
    if "got `float`" not in str(error):
        raise error
    try:
        value = json.loads(data, parse_float=_number, parse_constant=_no_constant)
    except ValueError:
        raise error from None
    return msgspec.convert(value, shape, dec_hook=_decode_hook)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if abs(value) < MOST_EXACT and value.is_integer() else value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"JSON has no {text}")


class _Twins(Exception):
    """A JSON object with two fields of one name."""


def _no_twins(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _Twins


def media_type(req: Request) -> str:
    """The content type without its parameters, in lower case; empty when there is none."""
    return (req.content_type or "").partition(";")[0].strip().lower()


async def read_body(req: Request, limit: int) -> bytes:
    """The whole body. Raises Refused(BodyTooLarge) before more than `limit` bytes are kept, WrongContentType,
    RequestTimeout.
    """
    if req.get_header("Content-Encoding", default="identity").strip().lower() != "identity":
        # Nothing is unpacked here, so nothing can swell.
        raise Refused("WrongContentType", "send the body as it is", headers={"Accept-Encoding": "identity"})
    if (req.content_length or 0) > limit:
        raise Refused("BodyTooLarge", f"at most {limit} bytes are taken here")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            # A chunked body has no length to look at first, and one read may end early.
            while chunk := await req.stream.read(limit + 1 - len(body)):
                body += chunk
                if len(body) > limit:
                    raise Refused("BodyTooLarge", f"at most {limit} bytes are taken here")
    except TimeoutError as error:
        raise Refused("RequestTimeout", f"the body did not arrive within {BODY_TIMEOUT_S:g} seconds") from error
    if GONE in req.scope or len(body) < (req.content_length or 0):
        # The framework takes a client that goes away for the end of the body: half a roll must not be recorded.
        raise Refused("RequestTimeout", "the body ended early")
    return bytes(body)


async def read_json(req: Request, shape: type[T], limit: int) -> T:
    """The body as `shape`; no body at all counts as `{}`. Raises Refused."""
    described = getattr(req.context, "operation", None)
    assert described is None or described.body is shape, "a body that its route does not describe"
    body = await read_body(req, limit)
    if body and media_type(req) != JSON:
        raise Refused("WrongContentType", f"send {JSON}")
    return decode(shape, body or b"{}")


def answer(resp: Response, value: Any, status: int = 200) -> None:
    described = getattr(resp.context, "operation", None)
    expected = None if described is None else described.answers.get(status)
    # Only a report that is made above this layer has no type here, but its media type.
    assert described is None or expected is type(value) or getattr(expected, "media", "") == JSON, "not as described"
    resp.status = status
    resp.content_type = JSON
    resp.data = encode(value)


def read_query(req: Request, shape: type[S]) -> S:
    """The query string as `shape`, whose fields all have defaults or are needed. Raises Refused(BadParameter).

    `consistency` is every GET's and was dealt with before.
    """
    given = {name: value for name, value in req.params.items() if name != "consistency" or req.method not in READS}
    if not all(isinstance(value, str) for value in given.values()):
        raise Refused("BadParameter", "a parameter is given more than once")
    try:
        return msgspec.convert(given, shape, strict=False, dec_hook=_decode_hook)
    except msgspec.ValidationError as error:
        raise Refused("BadParameter", in_words(error)) from error


def query_of(req: Request, shape: type[S]) -> S:
    """What `read_query` made of the query string before the responder ran."""
    query = req.context.query
    assert isinstance(query, shape), "a query that its route does not describe"
    return query
