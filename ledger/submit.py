"""Takes a command to the leader, wherever it is, and comes back with what the log says about it.

The leader's verdict is only a place in the log. Whether it holds is read from this node's own applied log, so an
answer survives the leader that gave it. Every command has a natural key, so asking again is safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .applier import Applier
from .desk import Desk, Verdict
from .raft.core import RaftCore
from .raft.messages import NotLeader, Overloaded
from .transport import PeerLost, Transport

log = logging.getLogger("ballot.submit")

ASK_TIMEOUT_S = 2.0
RETRY_S = 0.02


class Unavailable(Exception):
    """No majority answered in time. Outcome unknown, or refused under load: ask again with the same command."""


class Submitter:
    def __init__(self, core: RaftCore, desk: Desk, applier: Applier, transport: Callable[[], Transport]) -> None:
        self._core, self._desk, self._applier, self._transport = core, desk, applier, transport

    async def submit(self, command: bytes, *, receipt: bool, timeout_s: float) -> Verdict:
        """A verdict that holds, applied on this node. Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    verdict = await self._ask_leader(command, receipt)
                    if verdict is not None and await self._holds(verdict):
                        return verdict
                    await asyncio.sleep(RETRY_S)
        except TimeoutError as error:
            raise Unavailable(f"no majority of the nodes answered within {timeout_s:g} s") from error
        except Overloaded as error:
            raise Unavailable(f"the ledger is overloaded: {error}") from error

    async def _ask_leader(self, command: bytes, receipt: bool) -> Verdict | None:
        leader = self._core.leader
        try:
            if leader == self._core.node:
                return await self._desk.submit(command, receipt)
            if not leader:
                return None
            answer = await self._transport().ask(leader, "submit", [command, receipt], ASK_TIMEOUT_S)
        except (NotLeader, PeerLost) as error:
            log.debug("asking the leader failed", extra={"leader": leader, "error": str(error)})
            return None
        if answer[0] == "overloaded":
            raise Overloaded(answer[1])
        return Verdict(*answer[1:]) if answer[0] == "verdict" else None

    async def answer(self, body: list[object]) -> list[object]:
        """The leader's side of a command that a peer forwarded. Raises ValueError when it is malformed."""
        command, receipt = body
        if not isinstance(command, bytes):
            raise ValueError("a command is bytes")
        try:
            verdict = await self._desk.submit(command, bool(receipt))
        except NotLeader as error:
            return ["elsewhere", error.hint]
        except Overloaded as error:
            return ["overloaded", str(error)]
        return ["verdict", verdict.term, verdict.index, verdict.new, verdict.refusal, verdict.detail]

    async def _holds(self, verdict: Verdict) -> bool:
        """Waits until the verdict's place is applied here, and tells whether its entry is the one that was meant."""
        while self._applier.applied < verdict.index:
            if self._core.term > verdict.term and self._core.log.term(verdict.index) != verdict.term:
                return False
            try:
                async with asyncio.timeout(0.5):
                    await self._applier.reached(verdict.index)
            except TimeoutError:
                continue
        return self._core.log.term(verdict.index) == verdict.term
