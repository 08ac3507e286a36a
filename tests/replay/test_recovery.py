"""A recovered log: the audit passes and says so loudly; what is misstated, or of the lost log, is caught.

The log: ten entries, checkpoints of four and eight by a majority of nodes 1 to 3; node 1 recovers with entry 11 and
goes on to 14. The lost log: the same eight entries, then others, under a checkpoint of twelve.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ballot.ledger.entry import ZERO_HASH, Entry, encode_map, seal
from ballot.ledger.membership import Membership, membership_of
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.receipt import Receipt, ReceiptError, encode
from ballot.ledger.recovery import KIND, plan
from ballot.replay.audit import audit
from ballot.replay.cli import replay
from ballot.replay.export import CheckpointRecord, EndRecord, EntryRecord, Record, write_records
from ballot.replay.receipt import check_in_export
from ballot.replay.report import Level, Report
from tests.support.log_builder import START_US, STEP_US, genesis, sign_note

LAST, CERTAIN, END, LOST_SIZE = 10, 8, 14, 12
MAJORITY, ALONE = (0, 1), (0,)
Notes = dict[int, bytes]


def grow(entries: list[Entry], kind: str, public: dict[str, Any], term: int) -> None:
    index = len(entries) + 1
    entries.append(
        seal(
            prev_hash=entries[-1].hash if entries else ZERO_HASH,
            index=index,
            term=term,
            time_us=START_US + index * STEP_US,
            kind=kind,
            public=encode_map(public),
        )
    )


def register(entries: list[Entry], last: int, term: int, salt: bytes = b"u") -> list[Entry]:
    """People register up to entry `last`."""
    while len(entries) < last:
        grow(entries, "UserRegistered", {"user": salt * 15 + bytes([len(entries)])}, term)
    return entries


def before() -> list[Entry]:
    """The survivor's log."""
    entries: list[Entry] = []
    grow(entries, "Genesis", genesis().public, 0)
    grow(entries, "TermOpened", {"node": 2}, 1)
    return register(entries, LAST, 1)


@cache
def lost() -> tuple[Entry, ...]:
    """The log of the majority that is gone."""
    return tuple(register(before()[:CERTAIN], LOST_SIZE, 1, b"v"))


def members() -> Membership:
    return membership_of(genesis().public)


def tree_of(entries: Sequence[Entry]) -> Tree:
    tree = Tree()
    for entry in entries:
        tree.append(leaf_hash(entry.header))
    return tree


def evidence(cosigners: tuple[int, ...] = MAJORITY) -> bytes:
    return sign_note(tree_of(lost()), LOST_SIZE, cosigners)


def recovered(changes: dict[str, Any] | None = None, term: int = 2, proof: bytes = b"") -> list[Entry]:
    """The log with its recovery, which says something else by `changes`."""
    entries = before()
    said = plan(members(), 1, last=LAST, committed=9, checkpoint=CERTAIN, evidence=proof)
    grow(entries, KIND, said.to_fields() | (changes or {}), term)
    grow(entries, "TermOpened", {"node": 1}, 3)
    return register(entries, END, 3)


def export(entries: Sequence[Entry], notes: Notes | None = None) -> list[Record]:
    tree = tree_of(entries)
    signed = {4: MAJORITY, CERTAIN: MAJORITY, LAST + 2: ALONE, END: ALONE}
    stored = {size: sign_note(tree, size, by) for size, by in signed.items() if size <= tree.size} | (notes or {})
    records: list[Record] = []
    for entry in entries:
        records.append(EntryRecord(entry.header, entry.public))
        if entry.index in stored:
            records.append(CheckpointRecord(stored[entry.index]))
    return [*records, EndRecord(len(entries), len(entries))]


def run(records: list[Record]) -> Report:
    return audit(records, workers=1)


def names(report: Report) -> set[tuple[Level, str]]:
    return {(finding.level, finding.name) for finding in report.findings}


def test_a_recovered_log_passes_and_says_so() -> None:
    report = run(export(recovered()))
    assert report.passed, report.findings
    [found] = report.recoveries
    assert (found.index, found.survivor, found.lost) == (LAST + 1, 1, [2, 3])
    assert (found.last, found.committed, found.checkpoint, found.missing) == (LAST, 9, CERTAIN, 0)
    assert found.proven == CERTAIN


def test_a_checkpoint_of_the_lost_nodes_proves_what_is_missing() -> None:
    report = run(export(recovered(proof=evidence())))
    assert report.passed, report.findings
    assert report.recoveries[0].missing == LOST_SIZE
    assert "signed for 12 entries" in "\n".join(report.recoveries[0].detail)


def test_nobody_can_overlook_it(tmp_path: Path) -> None:
    file = tmp_path / "recovered.ballots"
    with file.open("wb") as stream:
        write_records(stream, export(recovered()))
    shown = CliRunner().invoke(replay, ["audit", str(file), "--workers", "1"])
    assert shown.exit_code == 0
    assert "NOTICE: the cluster was recovered at entry 11 from node 1 alone; nodes 2, 3 of 3 were lost" in shown.output
    assert "node 1 says: entries after 9, up to 10, are kept" in shown.output
    assert "a majority of the nodes before had signed for the first 8 entries" in shown.output
    assert "checkpoints from entry 11 on are signed by ballot.example/log/node1" in shown.output
    last = shown.output.splitlines()[-1]
    assert last.startswith("audit: PASS; but entries may be missing") and "entry 11" in last
    value = json.loads(CliRunner().invoke(replay, ["audit", str(file), "--json"]).output)
    assert value["passed"] is True
    assert value["recoveries"][0]["index"] == 11 and value["recoveries"][0]["lost"] == [2, 3]


def test_a_log_that_was_never_recovered_has_none() -> None:
    report = run(export(before(), {LAST: sign_note(tree_of(before()), LAST, MAJORITY)}))
    assert report.passed and report.recoveries == []
    assert report.to_json()["recoveries"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"survivor": 2},
        {"lost": [2]},
        {"last": LAST - 1},
        {"committed": LAST + 1},
        {"checkpoint": LAST},
        {"missing": 30},
        {"last_id": 0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_the_log_contradicts_is_caught(changes: dict[str, Any]) -> None:
    report = run(export(recovered(changes)))
    assert (Level.CHAIN, "RecoveryMisstated") in names(report), report.findings
    assert len(report.recoveries) == 1


def test_another_key_for_the_survivor_is_caught() -> None:
    nodes = members().without(2).without(1).to_fields()["nodes"]
    assert (Level.CHAIN, "RecoveryMisstated") in names(run(export(recovered({"nodes": nodes}))))


def test_a_recovery_opens_a_term_of_its_own() -> None:
    assert (Level.CHAIN, "RecoveryMisstated") in names(run(export(recovered(term=1))))


def test_a_malformed_recovery_is_caught() -> None:
    report = run(export(recovered({"lost": "both"})))
    assert (Level.STRUCTURE, "MalformedEvent") in names(report)


def test_forged_evidence_is_caught() -> None:
    report = run(export(recovered(proof=evidence(cosigners=(0,)))))
    assert names(report) == {(Level.SIGNATURES, "CheckpointSignature")}


def test_evidence_that_is_of_this_very_log_proves_nothing() -> None:
    entries = before()
    report = run(export(recovered({"checkpoint": 4}, proof=sign_note(tree_of(entries), 9, MAJORITY))))
    assert names(report) == {(Level.CHAIN, "RecoveryMisstated")}


def test_a_checkpoint_of_the_lost_log_fails_the_export() -> None:
    """Node 1 is among those that signed it, so its signatures would do; its root does not."""
    report = run(export(recovered(), {LOST_SIZE: evidence()}))
    assert names(report) == {(Level.CHAIN, "RootDiffers")}


def test_the_lost_nodes_sign_nothing_any_more() -> None:
    entries = recovered()
    report = run(export(entries, {END: sign_note(tree_of(entries), END, (1, 2))}))
    assert names(report) == {(Level.SIGNATURES, "CheckpointSignature")}


def test_before_the_recovery_a_majority_had_to_sign() -> None:
    entries = recovered()
    report = run(export(entries, {CERTAIN: sign_note(tree_of(entries), CERTAIN, ALONE)}))
    assert names(report) == {(Level.SIGNATURES, "CheckpointSignature")}


# -- receipts


def receipt(entries: Sequence[Entry], index: int, size: int, cosigners: tuple[int, ...] = MAJORITY) -> bytes:
    tree = tree_of(entries)
    proof = tuple(tree.inclusion_proof(index - 1, size))
    return encode(Receipt(index - 1, entries[index - 1].header, b"", proof, sign_note(tree, size, cosigners)))


def refusal(data: bytes, entries: Sequence[Entry]) -> str:
    with pytest.raises(ReceiptError) as error:
        check_in_export(data, export(entries))
    return str(error.value)


def test_receipts_from_before_and_after_the_recovery_are_good() -> None:
    entries = recovered()
    assert check_in_export(receipt(entries, 5, CERTAIN), export(entries)).published
    late = receipt(entries, 13, END, ALONE)
    assert check_in_export(late, export(entries), accepted={entries[LAST].hash}).published
    assert f"Accept that entry by its hash, {entries[LAST].hash.hex()}" in refusal(late, entries)
    with pytest.raises(ReceiptError, match="recovered at entry 11"):
        check_in_export(late, export(entries), accepted={entries[0].hash})


def test_the_hash_is_typed_as_the_audit_shows_it(tmp_path: Path) -> None:
    file, kept, entries = tmp_path / "recovered.ballots", tmp_path / "receipt", recovered()
    with file.open("wb") as stream:
        write_records(stream, export(entries))
    kept.write_bytes(receipt(entries, 13, END, ALONE))
    said = json.loads(CliRunner().invoke(replay, ["audit", str(file), "--json"]).output)["recoveries"][0]["hash"]
    arguments = ["receipt", str(kept), "--export", str(file)]
    assert CliRunner().invoke(replay, arguments).exit_code == 1
    assert CliRunner().invoke(replay, [*arguments, "--accept-recovery", said]).exit_code == 0
    assert CliRunner().invoke(replay, [*arguments, "--accept-recovery", "x"]).exit_code == 2


@pytest.mark.parametrize("index", [9, LOST_SIZE], ids=["replaced", "gone"])
def test_a_receipt_of_what_was_lost_is_not_called_bad(index: int) -> None:
    reason = refusal(receipt(lost(), index, LOST_SIZE), recovered())
    assert "The receipt is good" in reason and "the entry with it" in reason and "entry 11" in reason


def test_a_receipt_whose_entry_was_kept_says_so() -> None:
    reason = refusal(receipt(lost(), 5, LOST_SIZE), recovered())
    assert "but the entry is still there" in reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: refusal(receipt(lost(), 9, LOST_SIZE, ALONE), recovered()),
        lambda: refusal(receipt(lost(), 9, LOST_SIZE), before()),
    ],
    ids=["no majority signed it", "nothing was recovered"],
)
def test_other_receipts_of_another_log_are_no_better_for_a_recovery(make: Callable[[], str]) -> None:
    assert "good" not in make()
