"""msgpack from outside: refused by one name, and no few bytes that take many."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger import unpack as module
from ballot.ledger.unpack import UnpackError, unpack

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


@given(VALUES)
def test_whatever_is_packed_is_unpacked(value: Any) -> None:
    assert unpack(msgpack.packb(value), text_keys=True) == value


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_but_the_named_refusal(data: bytes) -> None:
    with contextlib.suppress(UnpackError):
        unpack(data, text_keys=False)


@given(VALUES, st.binary(min_size=1, max_size=3))
def test_nothing_may_follow_the_value(value: Any, more: bytes) -> None:
    with pytest.raises(UnpackError):
        unpack(msgpack.packb(value) + more, text_keys=False)


MANY = 1000
BOMBS = {
    "lists in a list": b"\xdc\x03\xe8" + b"\x90" * MANY,
    "lists of lists": b"\x9f" + (b"\xdc\x03\xe8" + b"\x90" * MANY) * 15,
    "one list in another": b"\x91" * 900 + b"\x90",
    "lists that say they are long": b"\xdd\x00\x00\x03\xe7" * 900 + bytes(100),
    "lists that say they are endless": b"\xdd\xff\xff\xff\xff" * 900,
    "maps in a list": b"\xdc\x03\xe8" + b"\x80" * MANY,
    "maps that say they are endless": b"\xdf\xff\xff\xff\xff\xa1a" * 900,
    "text that says it is endless": b"\xdb\xff\xff\xff\xff" + b"a" * 900,
    "nothing many times": b"\xdc\x03\xe8" + b"\xc0" * MANY,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_before_it_grows(bomb: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousandth of the real limit, so that a bomb is small enough to be set off."""
    monkeypatch.setattr(module, "MAX_ITEMS", MANY // 2)
    tracemalloc.start()
    try:
        with pytest.raises(UnpackError):
            unpack(bomb, text_keys=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000, f"{peak} bytes for {len(bomb)}"


def test_the_limit_is_far_above_the_largest_entry_of_an_election() -> None:
    """A hundred thousand voters on the roll in one entry: an id, a leaf and a weight for each."""
    roll = {"voters": [[bytes(16), bytes(32), 1] for _ in range(100_000)]}
    assert unpack(msgpack.packb(roll), text_keys=True) == roll
