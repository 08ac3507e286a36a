"""Three nodes of the ledger without HTTP and without elections."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from ballot.cluster import Cluster, ClusterNode
from ballot.ledger.client import LedgerClient
from ballot.ledger.submit import Unavailable

DATA = os.urandom(1024)
TICKS = os.sysconf("SC_CLK_TCK")


class LedgerNode(ClusterNode):
    def start_ledger(self) -> None:
        self._ledger = self._spawn([sys.executable, "-m", "bench.ledger.node"])

    def start_http(self) -> None:
        """There is none."""

    @property
    def http_pid(self) -> int:
        return self.ledger_pid

    def is_ready(self) -> bool:
        return bool(asyncio.run(self._leader()))

    async def _leader(self) -> int:
        client = self.client()
        try:
            return int((await client.status())["leader"])
        except Unavailable:
            return 0
        finally:
            client.close()


class LedgerCluster(Cluster):
    node_type = LedgerNode


class Ledger:
    """A temporary cluster and one connection to each of its nodes."""

    def __init__(self, nodes: int = 3) -> None:
        self.cluster = LedgerCluster.temporary(nodes=nodes)
        self.clients: list[LedgerClient] = []

    def start(self) -> None:
        self.cluster.start()
        self.clients = [node.client() for node in self.cluster.nodes]

    def stop(self) -> None:
        self.cluster.remove()

    async def append(self, client: int) -> None:
        await self.clients[client % len(self.clients)].submit(DATA)

    async def status(self) -> list[dict[str, object]]:
        return [await client.status() for client in self.clients]

    def cpu(self) -> float:
        """Seconds of processor time that the ledger processes have used so far."""
        return sum(_cpu(node.ledger_pid) for node in self.cluster.nodes)

    async def leader(self) -> int:
        """The place of the node that leads."""
        while True:
            for place, client in enumerate(self.clients):
                try:
                    if (await client.status())["role"] == "leader":
                        return place
                except Unavailable:
                    continue
            await asyncio.sleep(0.005)


def _cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def failover_times(ledger: Ledger, kills: int, clients: int = 64) -> list[float]:
    """Kills the leader `kills` times under load; seconds from the last answer before each kill to the first after."""
    answers: list[float] = []
    stop = asyncio.Event()

    async def client(number: int) -> None:
        place = number
        while not stop.is_set():
            try:
                await ledger.append(place)
                answers.append(time.monotonic())
            except Unavailable:
                place += 1
                await asyncio.sleep(0.005)

    load = [asyncio.create_task(client(number)) for number in range(clients)]
    gaps: list[float] = []
    for _ in range(kills):
        await asyncio.sleep(1.0)
        node = ledger.cluster.nodes[await ledger.leader()]
        node.kill_ledger()
        killed = time.monotonic()
        await asyncio.sleep(2.0)
        before = max(answer for answer in answers if answer <= killed)
        gaps.append(min(answer for answer in answers if answer > killed) - before)
        node.start_ledger()
        await asyncio.sleep(1.5)
        answers.clear()
    stop.set()
    await asyncio.gather(*load)
    return gaps
