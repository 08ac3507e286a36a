"""Frames: the one byte format for whatever is hashed or signed.

`F(label, f1..fk) = be32(len label) || label || be32(k) || (be32(len fi) || fi)*`, with the label
`ballot/v1/<kind>`. Every length is written out, so two different lists of fields never encode alike, and
every kind has its own label, so a signature made for one purpose never fits another.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

LABEL_PREFIX = "ballot/v1/"
MOST_LAYOUTS = 512
_read_length = struct.Struct(">I").unpack_from


class FrameError(ValueError):
    """The bytes are not exactly the frame, or the number not exactly the integer, that was asked for."""


def frame(kind: str, *fields: bytes) -> bytes:
    """Encode `fields` under the label `ballot/v1/<kind>`. Each field may be up to 2^32 - 1 bytes."""
    parts = [_head(kind, len(fields))]
    for field in fields:
        parts.append(len(field).to_bytes(4, "big"))
        parts.append(field)
    return b"".join(parts)


def frame_hash(kind: str, *fields: bytes) -> bytes:
    """SHA-256 of `frame(kind, *fields)`, 32 bytes."""
    return sha256(frame(kind, *fields)).digest()


def parse_frame(kind: str, data: bytes, count: int) -> list[bytes]:
    """The `count` fields of a frame of this kind.

    Accepts only what `frame` would have written: this label, this count, whole fields, nothing after them.
    Raises FrameError otherwise.
    """
    head = _head(kind, count)
    layout = _layouts.get((head, len(data)))
    if layout is not None:
        found = layout.unpack(data)
        if found[0] == head and found[1::2] == layout.lengths:
            return list(found[2::2])
    fields = _fields(kind, data, count)
    if len(_layouts) == MOST_LAYOUTS:
        _layouts.clear()
    _layouts[head, len(data)] = _Layout.of(head, fields)
    return fields


class _Layout(NamedTuple):
    """The lengths that a frame's fields had: the next one of the same size mostly has the same, and is read at once."""

    unpack: Callable[[bytes], tuple[Any, ...]]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, head: bytes, fields: list[bytes]) -> "_Layout":
        lengths = tuple(map(len, fields))
        form = f">{len(head)}s" + "".join(f"I{length}s" for length in lengths)
        return cls(struct.Struct(form).unpack, lengths)


_layouts: dict[tuple[bytes, int], _Layout] = {}


def _fields(kind: str, data: bytes, count: int) -> list[bytes]:
    """As `parse_frame`, field by field."""
    head = _head(kind, count)
    if not data.startswith(head):
        raise FrameError(f"not a {kind} frame of {count} fields")
    fields = []
    position = len(head)
    try:
        for _ in range(count):
            start = position + 4
            position = start + _read_length(data, position)[0]
            fields.append(data[start:position])
    except struct.error:
        raise FrameError(f"{kind} frame is cut short") from None
    if position != len(data):
        raise FrameError(f"{kind} frame announces {position} bytes and has {len(data)}")
    return fields


def u16(value: int) -> bytes:
    """Two bytes, big-endian. Raises FrameError when the value does not fit."""
    return _encode(value, 2)


def u32(value: int) -> bytes:
    """Four bytes, big-endian. Raises FrameError when the value does not fit."""
    return _encode(value, 4)


def u64(value: int) -> bytes:
    """Eight bytes, big-endian. Raises FrameError when the value does not fit."""
    return _encode(value, 8)


def read_u32(data: bytes) -> int:
    """The integer in exactly four bytes, big-endian. Raises FrameError for any other length."""
    return _decode(data, 4)


def read_u64(data: bytes) -> int:
    """The integer in exactly eight bytes, big-endian. Raises FrameError for any other length."""
    return _decode(data, 8)


def _encode(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size, "big")
    except OverflowError:
        raise FrameError(f"{value} does not fit {size} bytes") from None


def _decode(data: bytes, size: int) -> int:
    if len(data) != size:
        raise FrameError(f"{len(data)} bytes where an integer of {size} was expected")
    return int.from_bytes(data, "big")


@lru_cache(maxsize=512)
def _head(kind: str, count: int) -> bytes:
    label = (LABEL_PREFIX + kind).encode()
    return len(label).to_bytes(4, "big") + label + count.to_bytes(4, "big")
