"""The docker command, a daemon of our own where none runs, and a swarm of one host."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_S, STOP_S = 60.0, 60.0
LABELS = ("ballot", "ballot_gateway")


class NoDocker(Exception):
    """No Docker daemon runs here and none can be started; the message says why."""


class DockerError(Exception):
    """A docker command that failed, with what it said."""


def docker(*arguments: str, environment: Mapping[str, str] | None = None, text: str | None = None) -> str:
    """Its output. Raises DockerError."""
    done = subprocess.run(
        ["docker", *arguments], env={**os.environ, **(environment or {})}, input=text, capture_output=True, text=True
    )
    if done.returncode:
        raise DockerError(f"docker {' '.join(arguments[:3])}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def inspect(what: str, name: str) -> dict[str, Any]:
    [found] = json.loads(docker(what, "inspect", name))
    return dict(found)


def has_image(tag: str) -> bool:
    return bool(docker("image", "ls", "--quiet", tag))


def answers() -> bool:
    done = subprocess.run(["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True)
    return done.returncode == 0 and bool(done.stdout.strip())


@contextmanager
def daemon() -> Iterator[bool]:
    """The daemon that runs here, or one of our own with a folder of its own, which ends with the context.

    Gives whether it is our own. Raises NoDocker.
    """
    if not shutil.which("docker"):
        raise NoDocker("there is no docker command (on Debian: apt-get install docker.io)")
    if answers():
        yield False
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        raise NoDocker("no Docker daemon answers, and only root can start one with dockerd")
    folder = Path(tempfile.mkdtemp(prefix="ballot-docker-"))
    process = _start(folder)
    try:
        yield True
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)
        _remove(folder)


def _remove(folder: Path) -> None:
    """With the network namespaces that the daemon leaves mounted in it."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((one for one in mounted if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", place], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    log = folder / "log"
    command = ["dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--pidfile", str(folder / "pid")], stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + START_S
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            process.wait(STOP_S)
            reason = log.read_text(errors="replace").strip().splitlines()[-1:]
            _remove(folder)
            raise NoDocker(f"dockerd does not start: {''.join(reason)}")
        time.sleep(0.2)
    return process


@contextmanager
def swarm() -> Iterator[None]:
    """A swarm in which this host carries everything. What was not there before is gone afterwards."""
    initialised = docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "active"
    if initialised:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
    before = inspect("node", "self")["Spec"].get("Labels") or {}
    try:
        for label in LABELS:
            docker("node", "update", "--label-add", f"{label}=1", _this_node())
        yield
    finally:
        if initialised:
            docker("swarm", "leave", "--force")
        else:
            for label in LABELS:
                change = ["--label-add", f"{label}={before[label]}"] if label in before else ["--label-rm", label]
                docker("node", "update", *change, _this_node())


def _this_node() -> str:
    return docker("info", "--format", "{{.Swarm.NodeID}}")
