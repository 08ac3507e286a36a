"""The elections as the ledger's state machine: facts in, decisions out, applied entries into tables."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from ..ledger.decision import Decision, Refusal
from ..ledger.entry import Entry
from ..voting.commands import CommandError, decode_command
from ..voting.decide import decide, reads
from ..voting.tables import Change
from .facts import Facts
from .projector import apply_changes

log = logging.getLogger("ballot.projections")


class ElectionMachine:
    """Implements `ledger.machine.StateMachine`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: AsyncConnection[Any] | None = None
        self._facts = Facts()
        self._folded: list[tuple[int, list[Change]]] = []

    async def open(self) -> None:
        self._connection = await AsyncConnection.connect(self._dsn, autocommit=True, prepare_threshold=2)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def prepare(self, commands: Sequence[bytes]) -> None:
        assert self._connection is not None
        places = []
        for data in commands:
            try:
                places += reads(decode_command(data))
            except CommandError:
                log.error("a command does not parse")
        self._facts.trim()
        await self._facts.load(self._connection, places)

    def decide(self, command: bytes, now_us: int) -> Decision:
        try:
            return decide(self._facts, decode_command(command), now_us)
        except CommandError as error:
            return Refusal("MalformedCommand", str(error))

    def proposed(self, entries: Sequence[Entry]) -> None:
        self._facts.proposed(entries)

    def rewind(self) -> None:
        self._facts.rewind()

    async def apply(self, connection: AsyncConnection[Any], entries: Sequence[Entry]) -> None:
        self._folded = await apply_changes(connection, entries)

    def applied(self, entries: Sequence[Entry]) -> None:
        for index, changes in self._folded:
            self._facts.applied(index, changes)
        kinds = Counter(entry.kind for entry in entries)
        log.info("projected", extra={"first": entries[0].index, "last": entries[-1].index, "kinds": dict(kinds)})
