"""The port between the ledger, which knows bytes, and what it is a ledger of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from psycopg import AsyncConnection

from .decision import Decision
from .entry import Entry


class StateMachine(Protocol):
    """`decide` sees what is applied plus what was `proposed` and is still in flight (rule R9)."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def prepare(self, commands: Sequence[bytes]) -> None:
        """Leader: loads what deciding on these commands needs, in as few queries as can be."""

    def decide(self, command: bytes, now_us: int) -> Decision: ...

    def proposed(self, entries: Sequence[Entry]) -> None:
        """These were appended, not yet committed: later decisions must see them."""

    def rewind(self) -> None:
        """Leadership began or ended: nothing is in flight any more."""

    async def apply(self, connection: AsyncConnection[Any], entries: Sequence[Entry]) -> None:
        """Folds committed entries into the tables, in the caller's transaction."""

    def applied(self, entries: Sequence[Entry]) -> None:
        """That transaction is committed."""
