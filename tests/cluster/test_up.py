"""`ballot up` from outside: what is left of it when it is killed, and where it is found the next time."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ballot.cluster import Cluster
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

NODES = 2


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where PostgreSQL's user may go, which pytest's own folders do not allow when we are root."""
    cluster = Cluster.temporary()
    yield cluster.folder
    cluster.remove()


@contextmanager
def up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ballot up` and what it prints once the cluster runs."""
    command = [sys.executable, "-m", "ballot", "up", "--data", str(folder), "--nodes", str(NODES)]
    # What it cannot remove when it is killed, the folders of its sockets, goes with the folder.
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        printed = ""
        while "Ctrl-C" not in printed and (line := process.stdout.readline()):
            printed += line
        yield process, printed
        process.terminate()
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def addresses(printed: str) -> list[str]:
    return re.findall(r"http://(\S+)/api", printed)


def descendants(pid: int) -> list[int]:
    """All processes below this one, as pidfds: these stay theirs, whoever gets the number next."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return [os.pidfd_open(one) for one in found[1:]]


def all_ended(children: Sequence[int]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    return all(select.select([child], [], [], max(0, deadline - time.monotonic()))[0] for child in children)


def test_killed_it_leaves_no_process_and_comes_back_at_the_same_addresses(folder: Path) -> None:
    with up(folder) as (process, printed):
        first = addresses(printed)
        assert len(first) == NODES, printed
        children = descendants(process.pid)
        # Ledger process, gunicorn with a worker, PostgreSQL; Redis and the guard.
        assert len(children) >= 4 * NODES + 2
        process.kill()
        try:
            assert all_ended(children)
        finally:
            for child in children:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(child, signal.SIGKILL)
                os.close(child)
    host, port = first[0].split(":")
    with up(folder) as (_, printed):
        assert addresses(printed) == first
        assert "as before" not in printed
    with socket.create_server((host, int(port))), up(folder) as (_, printed):
        assert addresses(printed)[1:] == first[1:]
        assert f"node 1, API: not at port {port} as before" in printed
