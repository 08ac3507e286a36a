"""Takes one guard at a time out of a copy of the code and plays the scenario that must then fail.

`python -m tests.support.mutations [WORD...]` prints a table, of the scenarios whose names hold one of the words if any
are given, and ends with 1 if a mutation survives: then its scenario proves nothing. The mutations: `mutants.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.mutants import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios"
LONGEST_RUN_S = 60


def check(mutation: Mutation) -> str:
    """The file with the guard in it. Raises ValueError unless it is there once."""
    source = (ROOT / mutation.file).read_text()
    if source.count(mutation.guard) != 1:
        raise ValueError(f"{mutation.scenario}: the guard is in {mutation.file} {source.count(mutation.guard)} times")
    return source


def copy_code(place: Path) -> None:
    """The package `ballot`, whose folders lie beside it and are linked into it."""
    links = [link for link in (ROOT / "ballot").iterdir() if link.is_symlink()]
    for folder in (ROOT / "ballot", *(ROOT / link.name for link in links)):
        shutil.copytree(folder, place / folder.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))


def judge(mutation: Mutation) -> str:
    """Plays the scenario on the mutated code: what broke, or SURVIVED."""
    source = check(mutation)
    with tempfile.TemporaryDirectory() as folder:
        copy_code(Path(folder))
        Path(folder, mutation.file).write_text(source.replace(mutation.guard, mutation.mutant))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "REWRITE_SCENARIOS": ""}
        command = [sys.executable, "-m", "tests.support.languages", str(SCENARIOS / f"{mutation.scenario}.txt")]
        try:
            run = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_RUN_S
            )
        except subprocess.TimeoutExpired:
            return "fails: it never ends"
    if run.returncode == 0:
        return "SURVIVED"
    if run.stderr:
        return f"BROKEN: {run.stderr.strip().splitlines()[-1]}"
    violations = [line[1:] for line in run.stdout.splitlines() if line.startswith("+VIOLATION")]
    return f"fails: {violations[0].removeprefix('VIOLATION: ')}" if violations else "fails: the output differs"


def main(words: Sequence[str]) -> int:
    chosen = [mutation for mutation in MUTATIONS if not words or any(word in mutation.scenario for word in words)]
    chosen.sort(key=lambda mutation: mutation.scenario)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        verdicts = list(pool.map(judge, chosen))
    for mutation, verdict in zip(chosen, verdicts, strict=True):
        guard = " ".join(mutation.guard.split())
        print(f"{mutation.scenario:<40} {mutation.file:<28} {guard[:60]:<60} {verdict}")
    return 0 if all(verdict.startswith("fails") for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
