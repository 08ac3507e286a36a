"""Raft messages as msgpack arrays: `[type, term, fields...]`; sender and receiver are known from the connection."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from .entry import Entry, EntryError, parse, to_wire
from .raft.messages import MESSAGES, Append, AskRead, Message, ReadId, ReadReply

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
    try:
        kind = MESSAGES[data[0]]
        names = _EXTRA[kind]
        if len(data) != len(names) + 2 or not isinstance(data[1], int):
            raise CodecError(f"{kind.__name__} with {len(data)} fields")
        values = [_decode_field(kind, name, value) for name, value in zip(names, data[2:], strict=True)]
        return cast(Message, kind(sender, to, data[1], *values))
    except EntryError:
        raise
    except (IndexError, TypeError, ValueError) as error:
        raise CodecError(f"not a Raft message: {error}") from error


def _decode_field(kind: type[Message], name: str, value: Any) -> Any:
    if kind is Append and name == "entries":
        return [parse(*parts) for parts in value]
    if kind in (AskRead, ReadReply) and name == "read":
        return ReadId(*(int(part) for part in value))
    if name in _BOOLEANS:
        if not isinstance(value, bool):
            raise CodecError(f"{name} is not a boolean")
    elif not isinstance(value, int):
        raise CodecError(f"{name} is not a number")
    return value
