"""Raft messages as msgpack arrays: `[type, term, fields...]`; sender and receiver are known from the connection."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from .entry import Entry, parse, to_wire
from .raft.messages import MESSAGES, Append, Message, ReadId

MAX_NUMBER = 2**63 - 1

_NUMBERS = {kind: number for number, kind in enumerate(MESSAGES)}
_EXTRA = {kind: tuple(field.name for field in fields(kind)[3:]) for kind in MESSAGES}
_BOOLEANS = frozenset({"granted", "transfer"})


class CodecError(ValueError):
    """An array that is not a Raft message."""


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
