"""Every trap of docs/consensus.md has its scenario files, its guard and a mutation that takes the guard away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.mutants import MUTATIONS, Mutation
from tests.support.mutations import check

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios"
TRAPS = range(1, 29)

_ROW = re.compile(r"^\| (\d+) [^|]+ \| `([^`|]+)` \| ([^|]+) \|$", re.MULTILINE)


def index() -> dict[int, tuple[str, list[str]]]:
    """Trap to (pattern of its files, files of its guard), as the docs have it."""
    rows = _ROW.findall((ROOT / "docs" / "consensus.md").read_text())
    return {int(trap): (pattern, re.findall("`([^`]+)`", guards)) for trap, pattern, guards in rows}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_a_scenario_that_fails_without_its_guard(trap: int) -> None:
    files = {path.stem for path in SCENARIOS.glob(f"trap-{trap:02}-*.txt")}
    assert files
    assert files & {mutation.scenario for mutation in MUTATIONS}


def test_the_docs_list_the_traps_their_files_and_the_files_of_their_guards() -> None:
    found = index()
    assert list(found) == list(TRAPS)
    for trap, (pattern, guards) in found.items():
        assert pattern == f"trap-{trap:02}-*"
        mutated = {mutation.file for mutation in MUTATIONS if mutation.scenario.startswith(pattern[:-1])}
        assert mutated <= set(guards), f"trap {trap}"
        assert all((ROOT / guard).is_file() for guard in guards)


def test_every_scenario_file_says_which_trap_it_is() -> None:
    for path in SCENARIOS.glob("trap-*.txt"):
        assert path.read_text().startswith(f"# Trap {int(path.stem.split('-')[1])}"), path.name


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.scenario}-{mutation.file}")
def test_every_guard_stands_in_the_code_once(mutation: Mutation) -> None:
    """Or the mutation run would take something else away, or nothing."""
    check(mutation)
    assert (SCENARIOS / f"{mutation.scenario}.txt").is_file()
