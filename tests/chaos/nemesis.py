"""What goes wrong, drawn from a seed: kills, stops, restarts, clock jumps, cut links, a full disk."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from signal import SIGCONT, SIGKILL, SIGSTOP

from .machines import HurtCluster, HurtNode, pid_of, send, with_descendants

BETWEEN_S = (0.3, 2.0)
STOPPED_S = (0.2, 3.0)
CUT_S = (0.5, 5.0)
FULL_S = (1.0, 4.0)
AT_ONCE = 2
JUMPS_US = (-3_600_000_000, -30_000_000, -2_000_000, -400_000, 400_000, 2_000_000, 30_000_000, 3_600_000_000)

Fault = Callable[[], Awaitable[None]]


class Nemesis:
    """`done` counts faults by kind. Faults of a kind in `without` never happen."""

    def __init__(self, cluster: HurtCluster, seed: int, leader: Callable[[], Awaitable[int]]) -> None:
        """`leader` gives the number of the node that leads, 0 for none."""
        self._cluster, self._leader = cluster, leader
        self._rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self._links, self._rolling = asyncio.Lock(), asyncio.Lock()
        self._faults: list[tuple[str, int, Fault]] = [
            ("kill -9 ledger", 4, self._kill_ledger),
            ("kill -9 leader", 2, self._kill_leader),
            ("kill -9 gunicorn", 2, self._kill_http),
            ("kill -9 PostgreSQL", 2, self._kill_postgres),
            ("kill -9 PostgreSQL backend", 1, self._kill_backend),
            ("kill -9 Redis", 1, self._kill_redis),
            ("stop ledger", 3, self._stop_ledger),
            ("stop leader", 2, self._stop_leader),
            ("stop gunicorn", 2, self._stop_http),
            ("stop PostgreSQL", 2, self._stop_postgres),
            ("stop leader's PostgreSQL", 1, self._stall_leader),
            ("stop Redis", 1, self._stop_redis),
            ("rolling restart", 1, self._rolling_restart),
            ("clock jump", 2, self._jump),
        ]
        if cluster.network is not None:
            self._faults += [
                ("cut: one node alone", 2, self._cut_one),
                ("cut: leader alone", 2, self._cut_leader),
                ("cut: one way", 2, self._cut_one_way),
                ("cut: one pair", 2, self._cut_pair),
            ]
        if any(node.disk for node in cluster.hurt_nodes):
            self._faults.append(("full disk", 1, self._full_disk))

    async def run(self, seconds: float, at_least: int = 0) -> None:
        """Returns when the time is over and so many faults are done; no longer is then anything stopped, cut or filled.

        What was killed stays so.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        gate = asyncio.Semaphore(AT_ONCE)

        def goes_on() -> bool:
            return loop.time() < deadline or self.done.total() < at_least

        async def once(name: str, fault: Fault) -> None:
            async with gate:
                if goes_on():
                    await fault()
                    self.done[name] += 1

        names = [name for name, _, _ in self._faults]
        weights = [weight for _, weight, _ in self._faults]
        faults = {name: fault for name, _, fault in self._faults}
        # One of each kind first, in a drawn order; then as it comes.
        plan = self._rng.sample(names, len(names))
        async with asyncio.TaskGroup() as group:
            while goes_on():
                name = plan.pop() if plan else self._rng.choices(names, weights)[0]
                async with gate:
                    pass
                group.create_task(once(name, faults[name]))
                await asyncio.sleep(self._rng.uniform(*BETWEEN_S))
        await self._set_clocks_right()

    def _any(self) -> HurtNode:
        return self._rng.choice(self._cluster.hurt_nodes)

    async def _leading(self) -> HurtNode:
        number = await self._leader()
        return self._cluster.hurt_nodes[number - 1] if number else self._any()

    # -- processes

    async def _kill_ledger(self) -> None:
        send([self._any().ledger_pid], SIGKILL)

    async def _kill_leader(self) -> None:
        send([(await self._leading()).ledger_pid], SIGKILL)

    async def _kill_http(self) -> None:
        send(with_descendants(self._any().http_pid), SIGKILL)

    async def _kill_postgres(self) -> None:
        send(with_descendants(self._any().postgres_pid), SIGKILL)

    async def _kill_backend(self) -> None:
        """PostgreSQL then ends all its sessions and recovers by itself."""
        processes = with_descendants(self._any().postgres_pid)[1:]
        send(self._rng.sample(processes, min(1, len(processes))), SIGKILL)

    async def _kill_redis(self) -> None:
        send([pid_of(self._cluster.redis)], SIGKILL)

    async def _stop_ledger(self) -> None:
        await self._stop([self._any().ledger_pid])

    async def _stop_leader(self) -> None:
        await self._stop([(await self._leading()).ledger_pid])

    async def _stop_http(self) -> None:
        await self._stop(with_descendants(self._any().http_pid))

    async def _stop_postgres(self) -> None:
        await self._stop(with_descendants(self._any().postgres_pid))

    async def _stall_leader(self) -> None:
        """Its writes hang while it goes on talking: it must hand over."""
        await self._stop(with_descendants((await self._leading()).postgres_pid))

    async def _stop_redis(self) -> None:
        await self._stop([pid_of(self._cluster.redis)])

    async def _stop(self, pids: list[int]) -> None:
        send(pids, SIGSTOP)
        try:
            await asyncio.sleep(self._rng.uniform(*STOPPED_S))
        finally:
            send(pids, SIGCONT)

    async def _rolling_restart(self) -> None:
        async with self._rolling:
            for node in self._cluster.hurt_nodes:
                await asyncio.to_thread(node.end_ledger)
                await self._back(node)

    async def _back(self, node: HurtNode) -> None:
        for _ in range(100):
            if node.ledger_pid and await asyncio.to_thread(node.is_ready):
                return
            await asyncio.sleep(0.1)

    # -- clocks

    async def _jump(self) -> None:
        """One clock at a time is wrong: of three nodes, two must be able to agree."""
        async with self._rolling:
            await self._set_clocks_right()
            node = self._any()
            node.offset_us = self._rng.choice(JUMPS_US)
            await asyncio.to_thread(node.end_ledger)

    async def _set_clocks_right(self) -> None:
        for node in self._cluster.hurt_nodes:
            if node.offset_us:
                node.offset_us = 0
                await asyncio.to_thread(node.end_ledger)

    # -- links and disk

    async def _cut_one(self) -> None:
        await self._cut_off(self._any(), "isolate")

    async def _cut_leader(self) -> None:
        await self._cut_off(await self._leading(), "isolate")

    async def _cut_one_way(self) -> None:
        await self._cut_off(self._any(), self._rng.choice(("mute", "deafen")))

    async def _cut_off(self, node: HurtNode, how: str) -> None:
        network = self._cluster.network
        assert network is not None
        await self._while_cut(lambda: getattr(network, how)(node.number))

    async def _cut_pair(self) -> None:
        network = self._cluster.network
        assert network is not None
        one, other = self._rng.sample([node.number for node in self._cluster.nodes], 2)
        await self._while_cut(lambda: network.cut(one, other))

    async def _while_cut(self, cut: Callable[[], None]) -> None:
        assert self._cluster.network is not None
        async with self._links:
            try:
                await asyncio.to_thread(cut)
                await asyncio.sleep(self._rng.uniform(*CUT_S))
            finally:
                await asyncio.to_thread(self._cluster.network.heal)

    async def _full_disk(self) -> None:
        node = next(node for node in self._cluster.hurt_nodes if node.disk)
        try:
            await asyncio.to_thread(node.fill_disk)
            await asyncio.sleep(self._rng.uniform(*FULL_S))
        finally:
            await asyncio.to_thread(node.free_disk)
