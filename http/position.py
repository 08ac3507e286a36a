"""How far this node's tables are, as far as this worker knows: what `Ledger-Index` says; and whether it is a member."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from ..ledger.client import LedgerClient
from ..ledger.submit import Unavailable
from .problems import Refused

log = logging.getLogger("ballot.http")

FRESH_S = 0.1
STATUS_TIMEOUT_S = 0.5


class Position:
    """Only ever rises. Whoever reads tables or submits notes what they saw, so an answer never says less than it shows.

    Where nobody did, a status at most a tenth of a second old is close enough.
    """

    def __init__(self, ledger: LedgerClient) -> None:
        self._ledger = ledger
        self._asked = float("-inf")
        self.index = 0
        self.member = True

    def note(self, index: int) -> None:
        if index > self.index:
            self.index = index

    async def refresh(self) -> None:
        """Asks the ledger process, at most every `FRESH_S`; keeps the last word when it does not answer."""
        if monotonic() < self._asked + FRESH_S:
            return
        self._asked = monotonic()
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                status = await self._ledger.status()
            self.note(status["applied"])
            self.member = status["member"]
        except (Unavailable, TimeoutError) as error:
            log.debug("no status from the ledger process", extra={"reason": str(error)})

    def require_member(self) -> None:
        """Raises Refused(NotAMember): what this node has is old, and stays so."""
        if not self.member:
            raise Refused("NotAMember", f"this node is no member of the cluster: it knows entries up to {self.index}")

    async def reach(self, index: int, timeout_s: float) -> None:
        """Returns once this node has applied `index`. Raises Unavailable, Refused(BadRange, NotAMember).

        A majority is asked how far the log is: an index beyond that was made up, and is not worth waiting for.
        """
        if index <= self.index:
            return
        try:
            self.note(await self._ledger.read_index(timeout_s))
        except Unavailable as error:
            self.require_member()
            raise Unavailable(f"this node has not got to entry {index} yet") from error
        if index > self.index:
            raise Refused("BadRange", "Ledger-Index is beyond the end of the log")
