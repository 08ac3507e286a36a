"""Three nodes of the ledger without HTTP and without elections."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from itertools import count

from ballot.cluster import Cluster, ClusterNode
from ballot.ledger.client import LedgerClient
from ballot.ledger.submit import Unavailable
from bench.processes import cpu_s

NAME_BYTES = 8
_PADDING = os.urandom(1024 - NAME_BYTES)


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


@dataclass(frozen=True)
class Reading:
    """Counters of the whole cluster; two of them make a measurement. `entries` are those of one log."""

    entries: int
    writes: int
    appends: int
    ledger_cpu_s: float
    postgres_cpu_s: float


class Ledger:
    """A temporary cluster and one connection to each of its nodes."""

    def __init__(self, nodes: int = 3) -> None:
        self.cluster = LedgerCluster.temporary(nodes=nodes)
        self.clients: list[LedgerClient] = []
        self._names = count(1)

    def start(self) -> None:
        self.cluster.start()
        self.clients = [node.client() for node in self.cluster.nodes]

    def stop(self) -> None:
        self.cluster.remove()

    async def append(self, client: int) -> None:
        await self.append_named(client)

    async def append_named(self, client: int) -> tuple[int, int]:
        """(name, index): the name, never used again, is what the entry's data begins with."""
        name = next(self._names)
        data = name.to_bytes(NAME_BYTES, "big") + _PADDING
        answer = await self.clients[client % len(self.clients)].submit(data)
        return name, answer.index

    async def status(self) -> list[dict[str, object]]:
        return [await client.status() for client in self.clients]

    async def last_index(self) -> int:
        return max(_number(status, "last") for status in await self.status())

    async def last_index_of(self, place: int) -> int:
        return _number(await self.clients[place].status(), "last")

    async def read(self) -> Reading:
        statuses = await self.status()
        nodes = self.cluster.nodes
        return Reading(
            max(_number(status, "last") for status in statuses),
            sum(_number(status, "writes") for status in statuses),
            sum(_number(status, "appends") for status in statuses),
            cpu_s(node.ledger_pid for node in nodes),
            cpu_s(node.postgres.pid for node in nodes),
        )

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

    async def caught_up(self, place: int, index: int, timeout_s: float = 60) -> None:
        """Returns once that node has applied entry `index`. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    if _number(await self.clients[place].status(), "applied") >= index:
                        return
                except Unavailable:
                    pass
                await asyncio.sleep(0.01)


def _number(status: dict[str, object], field: str) -> int:
    return int(str(status[field]))
