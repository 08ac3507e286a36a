"""A fixed small budget of the simulator, and the proof that it would notice: every planted bug is found."""

import os

import pytest

from tests.sim.__main__ import rerun, run_all
from tests.sim.bugs import BUGS
from tests.sim.run import run_seed

SEEDS, STEPS = 2000, 2000
MOST_SEEDS_FOR_A_BUG = 400

# These change nothing but in a rare constellation, which scenarios/ builds on purpose.
RARE = {"over-acknowledge", "answers-of-old-terms"}


def test_whole_clusters_survive_their_faults() -> None:
    failed = [
        f"{rerun(outcome.seed, STEPS, '')}: {outcome.failure}"
        for _, failures in run_all(0, SEEDS, STEPS, os.cpu_count() or 1, "")
        for outcome in failures
    ]
    assert failed == []


def test_much_happens_in_a_run() -> None:
    totals = [run_seed(seed, STEPS).totals for seed in range(30)]
    for what in ("elections", "crashes", "lost writes", "truncations", "configurations", "acknowledged", "refusals"):
        assert sum(total[what] for total in totals) > 0, what
    assert sum(total["acknowledged"] for total in totals) > 30 * len(totals)


def test_a_seed_is_one_run() -> None:
    assert run_seed(7, STEPS) == run_seed(7, STEPS)


@pytest.mark.parametrize("bug", sorted(set(BUGS) - RARE))
def test_a_planted_bug_is_found(bug: str) -> None:
    assert any(run_seed(seed, STEPS, bug=bug).failure for seed in range(MOST_SEEDS_FOR_A_BUG))
