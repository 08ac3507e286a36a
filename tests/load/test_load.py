"""A short run of what `make load` does for ten minutes."""

import json

import pytest

from tests.load.run import run_load

pytestmark = pytest.mark.chaos

SHED = 200


def test_too_much_is_turned_away_and_nothing_acknowledged_is_lost() -> None:
    outcome = run_load(4, trial_size=1000, shed=SHED)
    assert outcome.violations == [], json.dumps(outcome.fields())
    assert outcome.answers["503"] >= SHED, "there was no overload"
    assert outcome.answers["201"] > 0
    assert outcome.afterwards > 0.3 * outcome.sustainable
