"""From bytes to typed requests and back: strict JSON, strict base64url, strict content types and sizes."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from falcon.asgi import Request, Response
from falcon.routing import BaseConverter

from .problems import Refused

JSON = "application/json"
OCTETS = "application/octet-stream"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


class B64(bytes):
    """Bytes that JSON carries as base64url without padding."""


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
        body: T = _decoder(shape).decode(data)
        return body
    except msgspec.MsgspecError as error:
        raise Refused("MalformedBody", str(error)) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise Refused("MalformedBody", "not JSON in UTF-8") from error


def media_type(req: Request) -> str:
    """The content type without its parameters, in lower case; empty when there is none."""
    return (req.content_type or "").partition(";")[0].strip().lower()


async def read_body(req: Request, limit: int) -> bytes:
    """The whole body. Raises Refused(BodyTooLarge) before more than `limit` bytes are kept."""
    if (req.content_length or 0) > limit:
        raise Refused("BodyTooLarge", f"at most {limit} bytes are taken here")
    body = bytearray()
    # A chunked body has no length to look at first, and one read may end early.
    while chunk := await req.stream.read(limit + 1 - len(body)):
        body += chunk
        if len(body) > limit:
            raise Refused("BodyTooLarge", f"at most {limit} bytes are taken here")
    return bytes(body)


async def read_json(req: Request, shape: type[T], limit: int) -> T:
    """The body as `shape`; no body at all counts as `{}`. Raises Refused."""
    body = await read_body(req, limit)
    if body and media_type(req) != JSON:
        raise Refused("WrongContentType", f"send {JSON}")
    return decode(shape, body or b"{}")


def answer(resp: Response, value: Any, status: int = 200) -> None:
    resp.status = status
    resp.content_type = JSON
    resp.data = encode(value)


def query_int(req: Request, name: str, least: int, most: int, default: int | None = None) -> int:
    """A number from the query string. Raises Refused(BadParameter)."""
    text = req.get_param(name)
    if text is None and default is not None:
        return default
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refused("BadParameter", f"{name} must be a number")
    if not least <= int(text) <= most:
        raise Refused("BadParameter", f"{name} must be from {least} to {most}")
    return int(text)
