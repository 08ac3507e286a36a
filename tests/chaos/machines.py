"""A cluster whose parts can be hurt: processes killed and stopped, links cut, one disk filled, one clock moved."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ballot.cluster import Cluster, ClusterNode
from ballot.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedRedis
from ballot.embedded_programs import postgres_account
from ballot.serve import node_command

from .network import Network

DISK = "768m"
FREE_WHEN_FULL = 64 << 10


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """0 stands for a process that does not run; to the kernel it would mean our own."""
    for pid in pids:
        if pid > 0:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def is_alive(pid: int) -> bool:
    return _stat(pid)[0] not in ("", "Z", "X")


def pid_of(server: EmbeddedPostgres | EmbeddedRedis) -> int:
    """0 while it does not run."""
    try:
        return server.pid if is_alive(server.pid) else 0
    except EmbeddedError:
        return 0


def with_descendants(pid: int) -> list[int]:
    """The process first, then all that it and its children started."""
    if pid <= 0:
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        children.setdefault(int(_stat(int(entry.name))[1] or 0), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def _stat(pid: int) -> tuple[str, str]:
    """(state, parent) of a process, empty when it is gone. proc(5)"""
    try:
        after = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return after[0], after[1]


class HurtNode(ClusterNode):
    network: Network | None = None
    disk: Path | None = None

    def join(self, network: Network) -> None:
        """Its ledger process shall run in its own namespace and reach its peers there."""
        self.network = network
        for name in ("BALLOT_LISTEN", "BALLOT_PEERS"):
            entries = self.environment[name].split(",")
            self.environment[name] = ",".join(self._moved(entry) for entry in entries)

    def _moved(self, entry: str) -> str:
        number, equals, address = entry.rpartition("=")
        return f"{number}{equals}{Network.address(int(number or self.number))}:{address.rpartition(':')[2]}"

    def start_ledger(self) -> None:
        inside = self.network.inside(self.number) if self.network is not None else []
        self._ledger = self._spawn([*inside, *node_command()])

    @property
    def postgres_pid(self) -> int:
        """0 while the server does not run."""
        return pid_of(self.postgres)

    def end_ledger(self) -> None:
        """SIGTERM, as an orchestrator ends a process that shall come back; waits."""
        ledger = self._ledger
        if ledger is not None and ledger.poll() is None:
            ledger.terminate()
            with suppress(subprocess.TimeoutExpired):
                ledger.wait(15)

    @property
    def offset_us(self) -> int:
        return int(self.environment.get("BALLOT_CLOCK_OFFSET_US", "0"))

    @offset_us.setter
    def offset_us(self, offset: int) -> None:
        self.environment["BALLOT_CLOCK_OFFSET_US"] = str(offset)

    def fill_disk(self) -> None:
        """Leaves PostgreSQL a few pages only."""
        if self.disk is not None:
            usage = shutil.disk_usage(self.disk)
            _mount("-o", f"remount,size={usage.used + FREE_WHEN_FULL}", str(self.disk))

    def free_disk(self) -> None:
        if self.disk is not None:
            _mount("-o", f"remount,size={DISK}", str(self.disk))


class HurtCluster(Cluster):
    """With `network`, ledger processes live in namespaces; with `small_disk`, the last node's database on a tmpfs.

    While `keep` is set, `remove` leaves the folder for inspection: all logs, databases and keys are in it.
    """

    node_type = HurtNode
    keep = True

    def hurt(self, network: Network | None, small_disk: bool) -> None:
        """To be called before `start`."""
        self.network, self._small_disk = network, small_disk
        self._disk: Path | None = None

    def start(self) -> None:
        if self.network is not None:
            self.network.build()
        if self._small_disk:
            folder = self.folder / f"node{self._size}" / "postgres"
            folder.mkdir(parents=True)
            account = postgres_account()
            owner = f"uid={account.uid},gid={account.gid},mode=0700"
            _mount("-t", "tmpfs", "-o", f"size={DISK},{owner}", "tmpfs", str(folder))
            self._disk = folder
        super().start()

    def _make_node(self, number: int, *where: Any) -> HurtNode:
        node = super()._make_node(number, *where)
        assert isinstance(node, HurtNode)
        if self.network is not None:
            node.join(self.network)
        if number == self._size:
            node.disk = self._disk
        return node

    @property
    def hurt_nodes(self) -> list[HurtNode]:
        return [node for node in self.nodes if isinstance(node, HurtNode)]

    def stop(self) -> None:
        """Takes down what `start` made, mount and namespaces too; what a kept folder needs is copied."""
        try:
            super().stop()
        finally:
            if self._disk is not None:
                if self.keep:
                    shutil.copytree(self._disk, self.folder / "small-disk", symlinks=True)
                subprocess.run(["umount", str(self._disk)], check=True)
                self._disk = None
            if self.network is not None:
                self.network.remove()

    def remove(self) -> None:
        if self.keep:
            self.stop()
        else:
            super().remove()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
