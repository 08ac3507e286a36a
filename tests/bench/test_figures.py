"""The benchmark's figures, worked out by hand."""

from __future__ import annotations

import pytest

from bench.ledger.appends import costs
from bench.ledger.figures import figures_of, share_of, silence, spread_of
from bench.ledger.ours import Reading


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert [share_of(hundred, share) for share in (0.0, 0.01, 0.5, 0.9, 0.99, 0.995, 1.0)] == [
        1,
        1,
        50,
        90,
        99,
        100,
        100,
    ]
    assert share_of([7.0], 0.99) == 7.0


def test_a_load_is_told_by_rate_and_latencies_whatever_order_they_came_in() -> None:
    figures = figures_of(2, [0.004, 0.001, 0.002, 0.003], 0.01)
    assert (figures.clients, figures.rate, figures.p50, figures.p99) == (2, 400.0, 2.0, 4.0)
    with pytest.raises(ValueError, match="not one append"):
        figures_of(2, [], 1.0)


def test_the_spread_of_failovers() -> None:
    spread = spread_of([0.3, 0.1, 0.2, 0.4])
    assert (spread.count, spread.median, spread.p90, spread.worst) == (4, 250.0, 400.0, 400.0)


def test_the_silence_around_a_kill_is_the_longest_pause_from_the_last_answer_before_it() -> None:
    assert silence([1.0, 1.1, 1.5, 1.6], killed_s=1.2) == pytest.approx(0.4)


def test_an_answer_to_what_the_old_leader_committed_does_not_end_the_silence() -> None:
    assert silence([1.0, 1.1, 1.201, 1.5, 1.6], killed_s=1.2) == pytest.approx(0.299)


def test_a_pause_long_before_the_kill_does_not_count() -> None:
    assert silence([0.0, 1.1, 1.3], killed_s=1.2) == pytest.approx(0.2)


@pytest.mark.parametrize("answers", [[], [1.0, 1.1], [1.3, 1.4]], ids=["none", "none after", "none before"])
def test_without_an_answer_on_both_sides_there_is_no_figure(answers: list[float]) -> None:
    with pytest.raises(ValueError, match="no answer"):
        silence(answers, killed_s=1.2)


def test_what_an_entry_cost_one_node() -> None:
    before = Reading(100, 30, 10, 1.0, 2.0)
    after = Reading(1100, 330, 60, 1.3, 2.06)
    assert costs(before, after, 3) == pytest.approx(
        {
            "entries_a_write": 10,
            "entries_a_message": 40,
            "ledger_cpu_us_an_entry_and_node": 100,
            "postgres_cpu_us_an_entry_and_node": 20,
        }
    )
