"""Receipts, checked with nothing but a genesis file or an export."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ballot.ledger import receipt as receipts
from ballot.ledger.entry import Entry
from ballot.ledger.frame import frame
from ballot.ledger.receipt import ReceiptError
from ballot.replay.export import Record
from ballot.replay.receipt import check_in_export, check_receipt, pinned
from tests.support.attacks import dropped, fork
from tests.support.log_builder import ElectionLog, sign_note

Remake = Callable[[receipts.Receipt], receipts.Receipt]


@pytest.fixture(scope="module")
def receipt(log: ElectionLog, place: int) -> bytes:
    return log.receipt(place, place + 1)


def test_a_receipt_proves_place_and_ballot(log: ElectionLog, genesis: Entry, place: int, receipt: bytes) -> None:
    confirmed = check_receipt(receipt, genesis, log.bodies[0])
    assert (confirmed.index, confirmed.kind, confirmed.size) == (place + 1, "BallotCast", place + 1)
    assert confirmed.committed and not confirmed.published
    assert confirmed.time_us == log.entries[place].time_us


def test_without_the_ballot_only_the_place_is_proven(genesis: Entry, receipt: bytes) -> None:
    assert check_receipt(receipt, genesis).committed is None


def test_an_export_shows_that_the_same_log_was_published(log: ElectionLog, receipt: bytes) -> None:
    confirmed = check_in_export(receipt, log.records(), log.bodies[0], log.entries[0].hash)
    assert confirmed.committed and confirmed.published


def test_another_ballot_is_not_the_recorded_one(log: ElectionLog, genesis: Entry, receipt: bytes) -> None:
    with pytest.raises(ReceiptError, match="not this one"):
        check_receipt(receipt, genesis, log.bodies[1])


def test_a_receipt_of_something_else_holds_no_ballot(log: ElectionLog, genesis: Entry) -> None:
    other = log.receipt(log.find("ElectionClosed"))
    assert check_receipt(other, genesis).kind == "ElectionClosed"
    with pytest.raises(ReceiptError, match="not this one"):
        check_receipt(other, genesis, log.bodies[0])


@pytest.mark.parametrize(
    "remake",
    [
        lambda receipt: replace(receipt, index=receipt.index + 1),
        lambda receipt: replace(receipt, proof=receipt.proof[:-1]),
        lambda receipt: replace(receipt, proof=(bytes(32), *receipt.proof[1:])),
        lambda receipt: replace(receipt, header=receipt.header[:-1] + b"\0"),
        lambda receipt: replace(receipt, salt=bytes(32)),
        lambda receipt: replace(receipt, salt=b""),
    ],
    ids=["index", "proof-short", "proof-wrong", "header", "salt", "no-salt"],
)
def test_a_receipt_with_another_field_is_refused(
    remake: Remake, log: ElectionLog, genesis: Entry, receipt: bytes
) -> None:
    changed = receipts.encode(remake(receipts.parse(receipt)))
    with pytest.raises(ReceiptError):
        check_receipt(changed, genesis, log.bodies[0])
    with pytest.raises(ReceiptError):
        check_in_export(changed, log.records(), log.bodies[0])


def test_a_minority_cannot_give_receipts(log: ElectionLog, genesis: Entry, place: int, receipt: bytes) -> None:
    lone = replace(receipts.parse(receipt), note=sign_note(log.sealer.tree, place + 1, cosigners=(0,)))
    with pytest.raises(ReceiptError, match="no majority"):
        check_receipt(receipts.encode(lone), genesis)


def test_an_export_of_another_log_is_told_from_the_receipts(log: ElectionLog, receipt: bytes) -> None:
    for records, reason in ((fork(log), "another one"), (dropped(log), "another one")):
        with pytest.raises(ReceiptError, match=reason):
            check_in_export(receipt, records)


def test_a_log_that_differs_elsewhere_has_another_root(log: ElectionLog, place: int) -> None:
    """The entry itself is there; what the majority signed around it is not."""
    records: list[Record] = fork(log)
    early = log.receipt(1, place + 1)
    with pytest.raises(ReceiptError, match="two logs"):
        check_in_export(early, records)


def test_an_export_that_is_too_short_says_nothing(log: ElectionLog) -> None:
    with pytest.raises(ReceiptError, match="ends at entry"):
        check_in_export(log.receipt(log.find("BallotCast")), log.records()[:-4])


def test_an_export_can_be_pinned_too(log: ElectionLog, receipt: bytes) -> None:
    with pytest.raises(ReceiptError, match="another genesis"):
        check_in_export(receipt, log.records(), genesis_hash=bytes(32))


def test_a_genesis_file_is_read(log: ElectionLog) -> None:
    first, second = log.entries[:2]
    assert pinned(frame("genesis-file", first.header, first.public)).hash == first.hash
    with pytest.raises(ReceiptError, match="another entry"):
        pinned(frame("genesis-file", second.header, second.public))
    for data in (b"", frame("genesis-file", first.header, b"")):
        with pytest.raises(ReceiptError, match="not a genesis file"):
            pinned(data)
