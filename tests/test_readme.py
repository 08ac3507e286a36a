"""The README's commands do what it says they do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
TEST_COMMAND = "make test"
"""The one command that this test leaves out: it would run itself."""

CHECKS = [
    ".venv/bin/ballot replay export $NODE election.ballots",
    ".venv/bin/ballot replay audit election.ballots",
    ".venv/bin/ballot replay rebuild election.ballots --node $NODE",
]
TESTED = {"make demo", ".venv/bin/ballot up", TEST_COMMAND, *CHECKS}

pytestmark = pytest.mark.demo


def environment(home: Path) -> dict[str, str]:
    """As on a fresh machine: an empty HOME, and nothing from the make that runs us."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "BALLOT_"))}
    return {**kept, "HOME": str(home)}


def test_every_command_of_the_readme_is_known_here() -> None:
    assert set(COMMANDS) == TESTED


def test_the_demo_runs_a_whole_election_and_says_so_on_its_last_line(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=10 * PATIENCE_S
    )
    last = done.stdout.rstrip().splitlines()[-1]
    assert (done.returncode, last) == (0, "audit: PASS  lost: 0  double: 0"), done.stdout[-3000:] + done.stderr[-3000:]


def test_up_starts_a_cluster_that_can_be_checked_and_stops_when_told(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"ballot-up-{os.getpid()}"
    command = [".venv/bin/ballot", "up", "--data", str(folder)]
    up = subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, text=True)
    try:
        urls = addresses(up)
        assert len(urls) == 3
        for url in urls:
            with urllib.request.urlopen(f"{url}/_diag/health", timeout=PATIENCE_S) as answer:
                assert answer.status == 200
        assert check(tmp_path, urls[0].removesuffix("/api")) == ["audit: PASS", "same"]
        assert (
            refused_beside(folder, tmp_path)
            == f"Error: a cluster is running in {folder}: stop it, or choose another folder"
        )
        up.send_signal(signal.SIGTERM)
        assert up.wait(PATIENCE_S) == 0
        assert not list(folder.glob("node*/environment"))
    finally:
        # Killed, it would leave its servers behind.
        up.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            up.wait(PATIENCE_S)
        up.kill()
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def refused_beside(folder: Path, home: Path) -> str:
    """What a second `ballot up` in the same folder says; the first one goes on."""
    command = [".venv/bin/ballot", "up", "--data", str(folder)]
    second = subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, text=True, timeout=30)
    return second.stderr.strip()


def check(folder: Path, node: str) -> list[str]:
    """Runs the README's checks in order; what the audit and the rebuild say at their ends."""
    (folder / ".venv").symlink_to(ROOT / ".venv")
    said = []
    for command in (command for command in COMMANDS if command in CHECKS):
        run = ["sh", "-c", command]
        done = subprocess.run(
            run, cwd=folder, env={**environment(folder), "NODE": node}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout.rstrip().splitlines()[-1])
    return [said[1], said[2].rsplit(": ", 1)[1]]


def addresses(up: subprocess.Popen[str]) -> list[str]:
    """The API addresses that `ballot up` prints, as soon as it has printed them all."""
    assert up.stdout is not None
    deadline = time.monotonic() + 2 * PATIENCE_S
    printed = ""
    while "Ctrl-C" not in printed and time.monotonic() < deadline:
        printed += up.stdout.readline()
    return re.findall(r"http://\S+/api", printed)
