"""What clients were told, and whether one log in one order explains all of it.

An acknowledged command has its place in the log; a refusal stands right behind the newest entry it may rest on. At the
end the committed log is replayed, and every answer must be the one that the real decisions give at its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ballot.ledger.decision import Draft, Known, Refusal
from ballot.ledger.desk import Verdict
from ballot.ledger.entry import Entry
from ballot.ledger.membership import CONF_KINDS
from ballot.voting.decide import decide
from ballot.voting.fold import fold
from ballot.voting.tables import merge
from tests.sim.checks import Checks, require
from tests.sim.opening import Opening, Operation, RowsView, puts

OWN_KINDS = CONF_KINDS | {"TermOpened"}
ONCE = ("credentials", "casts", "commands")


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """Somebody waits for a verdict. `floor`: the newest acknowledged entry when the operation was begun."""

    client: int
    attempt: int
    operation: Operation
    floor: int
    verdict: Verdict


class History:
    def __init__(self, opening: Opening, checks: Checks) -> None:
        self._opening, self._checks = opening, checks
        self.proposed: dict[tuple[int, int], Operation] = {}
        self.acknowledged = len(opening.entries)
        self.receipts: dict[Operation, Entry] = {}
        self.refused: dict[int, list[Waiter]] = {}
        self.stale_refusals = 0

    def told(self, waiter: Waiter, entry: Entry) -> None:
        """A node answers a client; `entry` is what it applied at the verdict's place."""
        verdict, name = waiter.verdict, waiter.operation.name
        if verdict.refusal:
            self.refused.setdefault(verdict.index, []).append(waiter)
            self.stale_refusals += verdict.index < waiter.floor
            return
        require(self._is_committed(entry), f"{name} is acknowledged at {entry.index}, which is not committed")
        made_by = self.proposed.get((entry.term, entry.index))
        require(made_by is waiter.operation, f"{name} is acknowledged by the entry {entry.index} of another command")
        first = self.receipts.setdefault(waiter.operation, entry)
        require(first is entry, f"{name} has two receipts: {first.index} and {entry.index}")
        early = verdict.new and entry.index <= waiter.floor
        require(not early, f"{name} was asked for after {waiter.floor} was acknowledged, but stands at {entry.index}")
        self.acknowledged = max(self.acknowledged, entry.index)

    def _is_committed(self, entry: Entry) -> bool:
        committed = self._checks.committed
        return entry.index <= len(committed) and committed[entry.index - 1].hash == entry.hash

    def replay(self) -> None:
        """Raises Violation unless the committed log, read from front to back, explains every answer."""
        rows = dict(self._opening.rows)
        view = RowsView(rows)
        done: set[Operation] = set()
        for entry in self._checks.committed[len(self._opening.entries) :]:
            self._check_refusals(view, entry.index - 1)
            self._check_origin(view, entry, done)
            for change in puts(fold(entry)):
                place = (change.table, change.key)
                once = change.table not in ONCE or place not in rows
                require(once, f"entry {entry.index} spends twice: {change.table}")
                rows[place] = merge(rows.get(place), change, entry.index)
        self._check_refusals(view, len(self._checks.committed))
        for operation, entry in self.receipts.items():
            require(self._is_committed(entry), f"acknowledged {operation.name} at {entry.index} is lost")

    def _check_origin(self, view: RowsView, entry: Entry, done: set[Operation]) -> None:
        operation = self.proposed.get((entry.term, entry.index))
        if operation is None:
            require(entry.kind in OWN_KINDS, f"nobody asked for entry {entry.index}, {entry.kind}")
            return
        require(operation not in done, f"{operation.name} was carried out twice, again at {entry.index}")
        done.add(operation)
        decision = decide(view, operation.command, entry.time_us)
        require(
            not isinstance(decision, Refusal | Known) and _becomes(decision, entry),
            f"{operation.name} at {entry.index} should have been {decision}",
        )

    def _check_refusals(self, view: RowsView, index: int) -> None:
        for waiter in self.refused.pop(index, ()):
            verdict, operation = waiter.verdict, waiter.operation
            decision = decide(view, operation.command, self._checks.committed[index - 1].time_us)
            justified = isinstance(decision, Refusal) and decision.name == verdict.refusal
            says = decision if isinstance(decision, Refusal | Known) else [draft.kind for draft in decision]
            require(justified, f"{operation.name} was refused ({verdict.refusal}) at {index}; the log says {says}")


def _becomes(drafts: Sequence[Draft], entry: Entry) -> bool:
    return [(draft.kind, draft.public, draft.private) for draft in drafts] == [
        (entry.kind, entry.public, entry.private)
    ]
