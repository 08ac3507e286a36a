"""Byte strings that an audit comes back to."""

from hypothesis import given
from hypothesis import strategies as st

from ballot.replay.scratch import PIECE_BYTES, Scratch, Spool

PARTS = [b"one", b"", b"three" * 1000, bytes(PIECE_BYTES), b"five", bytes(3 * PIECE_BYTES), b"seven"]


def test_a_spool_gives_back_what_it_was_given() -> None:
    spool = Spool(Scratch())
    places = [spool.append(part) for part in PARTS]
    assert list(spool) == PARTS and spool.count == len(PARTS)
    assert [spool.read(place) for place in places] == PARTS


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(PARTS), st.booleans()), max_size=60))
def test_spools_that_share_a_file_keep_out_of_each_others_way(steps: list[tuple[bool, bytes, bool]]) -> None:
    scratch = Scratch()
    spools, kept = (Spool(scratch), Spool(scratch)), (list[tuple[int, bytes]](), list[tuple[int, bytes]]())
    for which, part, spilled in steps:
        kept[which].append((spools[which].append(part), part))
        if spilled:
            spools[which].spill()
    for spool, expected in zip(spools, kept, strict=True):
        assert list(spool) == [part for _, part in expected]
        assert all(spool.read(place) == part for place, part in expected)
    scratch.close()
