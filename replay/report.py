"""What an audit found: findings by level, and the accounting of every election."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

# Of findings with one name that many are kept: a log with its first entry gone would fill the memory otherwise.
KEPT_OF_A_NAME = 20


class Level(StrEnum):
    """What a check is about, from the bytes up."""

    STRUCTURE = "structure"
    CHAIN = "chain"
    SIGNATURES = "signatures"
    BALLOTS = "ballots"
    COUNT = "count"


LEVELS = tuple(Level)

CAVEAT = (
    "silent: credentials that were issued and neither cast nor claimed as unused. A dishonest registrar could have"
    " voted for their holders; only claims expose that. Compare it with the margin."
)


def reaches(stop: Level, level: Level) -> bool:
    """Whether an audit that stops after `stop` checks what belongs to `level`."""
    return LEVELS.index(level) <= LEVELS.index(stop)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong. `index` is the log entry it was seen at (for a checkpoint the last one before it)."""

    level: Level
    name: str
    index: int
    detail: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """Nothing wrong, yet nobody may overlook it: at entry `index`, of this `hash` in hex, the cluster went on from node
    `survivor` alone.

    The numbers are the survivor's word, see `ledger.recovery.Recovery`, but for `proven`: so many entries are under a
    checkpoint, in this very export, of the nodes before. `detail` has all of it in words.
    """

    index: int
    hash: str
    time_us: int
    survivor: int
    lost: list[int]
    last: int
    committed: int
    checkpoint: int
    missing: int
    proven: int
    detail: list[str]


@dataclass(frozen=True, slots=True)
class Accounting:
    """Numbers of one election. `silent` = issued - ballots - unused: credentials nobody has heard of since.

    A dishonest registrar could have voted for the silent, and only claims of unused credentials expose it.
    `silent_votes` is the most that they could have been worth where ballots have weights (then also invalid ballots
    count as silent, for their weights are not told apart).
    `cast` counts entries between open and close; `published`, `valid` and `invalid` ballots on the board. What only a
    count can tell is None where none was made.
    """

    roll: int = 0
    issued: int = 0
    cast: int = 0
    published: int = 0
    valid: int | None = None
    invalid: int | None = None
    unused: int = 0
    silent: int = 0
    silent_votes: int | None = None


@dataclass(frozen=True, slots=True)
class Minting:
    """Proof that more credentials were used than issued, so the registrar made some of its own: ballots + unused >
    issued, as of entry `index`. With `weight` it is about the credentials of that weight alone.

    `entries` has for each kind that is counted [first index, last index, how many]: whoever doubts it counts them.
    """

    index: int
    weight: int
    issued: int
    ballots: int
    unused: int
    entries: dict[str, tuple[int, int, int]]

    @property
    def excess(self) -> int:
        return self.ballots + self.unused - self.issued


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one question: the winners by number and name, and the margin as the count states it."""

    text: str
    method: str
    rounds: int
    winners: list[int]
    names: list[str]
    margin: int


@dataclass(frozen=True, slots=True)
class ElectionReport:
    """`recounted`: the count was made again here, so many ballots `by_seed` and `by_keys`. `disputed`: a node attests
    another count than the published one. `attested` and `dissenting` are numbers of nodes.

    `series` has the accounting at every checkpoint where it changed, see `accounting.COLUMNS`; in it `valid` and
    `invalid` are what the published count states.
    """

    election: str
    eid: str
    title: str
    status: str
    accounting: Accounting
    recounted: bool
    by_seed: int
    by_keys: int
    disputed: bool
    attested: list[int]
    dissenting: list[int]
    minting: Minting | None
    outcomes: list[Outcome]
    series: Iterable[tuple[int, ...]]


@dataclass(frozen=True)
class Report:
    """`passed` if and only if there is no finding. `more` counts, by level and name, findings that were not kept.

    `level` is the last one that was checked.
    """

    findings: list[Finding]
    more: dict[str, int]
    recoveries: list[Recovered]
    elections: list[ElectionReport]
    entries: int
    checkpoints: int
    genesis: str
    root: str
    level: Level = Level.COUNT

    @property
    def passed(self) -> bool:
        return not self.findings

    @property
    def first(self) -> Finding | None:
        """The finding at the lowest index, of the lowest level: where to look first."""
        return min(self.findings, key=_place, default=None)

    def at(self, level: Level) -> list[Finding]:
        return [finding for finding in self.findings if finding.level is level]

    def verdict(self, level: Level) -> str:
        """`pass`, `fail`, or `not checked`."""
        if self.at(level):
            return "fail"
        return "pass" if reaches(self.level, level) and self.entries else "not checked"

    def to_json(self) -> dict[str, Any]:
        """Made of what JSON has, without the series."""
        first = self.first
        return {
            "passed": self.passed,
            "entries": self.entries,
            "checkpoints": self.checkpoints,
            "genesis": self.genesis,
            "root": self.root,
            "level": self.level.value,
            "levels": {level.value: self.verdict(level) for level in LEVELS},
            "first": None if first is None else asdict(first),
            "findings": [asdict(finding) for finding in self.findings],
            "more": self.more,
            "recoveries": [asdict(recovery) for recovery in self.recoveries],
            "elections": [_election_json(election) for election in self.elections],
        }


def _election_json(election: ElectionReport) -> dict[str, Any]:
    """All but the series, which may be long: see `show.json_parts`."""
    value = asdict(replace(election, series=()))
    del value["series"]
    return value


@dataclass
class Findings:
    """Collects findings up to a level, a bounded number of each name."""

    stop: Level = Level.COUNT
    kept: list[Finding] = field(default_factory=list)
    seen: Counter[tuple[Level, str]] = field(default_factory=Counter)

    def add(self, level: Level, name: str, index: int, detail: str) -> None:
        if not reaches(self.stop, level):
            return
        self.seen[level, name] += 1
        if self.seen[level, name] <= KEPT_OF_A_NAME:
            self.kept.append(Finding(level, name, index, detail))

    @property
    def damaged(self) -> bool:
        """Whether entries are missing or not what was sealed, so that what is left must not be used against anybody."""
        return any(level in (Level.STRUCTURE, Level.CHAIN) for level, _ in self.seen)

    def sorted(self) -> list[Finding]:
        """By index, then level: what stands first is what broke first."""
        return sorted(self.kept, key=_place)

    def more(self) -> dict[str, int]:
        return {
            f"{level.value}.{name}": count - KEPT_OF_A_NAME
            for (level, name), count in self.seen.items()
            if count > KEPT_OF_A_NAME
        }


def _place(finding: Finding) -> tuple[int, int]:
    return finding.index, LEVELS.index(finding.level)
