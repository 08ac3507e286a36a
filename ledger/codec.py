"""What peers say, from decoded msgpack to what may be acted on. Nothing else of theirs reaches the node.

A Raft message is `[type, term, fields...]`; sender and receiver are known from the connection.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from .checkpoint import MAX_NOTE_BYTES
from .entry import Entry, parse, to_wire
from .proof import HASH_SIZE
from .raft.messages import MESSAGES, Append, Heartbeat, HeartbeatReply, Message, ReadId

MAX_NUMBER = 2**63 - 1
MAX_LINE = 4096

_NUMBERS = {kind: number for number, kind in enumerate(MESSAGES)}
_EXTRA = {kind: tuple(field.name for field in fields(kind)[3:]) for kind in MESSAGES}
_BOOLEANS = frozenset({"granted", "transfer"})


class CodecError(ValueError):
    """What no peer of this version says."""


def encode(message: Message) -> list[Any]:
    kind = type(message)
    out: list[Any] = [_NUMBERS[kind], message.term]
    for name in _EXTRA[kind]:
        value = getattr(message, name)
        if name == "entries":
            value = [to_wire(cast(Entry, entry)) for entry in value]
        elif name == "read":
            value = tuple(value)
        out.append(value)
    return out


def decode(data: Any, sender: int, to: int) -> Message:
    """Raises CodecError, EntryError (an entry whose parts do not belong together)."""
    if not isinstance(data, list) or len(data) < 2:
        raise CodecError("not a Raft message")
    number, *values = data
    if type(number) is not int or not 0 <= number < len(MESSAGES):
        raise CodecError(f"no Raft message has the number {number!r}")
    kind = MESSAGES[number]
    names = ("term", *_EXTRA[kind])
    if len(values) != len(names):
        raise CodecError(f"{kind.__name__} with {len(values)} fields")
    read = [_decode_field(name, value) for name, value in zip(names, values, strict=True)]
    message = kind(sender, to, *read)
    if isinstance(message, Append):
        _check_places(message)
    return message


def decode_parts(value: Any, count: int | None = None) -> list[Any]:
    """A list of so many parts; of at least one, where no count is given. Raises CodecError."""
    parts = _list("a frame", value, count)
    if not parts:
        raise CodecError("an empty frame")
    return parts


def decode_stamp(message: Message, stamp: Any) -> list[int]:
    """The clock's times that come with a message, microseconds: a heartbeat's own and perhaps a correction (which may
    be negative), a reply's three; none where none were sent. Raises CodecError.
    """
    times = _list("a stamp", stamp)
    if not times or not isinstance(message, Heartbeat | HeartbeatReply):
        return []
    if isinstance(message, HeartbeatReply):
        return [_number("a time", time) for time in _list("a stamp", times, 3)]
    sent, correction = _list("a stamp", times, 2)
    sent = _number("a time", sent)
    return [sent] if correction is None else [sent, _number("a correction", correction, least=-MAX_NUMBER)]


def decode_question(number: Any, topic: Any, body: Any) -> tuple[int, str, Any]:
    """A question's number and topic; its body is for whoever answers that topic. Raises CodecError."""
    if not isinstance(topic, str):
        raise CodecError("a topic is text")
    return _number("a question", number), topic, body


def decode_tell(topic: Any, body: Any) -> tuple[str, Any]:
    """A statement with the body that its topic has; a topic of a later version is for the node to pass over.

    Raises CodecError.
    """
    match topic, body:
        case "sign", _:
            _number("a size", body, least=1)
        case "signed", [size, bytes() as root, str() as line] if len(root) == HASH_SIZE and len(line) <= MAX_LINE:
            _number("a size", size, least=1)
        case "note", bytes() if len(body) <= MAX_NOTE_BYTES:
            pass
        case (("sign" | "signed" | "note" | "removed"), _):
            raise CodecError(f"a malformed statement: {topic}")
        case str(), _:
            pass
        case _:
            raise CodecError("a topic is text")
    return topic, body


def _decode_field(name: str, value: Any) -> Any:
    if name == "entries":
        return [_decode_entry(parts) for parts in _list(name, value)]
    if name == "read":
        return ReadId(*(_number(name, part) for part in _list(name, value, len(ReadId._fields))))
    if name in _BOOLEANS:
        if not isinstance(value, bool):
            raise CodecError(f"{name} is not a boolean")
        return value
    # A refusal by term alone refuses no place: -1.
    return _number(name, value, least=-1 if name == "refused" else 0)


def _number(name: str, value: Any, least: int = 0) -> int:
    """An integer that PostgreSQL's bigint holds: a larger one would only be noticed when it is written."""
    if type(value) is not int or not least <= value <= MAX_NUMBER:
        raise CodecError(f"{name} is not a number from {least} to {MAX_NUMBER}")
    return value


def _list(name: str, value: Any, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or length not in (None, len(value)):
        raise CodecError(f"{name} is not a list of the right length")
    return value


def _decode_entry(parts: Any) -> Entry:
    header, public, private, salt = _list("an entry", parts, 4)
    if not (type(header) is type(public) is type(salt) is bytes and (private is None or type(private) is bytes)):
        raise CodecError("a part of an entry is not bytes")
    return parse(header, public, private, salt)


def _check_places(message: Append) -> None:
    """A follower acknowledges prev_index plus the number of entries, which must be what it was given."""
    for index, entry in enumerate(message.entries, message.prev_index + 1):
        if entry.index != index:
            raise CodecError(f"entry {entry.index} where {index} follows")
