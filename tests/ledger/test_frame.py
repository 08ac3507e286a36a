import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger import frame as module
from ballot.ledger.frame import (
    LABEL_PREFIX,
    FrameError,
    frame,
    frame_hash,
    parse_frame,
    read_u32,
    read_u64,
    u16,
    u32,
    u64,
)

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())

kinds = st.sampled_from(["example", "exampl", "examples", "entry", "identity-key"])
field_lists = st.lists(st.binary(max_size=40), max_size=5)


def test_the_published_vector() -> None:
    vector = VECTORS["frame"]
    kind = vector["label"].removeprefix(LABEL_PREFIX)
    fields = [bytes.fromhex(field) for field in vector["fields"]]
    assert frame(kind, *fields).hex() == vector["encoded"]
    assert frame_hash(kind, *fields).hex() == vector["hash"]
    assert parse_frame(kind, bytes.fromhex(vector["encoded"]), len(fields)) == fields


def test_a_frame_without_fields() -> None:
    assert frame("kdf-payload") == b"\0\0\0\x15ballot/v1/kdf-payload\0\0\0\0"
    assert parse_frame("kdf-payload", frame("kdf-payload"), 0) == []


@given(kinds, field_lists)
def test_parsing_returns_the_fields(kind: str, fields: list[bytes]) -> None:
    encoded = frame(kind, *fields)
    assert parse_frame(kind, encoded, len(fields)) == fields
    assert frame_hash(kind, *fields) == sha256(encoded).digest()


@given(st.lists(st.tuples(st.sampled_from(["example", "entry"]), st.binary(max_size=24)), max_size=30))
def test_what_was_parsed_before_makes_no_difference(cases: list[tuple[str, bytes]]) -> None:
    """Frames of one size with the lengths of their fields spread differently, or wrong."""
    made = [frame(kind)[:-4] + b"\0\0\0\2" + body.replace(b"a", b"\0\0\0\3abc") for kind, body in cases]
    made += [frame(kind, body[:cut], body[cut:]) for kind, body in cases for cut in (0, 1, 2)]
    one_after_another = [outcome("example", encoded, 2) for encoded in made * 2]
    alone = []
    for encoded in made:
        module._layouts.clear()
        alone.append(outcome("example", encoded, 2))
    assert one_after_another == alone * 2


def outcome(kind: str, encoded: bytes, count: int) -> list[bytes] | str:
    try:
        return parse_frame(kind, encoded, count)
    except FrameError as error:
        return str(error)


@given(kinds, field_lists, kinds, field_lists)
def test_different_frames_never_encode_alike(
    kind: str, fields: list[bytes], other_kind: str, other_fields: list[bytes]
) -> None:
    alike = (kind, fields) == (other_kind, other_fields)
    assert (frame(kind, *fields) == frame(other_kind, *other_fields)) == alike


@given(field_lists, st.data())
def test_a_changed_byte_is_refused_or_changes_a_field(fields: list[bytes], data: st.DataObject) -> None:
    encoded = bytearray(frame("example", *fields))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        parsed = parse_frame("example", bytes(encoded), len(fields))
    except FrameError:
        return
    assert parsed != fields
    assert frame("example", *parsed) == encoded


@given(field_lists, st.data())
def test_a_shortened_frame_is_refused(fields: list[bytes], data: st.DataObject) -> None:
    encoded = frame("example", *fields)
    with pytest.raises(FrameError):
        parse_frame("example", encoded[: data.draw(st.integers(0, len(encoded) - 1))], len(fields))


@given(field_lists, st.binary(min_size=1, max_size=8))
def test_trailing_bytes_are_refused(fields: list[bytes], extra: bytes) -> None:
    with pytest.raises(FrameError):
        parse_frame("example", frame("example", *fields) + extra, len(fields))


@given(field_lists, st.integers(0, 8))
def test_another_count_is_refused(fields: list[bytes], count: int) -> None:
    if count != len(fields):
        with pytest.raises(FrameError):
            parse_frame("example", frame("example", *fields), count)


@pytest.mark.parametrize("kind", ["exampl", "examples", "Example", ""])
def test_another_label_is_refused(kind: str) -> None:
    with pytest.raises(FrameError):
        parse_frame(kind, frame("example", b"a"), 1)


def test_a_length_beyond_the_end_is_refused() -> None:
    huge = frame("example", b"abc").replace(b"\0\0\0\x03abc", b"\xff\xff\xff\xffabc")
    with pytest.raises(FrameError, match="announces"):
        parse_frame("example", huge, 1)


def test_integers_are_big_endian_and_of_fixed_width() -> None:
    assert u16(0x0102) == b"\x01\x02"
    assert u32(0x01020304) == b"\x01\x02\x03\x04"
    assert u64(1) == bytes(7) + b"\x01"
    assert read_u32(b"\x01\x02\x03\x04") == 0x01020304
    assert read_u64(u64(2**64 - 1)) == 2**64 - 1


@pytest.mark.parametrize("value", [-1, 2**64])
def test_an_integer_that_does_not_fit_is_refused(value: int) -> None:
    for encode in (u16, u32, u64):
        with pytest.raises(FrameError):
            encode(value)


@pytest.mark.parametrize("size", [0, 3, 5, 7, 9])
def test_an_integer_of_another_length_is_refused(size: int) -> None:
    for decode in (read_u32, read_u64):
        with pytest.raises(FrameError):
            decode(bytes(size))
