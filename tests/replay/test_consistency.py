"""Receipts held against checkpoints of another time: every way to fail has its name."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ballot.ledger import receipt as receipts
from ballot.ledger.checkpoint import read_note
from ballot.ledger.entry import Entry
from ballot.ledger.frame import frame
from ballot.ledger.merkle import leaf_hash
from ballot.ledger.receipt import ReceiptError
from ballot.replay.cli import replay
from ballot.replay.consistency import Older, read_older, read_proof
from ballot.replay.export import Record, write_records
from ballot.replay.receipt import check_in_export, check_receipt
from tests.client.test_voter import ANSWERS, Scene, run
from tests.support.log_builder import ElectionLog, Sealer, records_of, sign_note


@pytest.fixture(scope="module")
def other(log: ElectionLog) -> Sealer:
    """What the same majority signed for others to see: another role early on, the rest alike."""
    drafts = list(log.drafts)
    drafts[3] = drafts[3].but(role="admin")
    sealer = Sealer()
    for draft in drafts:
        sealer.append(draft)
    return sealer


def receipt_of(sealer: Sealer, place: int, size: int) -> bytes:
    entry = sealer.entries[place]
    proof = tuple(sealer.tree.inclusion_proof(place, size))
    return receipts.encode(receipts.Receipt(place, entry.header, entry.salt, proof, sign_note(sealer.tree, size)))


def consistency(log: ElectionLog, old: int, new: int) -> tuple[bytes, ...]:
    return tuple(log.sealer.tree.consistency_proof(old, new))


def failure(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ReceiptError) as caught:
        check_receipt(*arguments, **options)
    assert str(caught.value)
    return caught.value.name


SIZES = [(5, 24), (24, 24), (28, 24), (1, 34)]


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_a_proof_shows_that_an_older_or_newer_checkpoint_is_of_the_same_log(
    log: ElectionLog, genesis: Entry, place: int, old: int, new: int
) -> None:
    proof = consistency(log, *sorted((old, new)))
    older = read_older(sign_note(log.sealer.tree, old)).proven_by(proof)
    confirmed = check_receipt(log.receipt(place, new), genesis, log.bodies[0], older)
    assert (confirmed.size, confirmed.consistent) == (new, old)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_an_export_shows_it_without_a_proof(log: ElectionLog, place: int, old: int, new: int) -> None:
    older = read_older(sign_note(log.sealer.tree, old))
    assert check_in_export(log.receipt(place, new), log.records(), log.bodies[0], older=older).consistent == old


def test_without_proof_and_export_nothing_is_claimed(log: ElectionLog, genesis: Entry, place: int) -> None:
    older = read_older(sign_note(log.sealer.tree, 5))
    assert failure(log.receipt(place, 24), genesis, older=older) == "ProofMissing"


def test_a_proof_that_leads_elsewhere_is_refused(log: ElectionLog, other: Sealer, genesis: Entry, place: int) -> None:
    receipt, older = log.receipt(place, 24), read_older(sign_note(log.sealer.tree, 5))
    proof = consistency(log, 5, 24)
    for wrong in (proof[:-1], (*proof, bytes(32)), (bytes(32), *proof[1:]), consistency(log, 6, 24), ()):
        assert failure(receipt, genesis, older=older.proven_by(wrong)) == "ConsistencyNotProven"
    forked = read_older(sign_note(other.tree, 5)).proven_by(proof)
    assert failure(receipt, genesis, older=forked) == "ConsistencyNotProven"


def test_two_roots_of_one_size_are_two_logs(log: ElectionLog, other: Sealer, genesis: Entry, place: int) -> None:
    older = read_older(sign_note(other.tree, 24))
    assert failure(log.receipt(place, 24), genesis, older=older) == "TwoLogs"


def test_an_export_that_does_not_lead_to_the_older_root_shows_two_logs(
    log: ElectionLog, other: Sealer, place: int
) -> None:
    with pytest.raises(ReceiptError) as caught:
        check_in_export(log.receipt(place, 24), log.records(), older=read_older(sign_note(other.tree, 5)))
    assert caught.value.name == "TwoLogs"


def test_an_export_that_ends_before_the_other_checkpoint_says_nothing_of_it(log: ElectionLog, place: int) -> None:
    older = read_older(sign_note(log.sealer.tree, 30))
    with pytest.raises(ReceiptError) as caught:
        check_in_export(log.receipt(place, 24), records_of(log.entries[:26]), older=older)
    assert caught.value.name == "ExportTooShort"


def test_the_other_checkpoint_is_signed_by_a_majority_too(log: ElectionLog, genesis: Entry, place: int) -> None:
    lone = read_older(sign_note(log.sealer.tree, 24, cosigners=(0,)))
    assert failure(log.receipt(place, 24), genesis, older=lone) == "OlderNotSigned"


def test_ones_own_record_of_a_checkpoint_needs_no_signature(log: ElectionLog, genesis: Entry, place: int) -> None:
    """What a voter's program keeps: three lines that it believed once."""
    body = read_note(sign_note(log.sealer.tree, 5)).body()
    older = read_older(body).proven_by(consistency(log, 5, 24))
    assert older.note == b""
    assert check_receipt(log.receipt(place, 24), genesis, older=older).consistent == 5
    elsewhere = Older(replace(older.checkpoint, origin="ballot.example/other"))
    assert failure(log.receipt(place, 24), genesis, older=elsewhere) == "OtherLog"


# -- two receipts


def test_two_receipts_of_one_log_agree(log: ElectionLog, genesis: Entry, place: int) -> None:
    older = read_older(log.receipt(place + 1, 23)).proven_by(consistency(log, 23, 24))
    assert check_receipt(log.receipt(place, 24), genesis, older=older).consistent == 23


def test_two_receipts_for_one_place_with_different_entries_prove_two_logs_by_themselves(
    log: ElectionLog, other: Sealer, genesis: Entry, place: int
) -> None:
    """Whatever their sizes, and with no proof from anybody."""
    for size in (23, 24, 28):
        older = read_older(receipt_of(other, place, size))
        assert failure(log.receipt(place, 24), genesis, older=older) == "ReceiptsClash"


def test_a_forged_receipt_makes_no_clash(log: ElectionLog, other: Sealer, genesis: Entry, place: int) -> None:
    """Else anybody could accuse the nodes with a receipt of their own making."""
    good = receipts.parse(receipt_of(other, place, 24))
    lone = replace(good, note=sign_note(other.tree, 24, cosigners=(2,)))
    spoilt = replace(good, header=log.entries[place - 1].header)
    mine = log.receipt(place, 24)
    assert failure(mine, genesis, older=read_older(receipts.encode(lone))) == "OlderNotSigned"
    assert failure(mine, genesis, older=read_older(receipts.encode(spoilt))) == "NotIncluded"


def test_a_receipt_shown_to_two_voters_is_that_of_one_of_them(log: ElectionLog, genesis: Entry, place: int) -> None:
    """Each checks it with the own ballot, and no two ballots have one commitment."""
    receipt = log.receipt(place, 24)
    assert check_receipt(receipt, genesis, log.bodies[0]).committed
    for body in log.bodies[1:]:
        assert failure(receipt, genesis, body) == "OtherBallot"


# -- names


def test_every_way_to_fail_has_a_name(log: ElectionLog, genesis: Entry, place: int) -> None:
    good = receipts.parse(log.receipt(place, 24))

    def name(body: bytes | None = None, **changes: Any) -> str:
        return failure(receipts.encode(replace(good, **changes)), genesis, body)

    assert failure(b"nothing", genesis) == "MalformedReceipt"
    assert name(note=sign_note(log.sealer.tree, 24, cosigners=(0,))) == "CheckpointNotSigned"
    assert name(note=b"no note\n\nat all") == "CheckpointNotSigned"
    assert name(proof=good.proof[1:]) == "NotIncluded"
    assert name(header=log.entries[3].header) == "NotIncluded"
    assert name(log.bodies[1]) == "OtherBallot"
    assert name(log.bodies[0], salt=bytes(32)) == "OtherBallot"
    closed = log.receipt(log.find("ElectionClosed"))
    assert failure(closed, genesis, log.bodies[0]) == "OtherBallot"


def test_a_header_of_another_place_is_refused(genesis: Entry, log: ElectionLog) -> None:
    """A log whose nodes put an entry where its header does not say it is."""
    sealer = Sealer()
    for draft in log.drafts[:6]:
        sealer.append(draft)
    misplaced = log.entries[8]
    sealer.entries.append(misplaced)

    sealer.tree.append(leaf_hash(misplaced.header))
    assert failure(receipt_of(sealer, 6, 7), genesis) == "WrongPlace"


def in_export(receipt: bytes, records: list[Record], **options: Any) -> str:
    with pytest.raises(ReceiptError) as caught:
        check_in_export(receipt, records, **options)
    return caught.value.name


def test_every_way_an_export_can_differ_has_a_name(log: ElectionLog, other: Sealer, place: int) -> None:
    receipt = log.receipt(place, 24)
    assert in_export(receipt, log.records(), genesis_hash=bytes(32)) == "OtherLog"
    assert in_export(receipt, records_of(log.entries[:23])) == "ExportTooShort"
    assert in_export(receipt, records_of(other.entries)) == "EntryDiffers"
    assert in_export(log.receipt(1, 24), records_of(other.entries)) == "TwoLogs"


@pytest.mark.parametrize("data", [b"", b"no\nnote\n", b"c2sp.org/tlog-proof@v1\n", b"a\n\nb"])
def test_what_is_no_checkpoint_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ReceiptError) as caught:
        read_older(data)
    assert caught.value.name == "MalformedCheckpoint"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"proof": 1}', b'{"proof": ["!"]}', b'{"proof": ["AAAA"]}', b'{"a": []}']
)
def test_what_is_no_proof_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ReceiptError) as caught:
        read_proof(data)
    assert caught.value.name == "MalformedProof"


# -- as it is typed


class Desk:
    """Files of a voter."""

    def __init__(self, log: ElectionLog, folder: Path) -> None:
        self.folder = folder
        first = log.entries[0]
        self.genesis = self.put("genesis", frame("genesis-file", first.header, first.public))
        self.receipt = self.put("receipt", log.receipt(log.find("BallotCast"), 24))
        self.older = self.put("older", sign_note(log.sealer.tree, 5))
        proof = [urlsafe_b64encode(node).rstrip(b"=").decode() for node in consistency(log, 5, 24)]
        self.proof = self.put("proof", json.dumps({"proof": proof, "members": 1}).encode())
        self.export = folder / "export"
        with self.export.open("wb") as stream:
            write_records(stream, log.records())

    def put(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def check(self, *options: str | Path) -> tuple[int, str]:
        result = CliRunner().invoke(replay, ["receipt", *map(str, options)])
        return result.exit_code, result.output


@pytest.fixture
def desk(log: ElectionLog, tmp_path: Path) -> Iterator[Desk]:
    yield Desk(log, tmp_path)


def test_the_command_checks_against_an_older_checkpoint_offline(desk: Desk) -> None:
    against = (desk.receipt, "--checkpoint", desk.older)
    status, text = desk.check(*against, "--genesis", desk.genesis, "--consistency", desk.proof)
    assert status == 0 and "the log is the same as that of the other checkpoint, of 5 entries" in text
    status, text = desk.check(*against, "--export", desk.export, "--json")
    assert status == 0 and json.loads(text)["consistent"] == 5


def test_the_command_fails_by_name(desk: Desk, other: Sealer, place: int) -> None:
    status, text = desk.check(desk.receipt, "--checkpoint", desk.older, "--genesis", desk.genesis)
    assert status == 1 and text.startswith("Error: ProofMissing: ")
    clash = desk.put("clash", receipt_of(other, place, 28))
    status, text = desk.check(desk.receipt, "--checkpoint", clash, "--genesis", desk.genesis, "--json")
    assert status == 1
    assert (json.loads(text)["valid"], json.loads(text)["name"]) == (False, "ReceiptsClash")


def test_the_voters_own_record_is_checked_in_full_without_anybody(tmp_path: Path) -> None:
    """Ballot, inclusion, signatures, and that the log continues what was seen before: all in one file."""
    scene = Scene()
    scene.cluster.open()

    async def vote() -> str:
        election = await scene.ready()
        scene.cluster.append("PasswordChanged", {"user": bytes(16)})
        scene.voter.fill_in(election, ANSWERS)
        await scene.voter.accept(election, await scene.cast(election))
        return election.eid.hex()

    record = scene.store.load(run(vote()))
    assert record is not None
    first = scene.cluster.genesis
    genesis, wallet = tmp_path / "genesis", tmp_path / "wallet.json"
    genesis.write_bytes(frame("genesis-file", first.header, first.public))
    wallet.write_bytes(record)
    done = CliRunner().invoke(replay, ["receipt", str(wallet), "--genesis", str(genesis), "--json"])
    confirmed = json.loads(done.output)
    assert done.exit_code == 0, confirmed
    assert (confirmed["committed"], confirmed["size"], confirmed["consistent"]) == (True, 4, 2)
    fields = json.loads(record)
    wallet.write_text(json.dumps(fields | {"consistency": fields["consistency"][1:]}))
    done = CliRunner().invoke(replay, ["receipt", str(wallet), "--genesis", str(genesis), "--json"])
    assert (done.exit_code, json.loads(done.output)["name"]) == (1, "ConsistencyNotProven")
