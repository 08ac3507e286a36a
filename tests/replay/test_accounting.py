"""The accounting at every checkpoint, the end of claims, and the proof that a registrar minted."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ballot.replay.audit import audit
from ballot.replay.cli import replay
from ballot.replay.export import EntryRecord, Record, write_records
from ballot.replay.report import ElectionReport, Report
from ballot.replay.series import BLOCK_ROWS, COLUMNS, Row, Series
from ballot.voting.choice import encode_choice
from tests.support.attacks import edit, with_board
from tests.support.insiders import minted
from tests.support.log_builder import (
    ANSWERS,
    VOTERS,
    Draft,
    ElectionLog,
    Voter,
    claim,
    make_body,
    make_credential,
    records_of,
    seal_drafts,
)

WINDOW_S = 6


def run(records: Sequence[Record]) -> Report:
    return audit(records, workers=1)


def only(report: Report) -> ElectionReport:
    (election,) = report.elections
    return election


def names(report: Report) -> set[str]:
    return {finding.name for finding in report.findings}


@cache
def log_with_window() -> ElectionLog:
    return ElectionLog(claims_s=WINDOW_S)


# -- at each checkpoint


def test_the_accounting_is_there_at_every_checkpoint_where_it_changed(log: ElectionLog) -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in only(run(log.records())).series]
    kinds = [draft.kind for draft in log.drafts]
    assert [row["size"] for row in rows] == [16, 20, 24, 28, 32]
    for row in rows:
        seen = kinds[: row["size"]]
        assert row["roll"] == 5
        assert row["issued"] == seen.count("CredentialIssued")
        assert row["cast"] == seen.count("BallotCast")
        boards = [draft.public.get("ballots", []) for draft in log.drafts[: row["size"]]]
        assert row["published"] == sum(map(len, boards))
        assert row["unused"] == seen.count("CredentialUnused")
        assert row["silent"] == row["issued"] - row["cast"] - row["unused"]
        assert (row["valid"], row["invalid"]) == ((2, 1) if "TallyPublished" in seen else (0, 0))


def test_a_shorter_log_has_the_same_series_up_to_its_end(log: ElectionLog) -> None:
    """So the numbers at a checkpoint are those that an audit of the log up to there finds."""
    whole = list(only(run(log.records())).series)
    for size in range(16, len(log.entries)):
        shorter = only(run(records_of(log.entries[:size])))
        rows = list(shorter.series)
        before = [row for row in whole if row[0] <= size]
        assert rows[: len(before)] == before
        now = shorter.accounting
        assert rows[-1][1:5] == (now.roll, now.issued, now.cast, now.published)
        assert rows[-1][7:] == (now.unused, now.silent)


rows = st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 8), max_size=20)


@given(rows, st.integers(1, 300))
def test_a_series_gives_back_what_changed(numbers: list[tuple[int, ...]], times: int) -> None:
    series, expected, last = Series(), list[Row](), None
    for size, row in enumerate(numbers * times, 1):
        series.note((size, *row))
        if row != last:
            expected.append((size, *row))
        last = row
    assert list(series) == expected
    assert list(series) == expected, "and again"


def test_the_series_of_a_million_checkpoints_takes_a_few_megabytes() -> None:
    series = Series()
    for size in range(100_000):
        series.note((3 * size, 100_000, size, size // 2, 0, 0, 0, 0, size - size // 2))
    packed = sum(map(len, series._blocks))
    assert packed < 400_000
    assert len(series._rows) < BLOCK_ROWS
    assert sum(1 for _ in series) == 100_000


# -- claims


def test_a_log_with_an_end_of_claims_passes(log: ElectionLog) -> None:
    made = log_with_window()
    close = made.entries[made.find("ElectionClosed")]
    assert made.drafts[made.find("ElectionClosed")].public["claims_until_us"] == close.time_us + WINDOW_S * 1_000_000
    assert run(made.records()).findings == []


def test_a_close_that_states_another_end_of_claims_is_found() -> None:
    made = log_with_window()
    assert names(run(edit("ElectionClosed", 0, claims_until_us=1)(made))) == {"ClaimsEndDiffers"}
    place = made.find("ElectionClosed")
    closed = {name: value for name, value in made.drafts[place].public.items() if name != "claims_until_us"}
    drafts = [*made.drafts[:place], Draft("ElectionClosed", closed), *made.drafts[place + 1 :]]
    assert names(run(seal_drafts(drafts))) == {"ClaimsEndDiffers"}


def test_a_claim_after_the_end_is_found() -> None:
    made = log_with_window()
    drafts = [draft for draft in made.drafts if draft.kind != "CredentialUnused"]
    late = claim(made.eid, VOTERS[3], made.credentials[3])
    report = run(seal_drafts([*drafts, late]))
    assert [(finding.name, finding.index) for finding in report.findings] == [("ClaimedTooLate", len(drafts) + 1)]


def test_a_claim_before_the_close_or_a_second_one_is_found(log: ElectionLog) -> None:
    place, drafts = log.find("CredentialUnused"), log.drafts
    twice = run(seal_drafts([*drafts[: place + 1], *drafts[place:]]))
    assert [(finding.name, finding.index) for finding in twice.findings] == [("ClaimedTwice", place + 2)]
    assert only(twice).accounting.unused == 1
    opened = log.find("ElectionClosed")
    early = run(seal_drafts([*drafts[:opened], drafts[place], *drafts[opened:place], *drafts[place + 1 :]]))
    assert [(finding.name, finding.index) for finding in early.findings] == [("ClaimedTooEarly", opened + 1)]


# -- minting


def test_ballots_and_claims_above_what_was_issued_prove_that_the_registrar_minted(log: ElectionLog) -> None:
    """The registrar's own key signs a fifth credential, and a ballot is cast with it; then a silent voter claims."""
    report = run(minted(log))
    (finding,) = [finding for finding in report.findings if finding.name == "CredentialsMinted"]
    assert finding.detail == "4 ballots and 1 unused credentials, 4 were issued: the registrar minted 1"
    minting = only(report).minting
    assert minting is not None and minting.index == finding.index
    assert (minting.ballots, minting.unused, minting.issued, minting.excess) == (4, 1, 4, 1)
    assert only(report).accounting.silent == -1


def test_without_the_claim_minting_shows_only_as_fewer_silent(log: ElectionLog) -> None:
    """What the caveat says: the audit cannot tell a minted ballot from that of a voter who said nothing."""
    records = minted(replace_drafts(log, [draft for draft in log.drafts if draft.kind != "CredentialUnused"]))
    report = run(records)
    assert "CredentialsMinted" not in names(report)
    assert only(report).accounting.silent == 0


def replace_drafts(log: ElectionLog, drafts: list[Draft]) -> ElectionLog:
    """The same keys and ballots, with other drafts."""
    copy = object.__new__(ElectionLog)
    copy.__dict__ = {**log.__dict__, "drafts": drafts}
    return copy


def test_a_cast_before_its_credential_was_issued_shows_at_that_entry(log: ElectionLog) -> None:
    """Later issues to others bring the sums in order again: the proof is in the moment."""
    drafts = list(log.drafts)
    cast = drafts.pop(log.find("BallotCast"))
    place = log.find("CredentialIssued")
    report = run(seal_drafts([*drafts[:place], cast, *drafts[place:]]))
    (finding,) = [finding for finding in report.findings if finding.name == "CredentialsMinted"]
    assert finding.index == place + 1
    minting = only(report).minting
    assert minting is not None and (minting.ballots, minting.unused, minting.issued) == (1, 0, 0)


def test_a_log_that_was_damaged_on_its_way_accuses_nobody(log: ElectionLog) -> None:
    """An issue that cannot be read is one too few: no proof against the registrar."""
    records = log.records()
    entries = [place for place, record in enumerate(records) if isinstance(record, EntryRecord)]
    place = entries[log.find("CredentialIssued")]
    damaged = records[place]
    assert isinstance(damaged, EntryRecord)
    records[place] = EntryRecord(damaged.header, damaged.public[:-1] + bytes([damaged.public[-1] ^ 1]))
    report = run(records)
    assert "CredentialsMinted" not in names(report) and only(report).minting is None
    assert report.first is not None and report.first.name == "MalformedEntry"
    assert report.first.detail == "public payload does not match its header"


def test_the_evidence_can_be_counted_in_the_log(log: ElectionLog) -> None:
    """Whoever doubts the numbers finds the entries that make them."""
    minting = only(run(minted(log))).minting
    assert minting is not None
    first, last, count = minting.entries["CredentialIssued"]
    assert count == minting.issued == last - first + 1
    assert minting.entries["BallotCast"][2] == minting.ballots
    assert minting.entries["CredentialUnused"] == (minting.index, minting.index, 1)


def test_a_claim_of_a_credential_that_was_cast_proves_nothing_against_the_registrar(log: ElectionLog) -> None:
    """Else a leader that lets its friend claim what was cast could shame an honest registrar."""
    drafts = list(log.drafts)
    place = log.find("ElectionClosed") + 1
    drafts.insert(place, claim(log.eid, VOTERS[0], log.credentials[0]))
    drafts.insert(place, claim(log.eid, VOTERS[1], log.credentials[1]))
    assert names(run(seal_drafts(drafts))) == {"ClaimedButCast"}


def test_minting_of_one_weight_is_proven_by_claims_of_that_weight() -> None:
    """In all there are not too many: only of weight 5, whose second holder claims."""
    voters = [Voter(voter.number, weight) for voter, weight in zip(VOTERS, (1, 1, 1, 5, 1), strict=True)]
    log = ElectionLog(voters)
    heavy = Voter(0, 5)
    body = make_body(log.definition, log.eid, heavy, make_credential(log.eid, heavy)[2], encode_choice(ANSWERS[0]))
    report = run(with_board(log, [body, *log.bodies[1:]]))
    (finding,) = [finding for finding in report.findings if finding.name == "CredentialsMinted"]
    assert finding.detail == "1 ballots of weight 5 and 1 unused credentials, 1 were issued: the registrar minted 1"


# -- as it is typed


def audit_file(records: Sequence[Record], file: Path, *options: str) -> tuple[int, str]:
    with file.open("wb") as stream:
        write_records(stream, records)
    result = CliRunner().invoke(replay, ["audit", str(file), "--workers", "1", *options])
    return result.exit_code, result.output


def test_the_command_names_minting_with_its_evidence_and_fails(log: ElectionLog, tmp_path: Path) -> None:
    status, text = audit_file(minted(log), tmp_path / "export")
    assert status == 1
    assert "MINTED 1: 4 ballots + 1 unused > 4 issued" in text and "    CredentialIssued: 4 entries, from " in text
    status, text = audit_file(minted(log), tmp_path / "export", "--json")
    value = json.loads(text)
    assert status == 1 and value["levels"]["ballots"] == "fail"
    (minting,) = [election["minting"] for election in value["elections"]]
    assert minting["ballots"] + minting["unused"] > minting["issued"]
    assert minting["entries"]["BallotCast"][2] == 4


def test_the_json_has_the_series(log: ElectionLog, tmp_path: Path) -> None:
    status, text = audit_file(log.records(), tmp_path / "export", "--json")
    value = json.loads(text)
    assert status == 0
    assert value["series"]["columns"] == list(COLUMNS)
    (election,) = value["elections"]
    rows = value["series"]["elections"][election["election"]]
    assert [tuple(row) for row in rows] == list(only(run(log.records())).series)
    final = dict(zip(COLUMNS, rows[-1], strict=True))
    assert {name: election["accounting"][name] for name in COLUMNS[1:]} == {name: final[name] for name in COLUMNS[1:]}


def test_the_silent_are_shown_beside_the_margin(log: ElectionLog, tmp_path: Path) -> None:
    """One of four credentials is silent, as much as the margin of one question and less than the other's."""
    drafts = [draft for draft in log.drafts if draft.kind != "CredentialUnused"]
    status, text = audit_file(seal_drafts(drafts), tmp_path / "export")
    assert status == 0
    assert "margin: 2" in text and "margin: 1" in text
    assert "the silent could have been worth 1 votes, as much as the margin of: Parks?" in text
    assert "only claims expose that" in text
    assert only(run(seal_drafts(drafts))).accounting.silent_votes == 1
