"""The clock: four timestamps, the quorum's median, and one bad clock that must not matter."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger.clock import SAMPLES, Clock, Sample, measure, system_time_us

HOUR = 3_600_000_000
SECOND = 1_000_000


def clock(voters: int = 3) -> Clock:
    """A clock that stands at ten seconds."""
    return Clock(voters, source=lambda: 10 * SECOND)


def seen(*offsets: int, voters: int = 3) -> Clock:
    """A leader's clock after one exchange with each peer, from node 2 on."""
    own = clock(voters)
    for peer, offset in enumerate(offsets, 2):
        own.observe(peer, Sample(offset, 100))
    return own


def test_four_timestamps_give_offset_and_round_trip() -> None:
    """A peer 500 ahead, 30 there, 7 at the peer, 30 back."""
    assert measure(1_000, 1_530, 1_537, 1_067) == Sample(500, 60)


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_offset_is_wrong_by_at_most_half_the_round_trip(offset: int, there: int, held: int, back: int) -> None:
    sent = 10**15
    received = sent + there + offset
    sample = measure(sent, received, received + held, sent + there + held + back)
    assert sample.round_trip_us == there + back
    assert abs(sample.offset_us - offset) <= sample.round_trip_us // 2 + 1


def test_a_lone_node_is_its_own_quorum() -> None:
    own = clock(1)
    assert own.synchronised
    assert own.now_us() == own.raw_us() == 10 * SECOND


def test_a_clock_is_not_synchronised_before_a_majority_was_heard() -> None:
    own = clock(5)
    assert not own.synchronised
    own.observe(2, Sample(10, 100))
    assert not own.synchronised
    assert own.correction_for(2) is None
    own.observe(3, Sample(30, 100))
    assert own.synchronised


def test_the_correction_is_the_median_of_all() -> None:
    assert seen(10, 30).correction_us == 10
    assert seen(-10, 30).correction_us == 0
    assert seen(40, 10, -5, 20, voters=5).correction_us == 10
    assert seen(20, 30).now_us() == 10 * SECOND + 20


@pytest.mark.parametrize("bad", [HOUR, -HOUR])
@pytest.mark.parametrize("order", list(permutations([2, 3])))
def test_one_bad_clock_never_moves_the_correction_of_three_nodes(bad: int, order: tuple[int, int]) -> None:
    """Not even while the bad one is the only peer heard, as it is for a moment after every election."""
    own = clock()
    for _ in range(2):
        for peer in order:
            own.observe(peer, Sample(bad if peer == 2 else 40, 100))
            assert abs(own.correction_us) <= 40
            assert not own.out_of_bound
        own.forget()


def test_two_clocks_that_disagree_beyond_the_bound_are_not_synchronised_until_a_third_decides() -> None:
    own = clock()
    own.observe(2, Sample(HOUR, 100))
    assert not own.synchronised
    own.observe(3, Sample(40, 100))
    assert own.synchronised
    assert own.correction_us == 40


def test_a_bad_clock_of_ones_own_is_corrected_and_should_not_lead() -> None:
    own = seen(-HOUR, -HOUR + 20)
    assert own.correction_us == -HOUR + 20
    assert own.now_us() == 10 * SECOND - HOUR + 20
    assert own.out_of_bound


def test_a_clock_within_the_bound_may_lead() -> None:
    assert not seen(SECOND, SECOND).out_of_bound
    assert seen(SECOND + 1, SECOND + 1).out_of_bound
    assert not clock().out_of_bound


def test_of_the_newest_samples_the_one_with_the_shortest_round_trip_counts() -> None:
    own = clock()
    own.observe(2, Sample(7, 50))
    for offset in range(SAMPLES - 1):
        own.observe(2, Sample(1_000 + offset, 60))
    assert own.offset_us(2) == 7
    assert own.offsets() == {2: Sample(7, 50)}
    own.observe(2, Sample(2_000, 60))
    assert own.offset_us(2) == 1_000


def test_an_impossible_round_trip_is_passed_over() -> None:
    own = clock()
    own.observe(2, Sample(HOUR, -1))
    assert own.offsets() == {}


def test_a_follower_is_told_what_to_add_to_its_own_clock() -> None:
    own = seen(500, 40)
    assert own.correction_us == 40
    assert own.correction_for(2) == 40 - 500
    assert own.correction_for(3) == 0
    assert own.correction_for(4) is None


def test_a_follower_takes_its_leaders_correction() -> None:
    own = clock()
    own.accept_correction(-460)
    assert own.synchronised
    assert own.now_us() == 10 * SECOND - 460


def test_a_change_of_leader_forgets_the_samples_and_keeps_the_correction() -> None:
    own = seen(40, 60)
    own.forget()
    assert own.offsets() == {}
    assert own.correction_us == 40
    assert own.synchronised
    assert own.correction_for(2) is None


def test_a_new_leader_with_a_correction_beyond_the_bound_measures_before_it_gives_up() -> None:
    """Its clock may have been set right since: else all who once were wrong would hand over to each other for ever."""
    own = seen(HOUR, HOUR)
    assert own.out_of_bound
    own.forget()
    assert not own.synchronised
    assert not own.out_of_bound
    own.observe(2, Sample(0, 100))
    own.observe(3, Sample(0, 100))
    assert own.synchronised
    assert own.correction_us == 0


def test_a_new_leader_whose_clock_still_is_wrong_gives_up_once_it_has_measured() -> None:
    own = seen(HOUR, HOUR)
    own.forget()
    own.observe(2, Sample(HOUR, 100))
    own.observe(3, Sample(HOUR, 100))
    assert own.out_of_bound


def test_all_clocks_agree_once_corrected() -> None:
    leader = seen(500, -40)
    corrected = [
        leader.correction_us,
        *(offset + (leader.correction_for(peer) or 0) for peer, offset in ((2, 500), (3, -40))),
    ]
    assert corrected == [leader.correction_us] * 3


def test_the_system_clock_counts_microseconds() -> None:
    assert 1_700_000_000 * SECOND < system_time_us() < 10_000_000_000 * SECOND


def test_a_clock_that_jumps_is_not_believed_until_it_is_measured_again() -> None:
    now = {"wall": 10 * SECOND, "steady": 0}
    clock = Clock(3, source=lambda: now["wall"], steady=lambda: now["steady"])
    clock.observe(2, Sample(0, 100))
    clock.observe(3, Sample(0, 100))
    assert clock.synchronised
    now["wall"], now["steady"] = now["wall"] + 5 * SECOND, now["steady"] + 5 * SECOND
    assert clock.synchronised, "time that only passes is no jump"
    now["wall"] += 3600 * SECOND
    assert not clock.synchronised
    clock.observe(2, Sample(-3600 * SECOND, 100))
    clock.observe(3, Sample(-3600 * SECOND, 100))
    assert clock.synchronised
    assert clock.now_us() == 15 * SECOND


def test_a_single_node_has_nobody_to_compare_its_clock_with() -> None:
    now = [10 * SECOND]
    clock = Clock(1, source=lambda: now[0], steady=lambda: 0)
    now[0] += 3600 * SECOND
    assert clock.synchronised


def test_members_that_come_and_go_change_whom_the_clock_is_compared_with() -> None:
    clock = Clock(0, source=lambda: 10 * SECOND)
    assert not clock.synchronised, "nobody has said yet how many vote"
    clock.follow(1, (1,))
    assert clock.synchronised
    clock.follow(1, (1, 2, 3))
    clock.observe(4, Sample(3600 * SECOND, 100))
    assert clock.correction_us == 0, "a learner's clock counts for nothing"
    assert clock.correction_for(4) == -3600 * SECOND, "but it is told how far it is off"
    clock.observe(2, Sample(40, 100))
    clock.observe(3, Sample(60, 100))
    assert clock.correction_us == 40
    clock.follow(1, (1, 2, 3, 4))
    clock.observe(3, Sample(60, 100))
    assert clock.correction_us == 40, "the lower half of four agrees with what was said before"
