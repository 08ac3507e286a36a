"""One simulated node: the real core, desk and machine over a model disk and a model of the tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, cast

from ballot.ledger.clock import Clock
from ballot.ledger.decision import Draft
from ballot.ledger.desk import Desk, Order, Verdict
from ballot.ledger.entry import SALT_BYTES, Entry, check_link, encode_map, seal
from ballot.ledger.raft.config import Config
from ballot.ledger.raft.core import RaftCore
from ballot.ledger.raft.messages import NotLeader, Record, Write
from ballot.projections.facts import Facts
from ballot.projections.machine import ElectionMachine
from ballot.voting.tables import Put, Row, merge
from tests.sim.opening import START_US, Opening, Place, Rows
from tests.support.disk import Disk

TICK_US = 30_000


class Chance:
    """Faster than `random.Random.randrange`, which the core would otherwise call."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw

    def randrange(self, start: int, stop: int, /) -> int:
        return start + int(self._draw() * (stop - start))


class SimFacts(Facts):
    """The leader's facts, loaded from the model tables one by one instead of in a query."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = rows

    def get(self, table: str, *key: Any) -> Row | None:
        place = (table, key)
        if place not in self._kept:
            self._kept[place] = self._rows.get(place)
        return super().get(table, *key)


class SimMachine(ElectionMachine):
    def __init__(self, rows: Rows) -> None:
        super().__init__("")
        self._facts = SimFacts(rows)

    def folded(self, index: int, changes: Sequence[Put]) -> None:
        self._facts.applied(index, list(changes))


class SimDesk(Desk):
    """The real desk without its queue: the simulator's events are the queue."""

    def __init__(self, core: RaftCore, machine: SimMachine, clock: Clock) -> None:
        super().__init__(core, machine, clock, lambda: None, lambda index: None, self._unconfirmed)

    async def _unconfirmed(self) -> None:
        """Never awaited: what a deposed leader refuses is counted here (history.py) and not confirmed first."""

    def decide(self, command: bytes) -> Verdict:
        """Raises NotLeader, Overloaded."""
        if not self._may_decide():
            raise NotLeader(0)
        return self._decide_one(Order(command, False))


class Tables:
    """The projections of one node and their digest, with what it takes to lose the last few transactions."""

    __slots__ = ("_hashes", "_undo", "applied", "digest", "rows")

    def __init__(self, opening: Opening) -> None:
        self.rows = dict(opening.rows)
        self.applied = len(opening.entries)
        self.digest = 0
        self._hashes: dict[Place, int] = {}
        self._undo: list[tuple[int, Place, Row | None, int]] = []

    def apply(self, index: int, changes: Sequence[Put]) -> None:
        for change in changes:
            place = (change.table, change.key)
            old = self.rows.get(place)
            row = self.rows[place] = merge(old, change, index)
            old_hash = self._hashes.get(place, 0)
            new_hash = self._hashes[place] = hash((place, tuple(row.values())))
            self.digest ^= old_hash ^ new_hash
            self._undo.append((index, place, old, old_hash))
        self.applied = index

    def lose(self, count: int) -> None:
        """The last `count` entries' effects are gone, and with them the position (rule R4)."""
        self.applied -= count
        while self._undo and self._undo[-1][0] > self.applied:
            _, place, row, old_hash = self._undo.pop()
            self.digest ^= self._hashes[place] ^ old_hash
            self._hashes[place] = old_hash
            if row is None:
                del self.rows[place]
            else:
                self.rows[place] = row


class Node:
    """`epoch` tells the events of this process from those of one that crashed."""

    def __init__(self, node_id: int, opening: Opening, now: Callable[[], float], rng: random.Random) -> None:
        self.id, self._opening, self._now, self._rng = node_id, opening, now, rng
        self.disk = Disk(opening.entries, len(opening.entries))
        self.tables = Tables(opening)
        self.up = self.retired = self.waiting_turn = False
        self.epoch = 0
        self.paused_until = 0.0
        self.slow = 1.0
        self.drift, self.offset_us = 0.0, 0
        self.core: RaftCore
        self.desk: SimDesk
        self.machine: SimMachine
        self.clock: Clock

    def start(self, config: dict[str, int]) -> None:
        """Recovers from the disk, as a new process does."""
        self.epoch += 1
        self.up, self.waiting_turn = True, False
        self.flight: Write | None = None
        self.applying = False
        self.target = 0
        self.ticks = 0
        self.waiters: list[Any] = []
        durable = self.disk.read()
        self.core = RaftCore(
            Config(self.id, self.epoch, **config),
            durable,
            seal=self._seal,
            check=self._check,
            rng=Chance(self._rng.random),
        )
        self.clock = Clock(len(self.core.log.conf.voters), source=self._raw_us)
        self.machine = SimMachine(self.tables.rows)
        self.desk = SimDesk(self.core, self.machine, self.clock)
        self.core.apply_done(self.tables.applied)
        # What the checks saw last.
        self.seen_last: object = None
        self.seen_term, self.seen_commit, self.seen_durable = durable.hard.term, durable.hard.commit, 0
        self.seen_leadership: object = None
        self.seen_match: dict[int, int] = {}

    def entry(self, index: int) -> Entry:
        log = self.core.log
        return self.disk.entries[index - 1] if index < log.first_in_memory else cast(Entry, log.entry(index))

    def _raw_us(self) -> int:
        return START_US + int(self._now() * TICK_US * (1 + self.drift)) + self.offset_us

    def _seal(self, last: Record, term: int, payload: object) -> Entry:
        """As `ledger/node.py` does, but for the salt's randomness (rule R8)."""
        before = cast(Entry, last)
        soonest = before.time_us + 1
        timed = payload is not None or self.clock.synchronised
        time_us = max(self.clock.now_us(), soonest) if timed else soonest
        draft = self._opened() if payload is None else cast(Draft, payload)
        return seal(
            prev_hash=before.hash,
            index=before.index + 1,
            term=term,
            time_us=time_us,
            kind=draft.kind,
            public=draft.public,
            private=draft.private,
            salt=b"" if draft.private is None else self._rng.randbytes(SALT_BYTES),
        )

    def _opened(self) -> Draft:
        return Draft("TermOpened", encode_map({"node": self.id}))

    @staticmethod
    def _check(before: Record, entry: Record) -> None:
        check_link(cast(Entry, before), cast(Entry, entry))
