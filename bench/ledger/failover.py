"""Leader after leader killed under a constant load: how long nobody is answered, and that nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import psycopg

from ballot.cluster import ClusterNode
from ballot.ledger.submit import Unavailable

from .figures import silence
from .load import Advance
from .ours import NAME_BYTES, Ledger

CLIENTS = 64
BEFORE_S, AFTER_S = 1.0, 2.0
# A Note's payload is the msgpack map {"data": bin16}: nine bytes, then the data, which begins with the entry's name.
NAME_AT = 10


class Lost(Exception):
    """An acknowledged entry is not where it was said to be in a node's log."""


@dataclass
class Load:
    """Clients that go to another node when theirs does not answer. `acknowledged`: index by name."""

    ledger: Ledger
    acknowledged: dict[int, int] = field(default_factory=dict)
    answers: deque[float] = field(default_factory=lambda: deque(maxlen=200_000))
    stopped: bool = False

    async def client(self, number: int) -> None:
        place = number
        while not self.stopped:
            try:
                name, index = await self.ledger.append_named(place)
                self.answers.append(time.monotonic())
                self.acknowledged[name] = index
            except Unavailable:
                place += 1
                await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Failover:
    """`gaps_s`: the longest time without an answer around each kill; `checked`: acknowledged entries, on every node."""

    gaps_s: list[float]
    checked: int


async def measure_failover(ledger: Ledger, kills: int, advance: Advance) -> Failover:
    """Raises Lost."""
    load = Load(ledger)
    clients = [asyncio.create_task(load.client(number)) for number in range(CLIENTS)]
    gaps = []
    try:
        for done in range(kills):
            gaps.append(await _kill_leader(ledger, load))
            advance(done + 1)
    finally:
        load.stopped = True
        await asyncio.gather(*clients)
    last = max(load.acknowledged.values())
    for place, node in enumerate(ledger.cluster.nodes):
        await ledger.caught_up(place, last)
        await asyncio.to_thread(_check, node, load.acknowledged)
    return Failover(gaps, len(load.acknowledged))


async def _kill_leader(ledger: Ledger, load: Load) -> float:
    load.answers.clear()
    await asyncio.sleep(BEFORE_S)
    place = await ledger.leader()
    node = ledger.cluster.nodes[place]
    killed = time.monotonic()
    node.kill_ledger()
    await asyncio.sleep(AFTER_S)
    gap = silence(list(load.answers), killed)
    node.start_ledger()
    # With one node down and another behind, the next kill would measure how fast that one catches up.
    await ledger.caught_up(place, await ledger.last_index_of((place + 1) % len(ledger.clients)))
    return gap


def _check(node: ClusterNode, acknowledged: dict[int, int]) -> None:
    query = "select index, substring(public from %s for %s) from ledger_entry where kind = 'Note'"
    with psycopg.connect(node.settings.dsn) as connection, connection.cursor("names", binary=True) as cursor:
        cursor.itersize = 20_000
        # A command that was asked for twice may stand there twice: only the place that was acknowledged must be right.
        rows = cursor.execute(query, (NAME_AT, NAME_BYTES))
        right = {name for index, data in rows if acknowledged.get(name := int.from_bytes(data, "big")) == index}
    lost = acknowledged.keys() - right
    if lost:
        raise Lost(f"node {node.number} lacks {len(lost)} acknowledged entries, the first named {min(lost)}")
