"""One run: a town is set up, hurt for a while, healed, and everything it promised is checked."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ballot.client.api import Line, NoAnswer, Refused
from ballot.client.trust import Untrusted
from ballot.client.vote import Election

from . import network
from .casters import Casters
from .checks import check_all, leader_changes
from .machines import HurtCluster
from .nemesis import Nemesis
from .supervisor import Supervisor
from .town import HurtTown

NODES = 3
TRY_S = 4.0
HEALED_S = 180.0
VOTERS_AT_LEAST, VOTERS_A_SECOND = 60, 1.0


@dataclass
class Outcome:
    """`violations` is empty when everything held; `folder` then is gone. `left_out` says which faults and why."""

    seed: int
    seconds: float
    voters: int
    casts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    leader_changes: int = 0
    longest_gap_s: float = 0.0
    healed_in_s: float = 0.0
    left_out: str = ""
    violations: list[str] = field(default_factory=list)
    folder: str = ""

    def fields(self) -> dict[str, Any]:
        # dataclasses.asdict counts the pairs of a Counter anew in Python 3.11.
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


def run_chaos(seconds: float, seed: int, voters: int = 0, faults: int = 0) -> Outcome:
    """Goes on for longer where so many faults take longer.

    Raises ClusterError, EmbeddedError when there was nothing to hurt in the first place.
    """
    begun_us = time.time_ns() // 1000
    voters = voters or max(VOTERS_AT_LEAST, int(VOTERS_A_SECOND * seconds))
    outcome = Outcome(seed, seconds, voters, left_out=network.is_possible())
    cluster = HurtCluster.temporary(nodes=NODES, settings={"BALLOT_AUTH_PER_CLIENT": "0"})
    can_all = not outcome.left_out
    cluster.hurt(network.Network(NODES) if can_all else None, small_disk=can_all)
    town = HurtTown(cluster, voters)
    try:
        town.start()
        try:
            town.run(_Run(town, outcome, faults, begun_us).run())
            cluster.keep = bool(outcome.violations)
        finally:
            town.stop()
    finally:
        if cluster.keep:
            outcome.folder = str(cluster.folder)
            print(f"kept for inspection: {cluster.folder}", file=sys.stderr)
        town.close_keys()
        cluster.remove()
    return outcome


class _Run:
    def __init__(self, town: HurtTown, outcome: Outcome, faults: int, begun_us: int) -> None:
        self._town, self._outcome, self._faults, self._begun_us = town, outcome, faults, begun_us

    async def run(self) -> None:
        town, outcome = self._town, self._outcome
        election, papers = await town.opened_with_papers()
        before = town.organiser_account.api.index
        supervisor = Supervisor(town.hurt, random.Random(outcome.seed + 1))
        async with Line(town.line.urls, timeout_s=TRY_S) as line:
            casters = Casters(line, election, papers, outcome.seed + 2)
            supervisor.start()
            try:
                await asyncio.gather(casters.run(outcome.seconds), self._hurt())
                outcome.violations += await self._violations(election, casters)
            except (NoAnswer, Refused, Untrusted) as error:
                outcome.violations += [*casters.violations, f"not checked to the end: {error!r}"]
            finally:
                await supervisor.stop()
        outcome.casts, outcome.restarts = casters.counts, supervisor.restarts
        outcome.longest_gap_s = round(casters.longest_gap_s, 2)
        outcome.leader_changes = await asyncio.to_thread(leader_changes, town.hurt.hurt_nodes[0], before)

    async def _hurt(self) -> None:
        nemesis = Nemesis(self._town.hurt, self._outcome.seed, self._town.leading)
        self._outcome.faults = nemesis.done
        await nemesis.run(self._outcome.seconds, self._faults)
        healed = time.monotonic()
        await self._town.all_ready(HEALED_S)
        self._outcome.healed_in_s = round(time.monotonic() - healed, 2)

    async def _violations(self, election: Election, casters: Casters) -> list[str]:
        return await check_all(self._town, election, casters, self._begun_us)
