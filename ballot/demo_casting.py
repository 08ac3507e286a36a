"""Casting with a leader killed half way, and what clients saw of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

from .client.api import Line, NoAnswer, Public, Reply
from .client.vote import Election
from .client.voter import Voter
from .cluster import ClusterNode
from .demo_crowd import each

AT_ONCE = 16
POLL_S = 0.02
LEADER_TIMEOUT_S = 30.0


class NoLeader(Exception):
    """No node said that it leads."""


async def find_leader(public: Public, nodes: Sequence[int], timeout_s: float = LEADER_TIMEOUT_S) -> int:
    """Which of these nodes (by their places in the line) says that it leads. Raises NoLeader."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for node in nodes:
            try:
                health = (await public.get_at(node, "/api/_diag/health")).json()
            except NoAnswer:
                continue
            if health["role"] == "leader":
                return node
        await asyncio.sleep(POLL_S)
    raise NoLeader("no node leads")


class Casting:
    """Casts every voter's ballot once, kills the leader when half of them are acknowledged, and casts again whatever
    got no answer.

    `acknowledged` has the log index of each verified receipt by voter; `unanswered` the voters whose first try got no
    answer, and `found` how many of those ballots had been recorded all the same. `victim` is the killed node's place.
    """

    def __init__(self, line: Line, nodes: Sequence[ClusterNode], voters: Sequence[Voter], election: Election) -> None:
        self._line, self._nodes, self._voters, self._election = line, nodes, voters, election
        self._public = Public(line)
        self._half = len(voters) // 2
        self._times: list[float] = []
        self._killing: asyncio.Task[None] | None = None
        self.acknowledged: dict[int, int] = {}
        self.unanswered: set[int] = set()
        self.found = 0
        self.victim = 0
        self.killed_at = 0.0
        self.election_s = 0.0

    async def run(self, step: Callable[[], None]) -> None:
        async def cast(number: int) -> None:
            reply = await self._cast(number)
            self._answered()
            voter = self._voters[number]
            self.acknowledged[number] = await voter.accept(self._election, reply.json())
            step()

        # Few enough that the kill falls amid the casting, however few voters there are.
        await each(range(len(self._voters)), cast, max(2, min(AT_ONCE, len(self._voters) // 8)))
        if self._killing is not None:
            await self._killing

    @property
    def gap_s(self) -> float:
        """The longest time between two answers, of those that ended after the kill."""
        return max((later - earlier for earlier, later in pairwise(self._times) if later > self.killed_at), default=0.0)

    async def _cast(self, number: int) -> Reply:
        voter, node = self._voters[number], number % len(self._nodes)
        try:
            return await voter.cast(self._election, node)
        except NoAnswer:
            self.unanswered.add(number)
        reply = await self._line.persist(lambda other: voter.cast(self._election, other), node + 1)
        self.found += reply.status == 200
        return reply

    def _answered(self) -> None:
        self._times.append(time.monotonic())
        if len(self._times) >= self._half and self._killing is None:
            self._killing = asyncio.create_task(self._kill())

    async def _kill(self) -> None:
        places = range(len(self._nodes))
        self.victim = await find_leader(self._public, places)
        self._nodes[self.victim].kill_ledger()
        self.killed_at = time.monotonic()
        await find_leader(self._public, [place for place in places if place != self.victim])
        self.election_s = time.monotonic() - self.killed_at
