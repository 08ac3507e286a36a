"""A map in arrays: held against a dictionary."""

from hypothesis import given
from hypothesis import strategies as st

from ballot.replay.compact import Compact

KEYS = st.binary(min_size=2, max_size=2)


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**64 - 1)), max_size=2000), st.lists(KEYS))
def test_it_says_what_a_dictionary_says(puts: list[tuple[bytes, int]], asked: list[bytes]) -> None:
    compact, known = Compact(), dict[bytes, int]()
    for key, value in puts:
        compact.put(key, value)
        known[key] = value
    assert len(compact) == len(known)
    for key in [*asked, *known]:
        assert compact.get(key) == known.get(key) and (key in compact) == (key in known)


def test_it_grows_far_beyond_what_it_began_with() -> None:
    compact = Compact()
    for number in range(20_000):
        compact.put(number.to_bytes(4, "big"), number)
    assert len(compact) == 20_000
    assert all(compact.get(number.to_bytes(4, "big")) == number for number in range(20_000))
    assert (20_000).to_bytes(4, "big") not in compact


def test_keys_that_end_alike_are_told_apart() -> None:
    compact = Compact()
    compact.add(b"one" + bytes(8))
    assert b"two" + bytes(8) not in compact
