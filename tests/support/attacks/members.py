"""Attacks by those who run the nodes: who signs for the log, in which term, at which time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ballot.ledger.checkpoint import Checkpoint
from ballot.ledger.membership import ANNOUNCED, Membership, NodeRecord, membership_of
from ballot.ledger.recovery import KIND as RECOVERED
from ballot.ledger.recovery import plan
from ballot.ledger.succession import handover_fields
from ballot.replay.export import Record
from tests.support.attacks.base import Attack, Make, OddSealer, inserted, sealed_oddly
from tests.support.log_builder import (
    ORIGIN,
    SIGNING,
    Draft,
    ElectionLog,
    Sealer,
    modulus,
    records_of,
    seal_drafts,
    sign_note,
    sign_point,
)

PLACE = 5


def founders(log: ElectionLog) -> Membership:
    return membership_of(log.drafts[0].public)


def with_node(log: ElectionLog, number: int) -> Membership:
    """The founders and one who listens."""
    node = NodeRecord(number, f"{ORIGIN}/node{number}", bytes([number]) * 32, modulus(f"node{number}"))
    return founders(log).with_learner(node)


def changed(
    log: ElectionLog,
    after: Membership,
    *,
    told: Membership | None = None,
    cosigners: tuple[int, ...] = (0, 1),
    **handover: Any,
) -> Sealer:
    """The election's log with a change of members early in it, which each argument spoils in a way of its own."""
    sealer = Sealer()
    for draft in log.drafts[:PLACE]:
        sealer.append(draft)
    announcement = sealer.append(Draft(ANNOUNCED, (told or after).to_fields() | {"before": 1}))
    fields = handover_fields(1, announcement.index, sign_note(sealer.tree, sealer.tree.size, cosigners)) | handover
    sealer.append(Draft("NodeAdded", after.to_fields() | fields))
    for draft in log.drafts[PLACE:]:
        sealer.append(draft)
    return sealer


def change(told: int = 4, **spoilt: Any) -> Make:
    """Node 4 is added, while node `told` was announced."""
    return lambda log: records_of(changed(log, with_node(log, 4), told=with_node(log, told), **spoilt).entries)


def replayed_handover(log: ElectionLog) -> list[Record]:
    """What put node 4 in force is used again, to put the founders back."""
    sealer = changed(log, with_node(log, 4))
    fields = handover_fields(PLACE + 2, PLACE + 1, sign_note(sealer.tree, PLACE + 1))
    sealer.append(Draft("NodeRemoved", with_node(log, 4).without(4).to_fields() | fields))
    return records_of(sealer.entries)


def renamed_log(log: ElectionLog) -> list[Record]:
    """A change of members gives the log another name."""
    return records_of(changed(log, replace(with_node(log, 4), origin="ballot.example/other")).entries)


# -- recovery


def recovered(log: ElectionLog, term: int = 2, evidence: bytes = b"", **changes: Any) -> list[Record]:
    """Node 1 goes on alone early in the log, and says so as the arguments have it."""
    said = plan(founders(log), 1, last=PLACE, committed=PLACE, checkpoint=4, evidence=evidence)
    drafts = [draft for draft in log.drafts if draft.public.get("node", 1) == 1]  # Nobody else is left to attest.
    drafts = inserted(drafts, PLACE, [Draft(RECOVERED, said.to_fields() | changes)])
    sealer = OddSealer(start=PLACE + 1, odd=(term, 0))
    for draft in drafts:
        sealer.append(draft)
    return records_of(sealer.entries)


def recovery(**changes: Any) -> Make:
    return lambda log: recovered(log, **changes)


def with_evidence(size: int, cosigners: tuple[int, ...], own: bool) -> Make:
    """A checkpoint is said to prove that entries are missing; `own`: it is one of this very log."""

    def make(log: ElectionLog) -> list[Record]:
        root = log.sealer.tree.root(size) if own else bytes(32)
        return recovered(log, evidence=sign_point(Checkpoint(ORIGIN, size, root), cosigners))

    return make


# -- the entries' own order, and the nodes' keys


def odd(start: int, term: int, steps_us: int) -> Make:
    return lambda log: sealed_oddly(log.drafts, start, (term, steps_us))


def with_third_node(**changes: Any) -> Make:
    """The genesis names another third node."""

    def make(log: ElectionLog) -> list[Record]:
        fields: dict[str, Any] = dict(log.drafts[0].public)
        fields["nodes"] = [*fields["nodes"][:2], fields["nodes"][2] | changes]
        return seal_drafts([replace(log.drafts[0], public=fields), *log.drafts[1:]])

    return make


def weak_modulus() -> bytes:
    """3072 bits, odd, and a multiple of 3."""
    return (3 * ((1 << 3070) + 1)).to_bytes(384, "big")


def unsigned(make: Make) -> Attack:
    return Attack("signatures", "NotHandedOver", make, PLACE + 2)


def misstated(make: Make) -> Attack:
    return Attack("chain", "RecoveryMisstated", make, PLACE + 1)


MEMBERS: dict[str, Attack] = {
    "nobody signed for new members": unsigned(change(note=b"no note")),
    "a minority signed for new members": unsigned(change(cosigners=(0,))),
    "new members replace others than those in force": unsigned(change(before=2)),
    "new members were never announced": unsigned(change(announced=2)),
    "other members were announced than are put in force": unsigned(change(told=5)),
    "the old members signed another log": unsigned(
        change(note=sign_point(Checkpoint(ORIGIN, PLACE + 1, bytes(32)), (0, 1)))
    ),
    "a change of members renames the log": unsigned(renamed_log),
    "an old announcement is used again": Attack("signatures", "NotHandedOver", replayed_handover, at="NodeRemoved"),
    "a recovery names another survivor": misstated(recovery(survivor=2)),
    "a recovery conceals a lost node": misstated(recovery(lost=[2])),
    "a recovery misstates the end of the log": misstated(recovery(last=PLACE - 1)),
    "a recovery claims what nobody signed for": misstated(recovery(missing=30)),
    "a recovery hides in an old term": misstated(recovery(term=1)),
    "a recovery's evidence is of this very log": misstated(with_evidence(5, (0, 1), own=True)),
    "a recovery's evidence is forged": Attack(
        "signatures", "CheckpointSignature", with_evidence(30, (0,), own=False), PLACE + 1
    ),
    "a recovery is malformed": Attack("structure", "MalformedEvent", recovery(lost="both"), PLACE + 1),
    "the term falls": Attack("chain", "ChainBroken", odd(20, 0, 0), 20),
    "time runs backwards": Attack("chain", "ChainBroken", odd(20, 1, -5_000_000), 20),
    "two nodes share a key": Attack(
        "structure", "MalformedEntry", with_third_node(ed25519=SIGNING[1].public_key().public_bytes_raw()), 1
    ),
    "a node signs with the registrar's key": Attack(
        "signatures", "KeyReused", with_third_node(rsa=modulus("registrar")), at="ElectionOpened"
    ),
    "a node's key is weak": Attack("signatures", "WeakKey", with_third_node(rsa=weak_modulus()), 1),
}
