"""A recovery from a single survivor: what it says is held against the log, and shown to whoever audits it."""

from __future__ import annotations

from ..ledger.checkpoint import CheckpointError, read_note
from ..ledger.entry import Entry
from ..ledger.membership import Membership, MembershipError
from ..ledger.recovery import Recovery, contradictions, nodes_in_words, recovery_of
from .report import Level, Recovered
from .scene import Scene
from .verify import check_note


def check_recovery(scene: Scene, entry: Entry, before: Entry | None, proven: int) -> None:
    """Called while `scene.membership` still is the list before; `proven` entries are under a good checkpoint of its."""
    place, members = scene.tree.size, scene.membership
    try:
        recovery = recovery_of(entry.fields)
    except MembershipError as error:
        scene.find(Level.STRUCTURE, "MalformedEvent", place, str(error))
        return
    if members is None or before is None:
        return  # What is missing before it was reported already.
    problems = contradictions(recovery, members, place)
    if entry.term <= before.term:
        problems.append("the recovery opens no new term")
    if recovery.evidence:
        scene.check(place, check_note, recovery.evidence, members.origin, members.members)
        if _leads_to(scene, recovery.evidence):
            problems.append("the log leads to the checkpoint that is said to prove that entries are missing")
    for problem in problems:
        scene.find(Level.CHAIN, "RecoveryMisstated", place, problem)
    scene.recoveries.append(_recovered(recovery, members, entry, proven))


def _leads_to(scene: Scene, note: bytes) -> bool:
    try:
        checkpoint = read_note(note)
    except CheckpointError:
        return False
    return 0 < checkpoint.size < scene.tree.size and scene.tree.root(checkpoint.size) == checkpoint.root


def _recovered(recovery: Recovery, before: Membership, entry: Entry, proven: int) -> Recovered:
    survivor, signers = recovery.survivor, ", ".join(member.name for member in recovery.members.members)
    detail = [
        f"the cluster was recovered at entry {entry.index} from node {survivor} alone; "
        f"{nodes_in_words(recovery.lost)} of {len(before.nodes)} were lost, and entries may be missing",
        *(f"node {survivor} says: {line}" for line in recovery.in_words()),
        f"proven here: a majority of the nodes before had signed for the first {proven} entries",
        f"checkpoints from entry {entry.index} on are signed by {signers}, and by nodes added since",
        f"the hash of entry {entry.index}, by which a voter accepts this or does not: {entry.hash.hex()}",
    ]
    return Recovered(
        index=entry.index,
        hash=entry.hash.hex(),
        time_us=entry.time_us,
        survivor=survivor,
        lost=list(recovery.lost),
        last=recovery.last,
        committed=recovery.committed,
        checkpoint=recovery.checkpoint,
        missing=recovery.missing,
        proven=proven,
        detail=detail,
    )
