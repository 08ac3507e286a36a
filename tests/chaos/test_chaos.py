"""A short run of what `make chaos` does for as long as one likes."""

import json

import pytest

from tests.chaos.run import run_chaos

pytestmark = pytest.mark.chaos

SECONDS, SEED, VOTERS, FAULTS = 18, 1, 30, 10


def test_nothing_acknowledged_is_lost_while_everything_goes_wrong() -> None:
    outcome = run_chaos(SECONDS, SEED, VOTERS, FAULTS)
    assert outcome.violations == [], json.dumps(outcome.fields())
    assert outcome.casts["acknowledged"] == outcome.voters
    assert outcome.faults.total() >= FAULTS
    assert outcome.leader_changes > 0
