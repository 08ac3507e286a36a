"""Plays every scenario file: each stands for a bug that a real Raft implementation shipped, or for an ordinary flow.

REWRITE_SCENARIOS=1 writes what the scenarios print into their files; read the difference before keeping it.
"""

from pathlib import Path

import pytest

from tests.support.scenario import compare

FILES = sorted((Path(__file__).parents[2] / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_scenario_goes_as_written(path: Path) -> None:
    assert not (difference := compare(path)), "\n".join(difference)
