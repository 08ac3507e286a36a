"""Runs drills by name, one at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from ..client.api import Line
from .ballots import double_vote, election, signature_rejection, vote
from .faults import clock_skew, failover, lock
from .people import login
from .record import Failed, Recorder, Report, Step
from .stage import TITLE, Parts, Stage

log = logging.getLogger("ballot.drill")

Drill = Callable[[Stage, Recorder], Awaitable[None]]
Tell = Callable[[str, Step], None]

DRILLS: Mapping[str, Drill] = {
    "login": login,
    "election": election,
    "vote": vote,
    "signature-rejection": signature_rejection,
    "double-vote": double_vote,
    "lock": lock,
    "failover": failover,
    "clock-skew": clock_skew,
}
ANSWER_TIMEOUT_S = 12.0


class ElectionRunning(Exception):
    """A real election is open: drills need to be forced."""


class Outsider(Exception):
    """This node is no member of the cluster: what it would see is old."""


class Busy(Exception):
    """A drill runs already."""


class Drills:
    """`open_titles()` gives the titles of all elections that are open on this node; `tell` hears of every step."""

    names = tuple(DRILLS)

    def __init__(
        self, parts: Parts, open_titles: Callable[[], Awaitable[Sequence[str]]], tell: Tell = lambda drill, step: None
    ) -> None:
        self._parts, self._open_titles, self._tell = parts, open_titles, tell
        self._running = asyncio.Lock()

    async def run(self, name: str, *, force: bool = False, gently: bool = False) -> Report:
        """Raises KeyError, ElectionRunning, Outsider, Busy, Unavailable. What goes wrong in it is in the report."""
        drill = DRILLS[name]
        if self._running.locked():
            raise Busy("a drill runs already")
        async with self._running:
            status = await self._parts.ledger.status()
            if not status["member"]:
                raise Outsider("this node is no member of the cluster: run drills on one that is")
            real = [title for title in await self._open_titles() if not title.startswith(TITLE)]
            if real and not force:
                raise ElectionRunning(f"{len(real)} elections are open, {real[0]!r} among them")
            parts = replace(self._parts, gently=gently)
            return await self._run(drill, Recorder(name, self._tell), parts, [*status["voters"], *status["learners"]])

    async def _run(self, drill: Drill, record: Recorder, parts: Parts, members: Sequence[int]) -> Report:
        log.warning("drill begins", extra={"drill": record.drill})
        # Addresses are the operator's, members the log's: a node that was removed may still be named.
        gone = [node for node in parts.urls if node not in members]
        if gone:
            with record.step("nodes that are no members are left out") as step:
                step.saw = ", ".join(f"node {node}" for node in gone)
            parts = replace(parts, urls={node: url for node, url in parts.urls.items() if node not in gone})
        async with Line(list(parts.urls.values()), timeout_s=ANSWER_TIMEOUT_S) as line:
            try:
                await drill(Stage(parts, line), record)
            except Failed as error:
                log.error("drill failed", extra={"drill": record.drill, "reason": str(error)})
        report = record.report()
        log.warning("drill ended", extra={"drill": report.drill, "passed": report.passed})
        return report
