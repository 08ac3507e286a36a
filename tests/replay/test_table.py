"""A map that is not in memory: held against a dictionary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.replay import table as module
from ballot.replay.scratch import Scratch
from ballot.replay.table import Table

KEYS = st.integers(0, 3000).map(lambda number: number.to_bytes(8, "big"))
VALUES = st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=3000), st.lists(KEYS), st.integers(0, 4000))
def test_it_says_what_a_dictionary_says(puts: list[tuple[bytes, int]], asked: list[bytes], spilled: int) -> None:
    table, known = Table(Scratch()), dict[bytes, int]()
    for number, (key, value) in enumerate(puts):
        assert table.put(key, value) == known.get(key)
        known[key] = value
        if number == spilled:
            table.spill()
    assert len(table) == len(known)
    for key in [*asked, *known]:
        assert table.get(key) == known.get(key) and (key in table) == (key in known)


@pytest.mark.parametrize("block", [1, 16, 1024])
def test_it_leaves_memory_and_grows_there(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "MEMORY_KEYS", 100)
    monkeypatch.setattr(module, "BLOCK_SLOTS", block)
    table = Table(Scratch())
    for number in range(5_000):
        assert table.put(number.to_bytes(8, "big"), number) is None
    assert len(table) == 5_000
    assert all(table.get(number.to_bytes(8, "big")) == number for number in range(5_000))
    assert (5_000).to_bytes(8, "big") not in table
    assert not table.add((17).to_bytes(8, "big")) and table.add(b"another one")


def test_keys_that_end_alike_are_told_apart_outside_of_memory_too() -> None:
    table = Table(Scratch())
    assert table.add(b"one" + bytes(8))
    table.spill()
    assert b"two" + bytes(8) not in table and b"one" + bytes(8) in table
