"""No child outlives the process that started it, however that ends."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import pytest

from ballot import guard
from tests.support.waiting import PATIENCE_S

PARENT = """
import signal, subprocess, sys
from ballot.guard import CHILDREN
for _ in range(int(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    CHILDREN.watch(child.pid, signal.SIGTERM)
    print(child.pid, flush=True)
sys.stdin.read()
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"


def started(children: int) -> tuple[subprocess.Popen[str], list[int]]:
    """A process with so many children, and their pidfds."""
    argv = [sys.executable, "-c", PARENT, str(children)]
    parent = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, [os.pidfd_open(int(parent.stdout.readline())) for _ in range(children)]


def have_ended(children: Sequence[int], within_s: float) -> bool:
    """A pidfd is readable once its process has ended."""
    return all(select.select([child], [], [], within_s)[0] for child in children)


def test_children_end_when_their_parent_is_killed() -> None:
    parent, children = started(2)
    try:
        assert not have_ended(children, 0.2)
        parent.kill()
        assert have_ended(children, PATIENCE_S)
    finally:
        parent.kill()
        parent.wait()
        stop(children)


def test_children_end_when_their_parent_just_ends() -> None:
    parent, children = started(1)
    parent.communicate("", timeout=PATIENCE_S)
    try:
        assert have_ended(children, PATIENCE_S)
    finally:
        stop(children)


def test_a_child_that_does_not_end_by_itself_is_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE_S", 0.3)
    deaf = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
    assert deaf.stdout is not None and deaf.stdout.read(1) == b"1"
    ours, theirs = socket.socketpair()
    socket.send_fds(ours, [bytes([signal.SIGTERM])], [os.pidfd_open(deaf.pid)])
    ours.close()
    with theirs:
        guard.guard(theirs)
    assert deaf.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_guard_that_somebody_killed_stops_nobody() -> None:
    parent = guard.Guard()
    child = subprocess.Popen(["sleep", "60"])
    try:
        parent.watch(child.pid, signal.SIGTERM)
        assert parent._program is not None
        parent._program.kill()
        parent._program.wait()
        parent.watch(child.pid, signal.SIGTERM)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def stop(children: Sequence[int]) -> None:
    for child in children:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, signal.SIGKILL)
        os.close(child)
