"""`ballot serve`: a node's two processes, together; and the HTTP app as gunicorn loads it.

When either process ends, the other is ended too: half a node would only confuse its clients.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .config import Settings, read_settings
from .ledger.settings import Address

STOP_TIMEOUT_S = 10.0


def node_command() -> list[str]:
    return [sys.executable, "-m", "ballot", "node"]


def http_command(settings: Settings) -> list[str]:
    return gunicorn_command("ballot.serve:application()", settings.http, settings.workers)


def gunicorn_command(application: str, address: Address, workers: int) -> list[str]:
    """gunicorn with its own ASGI worker, fortified. No access log: nobody shall learn from it who cast when."""
    program = Path(sys.executable).with_name("gunicorn")
    return [
        sys.executable,
        str(program),
        application,
        "--worker-class=ballot.worker.Worker",
        "--worker-connections=1000",
        # A browser sends some twenty headers, and the longest is an access token.
        "--limit-request-line=4094",
        "--limit-request-fields=64",
        "--limit-request-field_size=4094",
        "--asgi-loop=uvloop",
        "--asgi-lifespan=on",
        f"--workers={workers}",
        f"--bind={address[0]}:{address[1]}",
        "--backlog=1024",
        "--keep-alive=30",
        "--graceful-timeout=10",
        "--no-control-socket",
        # Its warnings quote the address of whoever sent a malformed request.
        "--log-level=error",
    ]


def application() -> object:
    """The ASGI app of this node, from the environment."""
    # Before the first figure is made, which happens as the app is imported.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics_folder(read_settings().state))
    from .compose import create_application

    return create_application()


def _metrics_folder(state: Path) -> Path:
    """Where all workers of this gunicorn keep their figures; those of an earlier gunicorn go."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = state / f"metrics-{os.getppid()}"
    for old in state.glob("metrics-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    return folder


def serve(settings: Settings, environment: Mapping[str, str] | None = None) -> int:
    """Runs both processes until one ends or we are told to; returns the exit status."""
    commands = (node_command(), http_command(settings))
    children = [subprocess.Popen(command, env=environment) for command in commands]
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: told.append(received))
    while not told and all(child.poll() is None for child in children):
        time.sleep(0.2)
    stop_all(list(reversed(children)))
    return 0 if told else 1


def stop_all(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Asks each to end, in order, and ends by force what has not after a while."""
    for child in children:
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
