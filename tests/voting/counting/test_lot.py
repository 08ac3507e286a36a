"""Lots: one order a question, which follows from the ballots' own seeds."""

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ballot.voting.counting.lot import Seed, draw

SEEDS = st.lists(st.binary(min_size=32, max_size=32), max_size=6)


def test_the_order_is_that_of_the_hashes_the_documentation_names() -> None:
    def named(option: int) -> bytes:
        label, seed = b"ballot/v1/lot", bytes(32)
        fields = [seed, (1).to_bytes(4, "big"), option.to_bytes(4, "big")]
        data = len(label).to_bytes(4, "big") + label + len(fields).to_bytes(4, "big")
        return hashlib.sha256(data + b"".join(len(field).to_bytes(4, "big") + field for field in fields)).digest()

    assert draw(bytes(32), 1, 9) == tuple(sorted(range(9), key=named))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 49), st.integers(1, 30))
def test_everybody_is_in_a_lot_once(seed: bytes, question: int, candidates: int) -> None:
    assert sorted(draw(seed, question, candidates)) == list(range(candidates))


def test_questions_and_seeds_have_lots_of_their_own() -> None:
    lots = {draw(bytes([seed]) * 32, question, 8) for seed in range(5) for question in range(5)}
    assert len(lots) == 25


def test_nobody_is_preferred() -> None:
    firsts = Counter(draw(number.to_bytes(32, "big"), 0, 4)[0] for number in range(4000))
    assert all(900 < firsts[option] < 1100 for option in range(4))


@given(SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_the_ballots_does_not_matter(seeds: list[bytes], shuffler: object) -> None:
    one, other = Seed(), Seed()
    for seed in seeds:
        one.add(seed)
    for seed in sorted(seeds):
        other.add(seed)
    assert one.digest() == other.digest()


@given(SEEDS, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_one_ballots_seed_decides_whatever_the_others_are(seeds: list[bytes], own: bytes, wanted: bytes) -> None:
    """For any seeds of the others and any outcome there is one own seed that leads there: knowing theirs but not the
    last one's, nobody knows anything."""
    rest = Seed()
    for seed in seeds:
        rest.add(seed)
    needed = bytes(a ^ b for a, b in zip(rest.digest(), wanted, strict=True))
    rest.add(needed)
    assert rest.digest() == wanted
    rest.add(own)
    assert (rest.digest() == wanted) == (own == bytes(32))
