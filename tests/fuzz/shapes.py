"""Valid bytes taken apart and put together with one thing changed: what random bytes would never come upon."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

Choose = Callable[[int], int]
"""`choose(n)` gives a number from 0 to n - 1."""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.5, float("inf")),
    *("", "\0", "\u00e9", "e\u0301", "\u2028", "-", "0", "=", "a@b", "x" * 300),
    *(b"", b"\0", b"\xff" * 32, b"\0" * 384, b"\xff" * 384, b"\xff\xfe"),
    *([], {}, [[]], [[], []], {"": 0}, [0] * 300, [None]),
)


@dataclass(frozen=True)
class Shape:
    """`split` gives the value in some bytes, `join` bytes of a value; either may raise anything."""

    split: Callable[[bytes], Any]
    join: Callable[[Any], bytes]


def _split_frame(data: bytes) -> list[Any]:
    """[label, fields...]."""
    parts: list[Any] = []
    position, count = 0, 1
    while count and position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        parts.append(data[position + 4 : position + 4 + length])
        position += 4 + length
        if len(parts) == 1:
            count = int.from_bytes(data[position : position + 4], "big") + 1
            position += 4
        count -= 1
    return parts


def _join_frame(parts: list[Any]) -> bytes:
    label, *fields = (part if isinstance(part, bytes) else repr(part).encode() for part in parts)
    out = [len(label).to_bytes(4, "big"), label, len(fields).to_bytes(4, "big")]
    for field in fields:
        out += [len(field).to_bytes(4, "big"), field]
    return b"".join(out)


def _join_json(value: Any) -> bytes:
    def plain(one: Any) -> str:
        return one.decode("latin-1") if isinstance(one, bytes) else repr(one)

    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, default=plain).encode()


MSGPACK = Shape(
    lambda data: msgpack.unpackb(data, raw=False, strict_map_key=False),
    lambda value: msgpack.packb(value, use_bin_type=True),
)
JSON = Shape(json.loads, _join_json)
FRAME = Shape(_split_frame, _join_frame)
LINES = Shape(
    lambda data: data.split(b"\n"), lambda parts: b"\n".join(p if isinstance(p, bytes) else b"" for p in parts)
)


def change_value(value: Any, choose: Choose) -> Any:
    """The value with one place in it taken out, doubled, or replaced by something odd."""
    inside = isinstance(value, list | dict) and len(value) > 0 and choose(8) > 0
    if not inside:
        return _replace(value, choose)
    if isinstance(value, dict):
        name = list(value)[choose(len(value))]
        if choose(6) == 0:
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: change_value(value[name], choose)}
    place = choose(len(value))
    before, item, after = value[:place], value[place], value[place + 1 :]
    match choose(8):
        case 0:
            return before + after
        case 1:
            return [*before, item, item, *after]
    return [*before, change_value(item, choose), *after]


def _replace(value: Any, choose: Choose) -> Any:
    if isinstance(value, bytes) and choose(2):
        return change_bytes(value, choose)
    if type(value) is int and choose(2):
        return value + (1, -1, 256, -(2**32))[choose(4)]
    return ODD[choose(len(ODD))]


def change_bytes(data: bytes, choose: Choose) -> bytes:
    """The bytes with one thing changed, as a broken disk or an attacker would."""
    start = choose(len(data) + 1)
    length = choose(min(len(data) - start, 40) + 1)
    piece = data[start : start + length]
    match choose(6):
        case 0:
            return data[:start] + data[start + length :]
        case 1:
            return data[: start + length] + piece + data[start + length :]
        case 2:
            return data[:start] + bytes([choose(256) for _ in range(length)]) + data[start + length :]
        case 3:
            return (
                data[:start]
                + (b"\0", b"\xff\xff\xff\xff", b"\x7f", b"\n", b"\xdd", b'"', b"[")[choose(7)]
                + data[start:]
            )
        case 4:
            return data[:start]
    flipped = bytearray(data or b"\0")
    flipped[choose(len(flipped))] ^= 1 << choose(8)
    return bytes(flipped)
