"""What a cluster says publicly when it goes on from one node alone, because a majority of it is gone for good.

`ClusterRecovered` carries the whole resulting list of members, as every change of members does, and beside it what an
outsider must know: who survived, who was lost, and from where on something may be missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .checkpoint import CheckpointError, read_note
from .membership import Membership, MembershipError, membership_of, typed

KIND = "ClusterRecovered"


@dataclass(frozen=True)
class Recovery:
    """`members` is the list from here on: the `survivor` alone. `lost` are the ids of all others, rising.

    `last`: the entry that the survivor's log ended with. `committed`: the last one that it knew a majority to have;
    those after it were kept as they stood. `checkpoint`: size of the largest checkpoint that its log leads to.
    `evidence`: a checkpoint of the lost majority that its log does not lead to, empty where it holds none; entries up
    to that size, `missing`, were recorded and are gone (0: none is known to be). `restored`: not even the survivor was
    left, only a copy of its database.
    """

    members: Membership
    survivor: int
    lost: tuple[int, ...]
    last: int
    committed: int
    checkpoint: int
    missing: int = 0
    evidence: bytes = b""
    restored: bool = False

    def to_fields(self) -> dict[str, Any]:
        own = {
            "survivor": self.survivor,
            "lost": list(self.lost),
            "last": self.last,
            "committed": self.committed,
            "checkpoint": self.checkpoint,
            "missing": self.missing,
            "evidence": self.evidence,
            "restored": self.restored,
        }
        return self.members.to_fields() | own

    def in_words(self) -> list[str]:
        """What is certain, what was kept and what may be missing, a sentence each."""
        lines = [f"entries up to {self.committed} had been recorded by a majority, and all of them are there"]
        if self.last > self.committed:
            lines.append(
                f"entries after {self.committed}, up to {self.last}, are kept as node {self.survivor} has them, "
                "though the lost nodes may have recorded others in their place"
            )
        if self.missing:
            lines.append(f"a majority had signed for {self.missing} entries: some of them are known to be missing")
        lines.append(f"of what was recorded after entry {self.committed}, only what node {self.survivor} had is left")
        if self.restored:
            lines.append(f"node {self.survivor} was restored from a copy: whatever was recorded after that is lost")
        return lines


def plan(
    before: Membership,
    survivor: int,
    *,
    last: int,
    committed: int,
    checkpoint: int,
    evidence: bytes,
    restored: bool = False,
) -> Recovery:
    """What the recovery of a cluster of these members will say. Raises ChangeRefused, CheckpointError."""
    members, lost = before.alone(survivor), _others(before, survivor)
    missing = read_note(evidence).size if evidence else 0
    return Recovery(members, survivor, lost, last, committed, checkpoint, missing, evidence, restored)


def recovery_of(fields: Mapping[str, Any]) -> Recovery:
    """Reads the public payload of a ClusterRecovered. Raises MembershipError."""
    try:
        return Recovery(
            membership_of(fields),
            typed(fields["survivor"], int),
            tuple(typed(node, int) for node in typed(fields["lost"], list)),
            typed(fields["last"], int),
            typed(fields["committed"], int),
            typed(fields["checkpoint"], int),
            typed(fields["missing"], int),
            typed(fields["evidence"], bytes),
            typed(fields.get("restored", False), bool),
        )
    except (KeyError, TypeError) as error:
        raise MembershipError(f"the recovery is malformed: {error!r}") from error


def contradictions(recovery: Recovery, before: Membership, index: int) -> list[str]:
    """What a recovery at entry `index` says that cannot be, given the members `before` it."""
    one = recovery
    unchanged = tuple(node for node in before.nodes if node.id == one.survivor)
    checks = [
        (one.survivor in before.conf.voters, f"node {one.survivor} was not a voter"),
        (len(before.conf.voters) > 1, "a cluster of one voter has nothing to be recovered from"),
        (one.members.nodes == unchanged, "the only member is not the survivor as it was"),
        (one.lost == _others(before, one.survivor), "the lost nodes are not the other members"),
        (one.members.highest_id >= before.highest_id, "the numbers of lost nodes could come back"),
        (one.last == index - 1, f"the log ended with entry {index - 1}, not {one.last}"),
        (0 <= one.checkpoint <= one.committed <= one.last, "checkpoint, committed and last entry are out of order"),
        (_agrees(one), "what is known to be missing is not what the evidence says"),
    ]
    return [problem for holds, problem in checks if not holds]


def nodes_in_words(numbers: Collection[int]) -> str:
    return f"node{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"


def _others(before: Membership, survivor: int) -> tuple[int, ...]:
    return tuple(sorted(node.id for node in before.nodes if node.id != survivor))


def _agrees(recovery: Recovery) -> bool:
    if not recovery.evidence:
        return recovery.missing == 0
    try:
        return read_note(recovery.evidence).size == recovery.missing > recovery.checkpoint
    except CheckpointError:
        return False
