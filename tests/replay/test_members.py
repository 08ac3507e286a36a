"""Members change inside an export: audit and receipt check see that each change was signed for, or say that not."""

from typing import Any

import pytest

from ballot.ledger.checkpoint import Checkpoint
from ballot.ledger.receipt import Receipt, ReceiptError, encode
from ballot.ledger.succession import handover_fields
from ballot.replay.audit import audit
from ballot.replay.export import Record
from ballot.replay.receipt import check_in_export, check_receipt
from tests.support.attacks.members import PLACE, changed, with_node
from tests.support.log_builder import (
    ORIGIN,
    Draft,
    ElectionLog,
    Sealer,
    records_of,
    sign_note,
    sign_point,
)
from tests.support.registrar import MemoryCluster


def findings(records: list[Record]) -> list[tuple[str, str, int]]:
    return [(one.level.name.lower(), one.name, one.index) for one in audit(records, workers=1).findings]


BAD = [("signatures", "NotHandedOver", PLACE + 2)]


def test_a_change_that_the_members_before_signed_for_passes(log: ElectionLog) -> None:
    assert findings(records_of(changed(log, with_node(log, 4)).entries)) == []


def test_a_change_that_nobody_signed_for_is_found(log: ElectionLog) -> None:
    spoilt: dict[str, Any]
    for spoilt in (
        {"note": b"no note"},
        {"cosigners": (0,)},
        {"before": 2},
        {"announced": 2 << 40},
        {"note": sign_point(Checkpoint(ORIGIN, PLACE + 1, bytes(32)), (0, 1))},
    ):
        assert findings(records_of(changed(log, with_node(log, 4), **spoilt).entries)) == BAD, spoilt
    other = changed(log, with_node(log, 4), told=with_node(log, 5))
    assert findings(records_of(other.entries)) == BAD


def test_an_announcement_that_was_passed_over_counts_no_more(log: ElectionLog) -> None:
    """Made for the founders, it cannot put anybody in force after others."""
    sealer = changed(log, with_node(log, 4))
    after = with_node(log, 4).without(4)
    fields = handover_fields(PLACE + 2, PLACE + 1, sign_note(sealer.tree, sealer.tree.size))
    sealer.append(Draft("NodeRemoved", after.to_fields() | fields))
    assert ("signatures", "NotHandedOver", sealer.tree.size) in findings(records_of(sealer.entries))


def receipt_of(sealer: Sealer, index: int, size: int) -> bytes:
    entry, tree = sealer.entries[index - 1], sealer.tree
    return encode(
        Receipt(
            index - 1, entry.header, entry.salt, tuple(tree.inclusion_proof(index - 1, size)), sign_note(tree, size)
        )
    )


def test_a_receipt_is_checked_under_the_members_that_the_export_hands_over_to(log: ElectionLog) -> None:
    good = changed(log, with_node(log, 4))
    cast = 1 + next(place for place, entry in enumerate(good.entries) if entry.kind == "BallotCast")
    text = receipt_of(good, cast, cast + 1)
    assert check_in_export(text, records_of(good.entries)).index == cast
    bad = changed(log, with_node(log, 4), cosigners=(0,))
    with pytest.raises(ReceiptError, match="did not sign for it"):
        check_in_export(receipt_of(bad, cast, cast + 1), records_of(bad.entries))


def test_without_an_export_only_the_founders_receipts_can_be_checked() -> None:
    cluster = MemoryCluster()
    for old, new in ((1, 4), (2, 5)):
        cluster.replace(old, new)
    text = cluster.receipt(cluster.append("BallotCast", {}, b"a ballot").index)
    with pytest.raises(ReceiptError, match="no majority"):
        check_receipt(text, cluster.genesis)


def test_a_recovery_is_followed_only_by_its_hash() -> None:
    cluster = MemoryCluster()
    entry = cluster.recover(3)
    index = cluster.append("BallotCast", {}, b"a ballot").index
    text, records = cluster.receipt(index), cluster.records()
    with pytest.raises(ReceiptError, match="the cluster was recovered at entry 2"):
        check_in_export(text, records)
    assert check_in_export(text, records, accepted={entry.hash}).index == index
