"""A network of their own for the nodes' ledger processes: one namespace each, wired to a bridge in one more.

Only peers talk over it: HTTP servers, PostgreSQL and clients reach a ledger process by its Unix socket. Needs root and
`ip` and `tc` (Debian: iproute2). Nothing outside these namespaces changes, and deleting them takes everything away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from itertools import permutations

SUBNET = "10.77.0"
# Every packet is longer than what this filter ever lets pass: it is lost, and nobody is told.
LOSE_ALL = ("tbf", "rate", "8bit", "burst", "1", "limit", "1")


class NetworkError(Exception):
    """A namespace or a link could not be made or changed."""


def is_possible() -> str:
    """Why there can be no such network here; empty when there can."""
    if os.geteuid() != 0:
        return "not root"
    missing = [program for program in ("ip", "tc") if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} not installed (Debian: iproute2)"
    trial = Network(1)
    try:
        trial.build()
        trial.mute(1)
    except NetworkError as error:
        return str(error)
    finally:
        trial.remove()
    return ""


class Network:
    """Nodes are numbered from 1. A cut stays until `heal`."""

    def __init__(self, nodes: int) -> None:
        self._nodes = range(1, nodes + 1)
        self._name = f"ballot-chaos-{os.getpid()}"
        self._hub = f"{self._name}-hub"

    def build(self) -> None:
        """Raises NetworkError."""
        _run("ip", "netns", "add", self._hub)
        _run("ip", "-n", self._hub, "link", "add", "hub", "type", "bridge")
        _run("ip", "-n", self._hub, "link", "set", "hub", "up")
        for node in self._nodes:
            self._wire(node)

    def _wire(self, node: int) -> None:
        space, port = self._space(node), f"port{node}"
        _run("ip", "netns", "add", space)
        _run("ip", "-n", self._hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run("ip", "-n", self._hub, "link", "set", port, "master", "hub", "up")
        _run("ip", "-n", space, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _run("ip", "-n", space, "link", "set", link, "up")

    def remove(self) -> None:
        for space in (*map(self._space, self._nodes), self._hub):
            with suppress(NetworkError):
                _run("ip", "netns", "del", space)

    def _space(self, node: int) -> str:
        return f"{self._name}-{node}"

    @staticmethod
    def address(node: int) -> str:
        return f"{SUBNET}.{node}"

    def inside(self, node: int) -> list[str]:
        """What to put before a command that shall run in this node's namespace."""
        return ["ip", "netns", "exec", self._space(node)]

    def mute(self, node: int) -> None:
        """Nobody hears this node; it hears everybody."""
        _run("tc", "-n", self._space(node), "qdisc", "replace", "dev", "eth0", "root", *LOSE_ALL)

    def deafen(self, node: int) -> None:
        """This node hears nobody; everybody hears it."""
        _run("tc", "-n", self._hub, "qdisc", "replace", "dev", f"port{node}", "root", *LOSE_ALL)

    def isolate(self, node: int) -> None:
        self.mute(node)
        self.deafen(node)

    def cut(self, one: int, other: int) -> None:
        """These two do not hear each other; both hear all others."""
        for here, there in ((one, other), (other, one)):
            _run("ip", "-n", self._space(here), "route", "replace", "blackhole", f"{self.address(there)}/32")

    def heal(self) -> None:
        for node in self._nodes:
            with suppress(NetworkError):
                _run("tc", "-n", self._space(node), "qdisc", "del", "dev", "eth0", "root")
            with suppress(NetworkError):
                _run("tc", "-n", self._hub, "qdisc", "del", "dev", f"port{node}", "root")
        for here, there in permutations(self._nodes, 2):
            with suppress(NetworkError):
                _run("ip", "-n", self._space(here), "route", "del", "blackhole", f"{self.address(there)}/32")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
