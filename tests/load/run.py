"""Three times what three nodes can take: what is too much is turned away, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg
import uvloop

from ballot.ledger.client import LedgerClient
from bench.api.__main__ import post_all
from bench.api.ballots import make_ballots
from bench.api.ours import Nodes
from bench.api.wire import Poster, Unexpected
from bench.ledger.figures import Figures, figures_of
from bench.processes import memory_mib

CLIENTS = 256
TRIAL = 4000
"""Ballots with which a rate is measured."""
MOST_LINES = 2400
TICK_S = 0.005
DRAIN_S = 120.0
RESTED_S = 1.0
"""For so long a client that was turned away waits: the Retry-After that it was told."""

Say = Callable[[str], None]


@dataclass
class Outcome:
    """Rates a second, memory in MiB; `sustainable` and `afterwards` with 256 clients that wait for their answers."""

    seconds: float
    sustainable: float = 0.0
    offered: float = 0.0
    acknowledged: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    taken: Figures | None = None
    shed: Figures | None = None
    afterwards: float = 0.0
    memory: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        # dataclasses.asdict counts the pairs of a Counter anew in Python 3.11.
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


def run_load(seconds: float, times: float = 3.0, trial_size: int = TRIAL, shed: int = 0, say: Say = print) -> Outcome:
    """Takes half as long again, to make ballots and to measure what is sustainable.

    Goes on for longer where it takes longer until so many are turned away: only when the nodes are full are they.
    """
    nodes, outcome = Nodes(), Outcome(seconds)
    try:
        nodes.start()
        booth = asyncio.run(nodes.open())
        say("measuring what three nodes take")
        trial = make_ballots(booth, trial_size)
        outcome.sustainable = _closed(nodes, trial).rate
        wanted = int(outcome.sustainable * seconds) + len(trial)
        say(f"{outcome.sustainable:,.0f} ballots a second; making {wanted:,} ballots")
        # The first keys made are those of the trial.
        made = make_ballots(booth, wanted + len(trial))[len(trial) :]
        rest, made = made[: len(trial)], made[len(trial) :]
        say(f"offering {times * outcome.sustainable:,.0f} a second for {seconds:g} s")
        rush = Rush(nodes.addresses, made, times * outcome.sustainable)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(rush.run(seconds, shed))
        rush.tell(outcome)
        outcome.memory = _memory(nodes)
        # The better of two: what else the machine does meanwhile is not the nodes' doing.
        half = len(rest) // 2
        outcome.afterwards = max(_closed(nodes, part).rate for part in (rest[:half], rest[half:]))
        known = {hashlib.sha256(body).digest() for body in [*trial, *rush.acknowledged, *rest]}
        outcome.violations += asyncio.run(_violations(nodes, known, {hashlib.sha256(body).digest() for body in made}))
    finally:
        nodes.stop()
    return outcome


def _closed(nodes: Nodes, ballots: Sequence[bytes]) -> Figures:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(post_all(nodes.addresses, ballots, CLIENTS))


class Rush:
    """Ballots that arrive at a steady rate, whether or not earlier ones were answered."""

    def __init__(self, addresses: Sequence[tuple[str, int]], ballots: Sequence[bytes], rate: float) -> None:
        self._addresses, self._rate = addresses, rate
        self._waiting = deque(ballots)
        self._idle: deque[Poster] = deque()
        self._lines = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._latencies: dict[str, list[float]] = {"taken": [], "shed": []}
        self._offered = 0
        self._ran_s = 0.0
        self.answers: Counter[str] = Counter()
        self.acknowledged: list[bytes] = []

    async def run(self, seconds: float, shed: int = 0) -> None:
        """For so long, and until so many were turned away."""
        begun = time.monotonic()
        while ((passed := time.monotonic() - begun) < seconds or self.answers["503"] < shed) and self._waiting:
            while self._offered < passed * self._rate and self._waiting:
                self._offer()
            await asyncio.sleep(TICK_S)
        self._ran_s = time.monotonic() - begun
        await asyncio.wait(self._under_way or {asyncio.ensure_future(asyncio.sleep(0))}, timeout=DRAIN_S)

    def _offer(self) -> None:
        self._offered += 1
        line = self._line()
        if line is None:
            # Whoever it was finds no line; this program has no more.
            self.answers["no line free"] += 1
            return
        task = asyncio.ensure_future(self._attempt(line, self._waiting.popleft()))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _line(self) -> Poster | None:
        if self._idle:
            return self._idle.popleft()
        if self._lines == MOST_LINES:
            return None
        self._lines += 1
        return Poster(*self._addresses[self._lines % len(self._addresses)])

    async def _attempt(self, line: Poster, body: bytes) -> None:
        begun = time.monotonic()
        try:
            status = str(await line.post(body))
        except (OSError, Unexpected) as error:
            status = type(error).__name__
        took = time.monotonic() - begun
        self._idle.append(line)
        self.answers[status] += 1
        if status in ("200", "201"):
            self.acknowledged.append(body)
            self._latencies["taken"].append(took)
            return
        if status == "503":
            self._latencies["shed"].append(took)
        await asyncio.sleep(RESTED_S)
        self._waiting.append(body)

    def tell(self, outcome: Outcome) -> None:
        """What came of it."""
        outcome.offered = self._offered / self._ran_s
        outcome.answers, outcome.acknowledged = self.answers, len(self.acknowledged)
        taken, shed = self._latencies["taken"], self._latencies["shed"]
        outcome.taken = figures_of(self._lines, taken, self._ran_s) if taken else None
        outcome.shed = figures_of(self._lines, shed, self._ran_s) if shed else None
        strange = {status: count for status, count in self.answers.items() if status not in EXPECTED}
        if strange:
            outcome.violations.append(f"answers that are neither a receipt nor 503: {strange}")
        if len(self._under_way):
            outcome.violations.append(f"{len(self._under_way)} ballots were not answered within {DRAIN_S:g} s")


EXPECTED = {"200", "201", "503", "no line free"}


def _memory(nodes: Nodes) -> dict[str, float]:
    """The most that any ledger process had resident."""
    return {f"ledger {node.number}": memory_mib(node.ledger_pid)[1] for node in nodes.cluster.nodes}


async def _violations(nodes: Nodes, known: set[bytes], offered: set[bytes]) -> list[str]:
    """What of what was acknowledged is not recorded on every node, or is recorded otherwise than once."""
    found = []
    statuses = [await LedgerClient(node.settings.socket).status() for node in nodes.cluster.nodes]
    last = max(status["commit"] for status in statuses)
    for node in nodes.cluster.nodes:
        client = LedgerClient(node.settings.socket)
        await client.wait(last, DRAIN_S)
        client.close()
        async with await psycopg.AsyncConnection.connect(node.settings.dsn) as connection:
            rows = await (await connection.execute("select name, cast_at from casts")).fetchall()
            row = await (await connection.execute("select cast_count from elections")).fetchone()
        names = [bytes(name) for name, _ in rows]
        assert row is not None
        if missing := known - set(names):
            found.append(f"node {node.number}: {len(missing)} acknowledged ballots are not recorded")
        if len(set(names)) != len(names) or len({index for _, index in rows}) != len(rows) or row[0] != len(names):
            found.append(f"node {node.number}: a ballot is recorded twice")
        if strange := set(names) - known - offered:
            found.append(f"node {node.number}: {len(strange)} ballots are recorded that nobody cast")
    return found
