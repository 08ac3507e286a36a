"""Checks on all cores: what they find arrives whole and in order, and no worker stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballot.replay import pool as module
from ballot.replay.cli import replay
from ballot.replay.export import write_records
from ballot.replay.pool import Flaw, Pool
from ballot.replay.verify import check_pss
from tests.support.log_builder import ElectionLog

JOBS = 40
WAIT_S = 60.0
ENDLESS = """
from ballot.replay.pool import Pool
from ballot.replay.verify import check_pss
pool = Pool(2, lambda index, flaw: None)
pool.prepare()
while not pool._is_ready():
    pass
print("ready", flush=True)
while True:
    pool.submit(1, check_pss, "Name", bytes(256), bytes(256), b"")
"""


@pytest.mark.parametrize("slot_bytes", [1 << 19, 0], ids=["in shared memory", "through a pipe"])
def test_what_workers_find_comes_in_the_order_of_submission(monkeypatch: pytest.MonkeyPatch, slot_bytes: int) -> None:
    monkeypatch.setattr(module, "IN_PROCESS", 0)
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(module, "SLOT_BYTES", slot_bytes or 1)
    told: list[tuple[int, str]] = []

    def report(index: int, flaw: Flaw) -> None:
        told.append((index, flaw.name))

    pool = Pool(2, report)
    pool.prepare()
    pool._hello.result(WAIT_S)
    try:
        for index in range(JOBS):
            pool.submit(index, check_pss, f"name {index}", bytes(256), bytes(255), b"")
        pool.flush()
    finally:
        pool.close()
    assert told == [(index, f"name {index}") for index in range(JOBS)]


def test_an_audit_that_is_killed_leaves_no_worker_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True) as audit:
        assert audit.stdout is not None and audit.stdout.readline() == "ready\n"
        workers = _children(audit.pid)
        assert len(workers) >= 2
        os.kill(audit.pid, signal.SIGKILL)
        audit.wait()
    deadline = time.monotonic() + WAIT_S
    while any(_is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_audit_that_loses_a_worker_gives_no_verdict(
    log: ElectionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_PROCESS", 0)
    monkeypatch.setattr(Pool, "_is_ready", lazily_killed)
    file = tmp_path / "election.ballots"
    with file.open("wb") as stream:
        write_records(stream, log.records())
    result = CliRunner().invoke(replay, ["audit", str(file), "--workers", "2"])
    assert result.exit_code == 3 and "no verdict" in result.output and "PASS" not in result.output


def lazily_killed(pool: Pool) -> bool:
    executor = pool._start()
    pool._hello.result()
    for worker in list(executor._processes):
        os.kill(worker, signal.SIGKILL)
    return True


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
