"""What this process started ends when this process does, even by `kill -9`.

A guard, which is this file run as a program, is told of every child and outlives their parent just long enough to end
them. A child could ask the kernel for a signal at its parent's death instead, but that comes when the *thread* that
started it ends; and neither PostgreSQL nor Redis would watch a pipe.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic

PATIENCE_S = 10.0
POLL_S = 0.1


class Guard:
    """The parent's side. The program is started with the first child; a pidfd names a child for ever, a number not."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._line: socket.socket | None = None
        self._program: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int, ending: signal.Signals) -> None:
        """`ending` is the signal by which this child of ours, not yet waited for, ends at once and leaves nothing."""
        with self._lock:
            line = self._line or self._start()
            child = os.pidfd_open(pid)
            try:
                # A guard that somebody killed guards nothing; that is no reason to stop.
                with suppress(BrokenPipeError, ConnectionResetError):
                    socket.send_fds(line, [bytes([ending])], [child])
            finally:
                os.close(child)

    def _start(self) -> socket.socket:
        self._line, theirs = socket.socketpair()
        with theirs:
            # Its own session: Ctrl-C is for the parent, which stops its servers in order.
            argv = [sys.executable, "-I", str(Path(__file__))]
            self._program = subprocess.Popen(argv, stdin=theirs.fileno(), start_new_session=True)
        return self._line


def guard(line: socket.socket) -> None:
    """Keeps what it is sent until the line ends, then ends what is left."""
    children: dict[int, signal.Signals] = {}
    while True:
        data, received, _, _ = socket.recv_fds(line, 1, 1)
        if not data:
            break
        _forget_ended(children, 0.0)
        children |= {child: signal.Signals(data[0]) for child in received}
    for child, ending in children.items():
        _send(child, ending)
    deadline = monotonic() + PATIENCE_S
    while children and monotonic() < deadline:
        _forget_ended(children, POLL_S)
    for child in children:
        _send(child, signal.SIGKILL)


def _forget_ended(children: dict[int, signal.Signals], wait_s: float) -> None:
    """A pidfd is readable once its process has ended."""
    for child in select.select(list(children), [], [], wait_s)[0]:
        del children[child]
        os.close(child)


def _send(child: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(child, number)


CHILDREN = Guard()
"""Of this process."""

if __name__ == "__main__":
    guard(socket.socket(fileno=0))
