"""The stack of swarm-stack.yml on this host: built, deployed, hurt, rolled and taken away again."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ballot.keys import init_keys
from ballot.ports import free_port
from ballot.rotate import rotate

from .docker import docker, inspect

ROOT = Path(__file__).parents[2]
STACK, ORIGIN, NODES = "ballot", "swarm.example.org", (1, 2, 3)
ROTATED = (("jwt", 0), ("data_key", 0), ("postgres", 2), ("tls", 3), ("signing", 1))
IMAGE, NEXT = "ballot-ledger:swarm-test", "ballot-ledger:swarm-test-next"
READY_S, REMOVE_S, DRILL_S = 240.0, 300.0, 600.0

Report = Callable[[str], None]


class NotReady(Exception):
    """The stack did not become what it should be in time."""


def build(say: Report) -> None:
    """The image from this checkout, of wheels fetched as this machine fetches them; and the same under a second tag."""
    with tempfile.TemporaryDirectory(prefix="ballot-context-") as folder:
        context = Path(folder)
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        copied = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, copied.decode().split("\0")):
            if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                (context / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, context / name)
        say("fetching wheels")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(context / "wheels")]
        # Those for this Python, what an older 3.11 needs besides, and what packages without a wheel are built with.
        hashed = ["--require-hashes", "--requirement", "deploy/requirements.txt"]
        for wanted in (hashed, ["--constraint", "constraints.txt", "async-timeout", "setuptools", "wheel"]):
            subprocess.run([*pip, *wanted], cwd=context, check=True, stderr=subprocess.DEVNULL)
        say("building the image")
        docker("build", "--quiet", "--build-arg", "PIP_NO_INDEX=1", "--tag", IMAGE, str(context))
    docker("tag", IMAGE, NEXT)


class Stack:
    """A deployed stack with keys of its own. `smtp` is host:port of where its mail goes, as the nodes see it."""

    def __init__(self, folder: Path, smtp: str) -> None:
        self.keys, self.port = folder / "keys", free_port()
        self.genesis = init_keys(self.keys, len(NODES), ORIGIN, ["localhost", "127.0.0.1"])
        self._environment = {
            "BALLOT_KEYS": str(self.keys),
            "BALLOT_IMAGE": IMAGE,
            "BALLOT_SMTP_URL": f"smtp+plain://{smtp}",
            "BALLOT_PORT": str(self.port),
            "BALLOT_WORKERS": "1",
            # All voters share this host's address; and all nodes, for once, this host.
            "BALLOT_AUTH_PER_CLIENT": "0",
            "BALLOT_DRILLS": "1",
            "BALLOT_HOST_2": "1",
            "BALLOT_HOST_3": "1",
            "BALLOT_RESOLVE_IMAGE": "never",
        }

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        """What a client needs to trust the gateway's certificate: the cluster's own authority."""
        return ssl.create_default_context(cafile=str(self.keys / "shared" / "ca_certificate"))

    def deploy(self) -> None:
        file = str(ROOT / "swarm-stack.yml")
        arguments = ("stack", "deploy", "--resolve-image", "never", "--compose-file", file, STACK)
        docker(*arguments, environment=self._environment)
        self.wait_ready()

    def roll(self) -> subprocess.Popen[bytes]:
        """Begins to replace every service's image and some secrets by the next ones, with the operator's own script."""
        for kind, node in ROTATED:
            rotate(self.keys, kind, node)
        environment = {**os.environ, **self._environment, "BALLOT_IMAGE": NEXT}
        return subprocess.Popen([str(ROOT / "deploy" / "roll.sh"), STACK], env=environment)

    def wait_ready(self) -> dict[int, dict[str, Any]]:
        """What each node says once all are ready. Raises NotReady."""
        deadline = time.monotonic() + READY_S
        while True:
            found = {node: self.ask(node, "/api/_diag/ready") for node in NODES}
            ready = {node: said for node, said in found.items() if said is not None}
            if len(ready) == len(NODES):
                return ready
            if time.monotonic() > deadline:
                missing = [node for node in NODES if node not in ready]
                raise NotReady(f"nodes {missing} are not ready:\n{self.logs(f'ledger{missing[0]}')[-3000:]}")
            time.sleep(1)

    def ask(self, node: int, path: str) -> Any:
        """A node's own answer, inside its container; None when there is none."""
        container = self.container(f"ledger{node}")
        if not container:
            return None
        program = (
            f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000{path}', timeout=4).read().decode())"
        )
        done = subprocess.run(["docker", "exec", container, "python3", "-c", program], capture_output=True, text=True)
        return _parsed(done.stdout) if done.returncode == 0 else None

    def container(self, service: str) -> str:
        """The running container of a service; empty when there is none."""
        found = docker("ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={STACK}_{service}")
        return found.partition("\n")[0]

    def kill(self, service: str) -> None:
        """No handover, no flush: SIGKILL to everything in the container."""
        docker("kill", "--signal", "KILL", self.container(service))

    def grant(self, email: str, role: str) -> None:
        docker("exec", self.container("ledger1"), "ballot", "operator", "grant", email, role)

    def drill(self) -> str:
        """Runs every drill from node 1's container; what failed, empty when nothing did."""
        command = ["docker", "exec", self.container("ledger1"), "ballot", "drill", "all", "--gently"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DRILL_S)
        return "" if done.returncode == 0 else f"{done.stdout[-3000:]}{done.stderr[-1000:]}" or "no word"

    def image(self, service: str) -> str:
        return str(inspect("service", f"{STACK}_{service}")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"])

    def logs(self, service: str) -> str:
        """What all containers of the service said, ended ones too.

        Container by container: `docker service logs` waits for ever where a task was killed.
        """
        mine = f"label=com.docker.swarm.service.name={STACK}_{service}"
        said = ""
        for container in docker("ps", "--all", "--quiet", "--filter", mine).split():
            done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, timeout=60)
            said += done.stdout + done.stderr
        return said

    def specification(self) -> str:
        """Everything that docker shows of the stack's services and running containers."""
        services = docker("stack", "services", "--quiet", STACK).split()
        containers = docker("ps", "--quiet", "--filter", f"label=com.docker.stack.namespace={STACK}").split()
        return docker("service", "inspect", *services) + docker("inspect", *containers)

    def remove(self) -> None:
        docker("stack", "rm", STACK)
        mine = f"label=com.docker.stack.namespace={STACK}"
        deadline = time.monotonic() + REMOVE_S
        # Networks go last. Ended containers stay with the daemon, those of jobs above all.
        while docker("network", "ls", "--quiet", "--filter", mine) or docker("ps", "--quiet", "--filter", mine):
            if time.monotonic() > deadline:
                raise NotReady("the stack's containers do not go away")
            time.sleep(1)
        ended = docker("ps", "--all", "--quiet", "--filter", mine).split()
        if ended:
            docker("rm", "--force", "--volumes", *ended)
        volumes = docker("volume", "ls", "--quiet", "--filter", mine).split()
        if volumes:
            docker("volume", "rm", *volumes)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
