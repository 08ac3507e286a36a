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
        """Raises KeyError, ElectionRunning, Busy. What goes wrong in the drill is in the report."""
        drill = DRILLS[name]
        if self._running.locked():
            raise Busy("a drill runs already")
        async with self._running:
            real = [title for title in await self._open_titles() if not title.startswith(TITLE)]
            if real and not force:
                raise ElectionRunning(f"{len(real)} elections are open, {real[0]!r} among them")
            return await self._run(drill, Recorder(name, self._tell), gently)

    async def _run(self, drill: Drill, record: Recorder, gently: bool) -> Report:
        log.warning("drill begins", extra={"drill": record.drill})
        parts = replace(self._parts, gently=gently)
        async with Line(list(parts.urls.values()), timeout_s=ANSWER_TIMEOUT_S) as line:
            try:
                await drill(Stage(parts, line), record)
            except Failed as error:
                log.error("drill failed", extra={"drill": record.drill, "reason": str(error)})
        report = record.report()
        log.warning("drill ended", extra={"drill": report.drill, "passed": report.passed})
        return report
