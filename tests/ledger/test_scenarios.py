"""Plays every scenario file: each stands for a bug that a real Raft implementation shipped, or for an ordinary flow.

Those about the log table are played on a model and on PostgreSQL, and print the same. REWRITE_SCENARIOS=1 writes what
the scenarios print into their files; read the difference before keeping it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.languages import Interpreter, interpreters
from tests.support.script import compare

FILES = sorted((Path(__file__).parents[1] / "scenarios").glob("*.txt"))


def plays() -> Iterator[object]:
    for path in FILES:
        for interpreter in interpreters(path):
            marks = [pytest.mark.cluster] if interpreter.needs_postgres else []
            name = "-on-".join(filter(None, [path.stem, interpreter.on]))
            yield pytest.param(path, interpreter, id=name, marks=marks)


@pytest.mark.parametrize(("path", "interpreter"), list(plays()))
def test_the_scenario_goes_as_written(path: Path, interpreter: Interpreter, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres") if interpreter.needs_postgres else None
    assert not (difference := compare(path, interpreter.make(server))), "\n".join(difference)
