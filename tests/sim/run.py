"""Runs one seed from the first election to the last check."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.sim import bugs
from tests.sim.checks import require
from tests.sim.clients import Clients
from tests.sim.faults import Faults
from tests.sim.profile import draw
from tests.sim.world import World

SETTLE_STEPS, SETTLE_ROUNDS = 200, 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """`failure` is empty when all went well; `where` is then empty too."""

    seed: int
    totals: Counter[str]
    failure: str = ""
    where: str = ""


def run_seed(seed: int, steps: int, *, bug: str = "", tell: Callable[[str], None] | None = None) -> Outcome:
    rng = random.Random(seed)
    with bugs.planted(bug):
        world = World(rng, draw(rng), tell)
        failure = where = ""
        try:
            _play(world, steps)
        except Exception as error:
            failure = f"{type(error).__name__}: {error} (step {world.steps}, time {world.now:.1f})"
            where = traceback.format_exc()
            world.tell(failure)
    return Outcome(seed, _totals(world), failure, where)


def _play(world: World, steps: int) -> None:
    clients = Clients(world)
    faults = Faults(world, clients)
    world.run(steps)
    faults.end()
    clients.finish()
    world.tell("no more faults")
    for _ in range(SETTLE_ROUNDS):
        world.run(SETTLE_STEPS)
        if clients.idle and _agree(world):
            break
    require(clients.idle, "after all faults ended, commands are still not answered")
    require(_agree(world), "after all faults ended, the nodes do not come together")
    world.history.replay()


def _agree(world: World) -> bool:
    """Somebody leads, and every member has applied all that is committed."""
    leaders = [node for node in world.nodes.values() if node.up and node.core.leadership is not None]
    if not leaders:
        return False
    leader = max(leaders, key=lambda node: node.core.term)
    length = len(world.checks.committed)
    members = [world.nodes[member] for member in leader.core.log.conf.everyone]
    held = all(len(member.disk.entries) == member.tables.applied == length for member in members)
    return held and leader.core.log.last_index == length


def _totals(world: World) -> Counter[str]:
    totals = Counter(world.count)
    totals["steps"] = world.steps
    totals["terms"] = max(node.core.term for node in world.nodes.values())
    totals["entries committed"] = len(world.checks.committed) - len(world.opening.entries)
    totals["refusals from a deposed leader"] = world.history.stale_refusals
    return totals
