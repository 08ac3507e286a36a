"""The audit of a good export and of one under way; what attacks do to it is in test_attacks.py."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ballot.replay.audit import HANDLERS, audit
from ballot.replay.events import KINDS
from ballot.replay.export import EntryRecord, Record, read_export, write_records
from ballot.replay.report import KEPT_OF_A_NAME, LEVELS, Findings, Level, Report, reaches
from ballot.voting.fold import _FOLD
from tests.support.attacks import ATTACKS, INSIDER, as_bytes, dissent
from tests.support.log_builder import ElectionLog, seal_drafts


@pytest.fixture(scope="module")
def report(log: ElectionLog) -> Report:
    return run(log.records())


def run(records: list[Record]) -> Report:
    return audit(records, workers=1)


def test_a_good_export_passes(report: Report, log: ElectionLog) -> None:
    assert report.findings == [] and report.passed and report.first is None
    assert (report.entries, report.checkpoints) == (len(log.entries), 9)
    assert report.genesis == log.entries[0].hash.hex()
    assert report.root == log.sealer.tree.root().hex()


def test_the_accounting_adds_up(report: Report) -> None:
    (election,) = report.elections
    accounting = election.accounting
    assert (accounting.roll, accounting.issued, accounting.cast, accounting.published) == (5, 4, 3, 3)
    assert (accounting.valid, accounting.invalid, accounting.unused, accounting.silent) == (2, 1, 1, 0)
    assert election.status == "tallied" and election.recounted and not election.disputed
    assert [(outcome.names, outcome.margin) for outcome in election.outcomes] == [(["Ada"], 2), (["Hill"], 1)]


def test_the_report_is_json(report: Report) -> None:
    value = json.loads(json.dumps(report.to_json()))
    assert value["passed"] is True
    assert value["levels"] == dict.fromkeys(("structure", "chain", "signatures", "ballots", "count"), "pass")
    assert value["elections"][0]["accounting"]["silent"] == 0


def test_a_file_is_audited_as_it_is_read(log: ElectionLog) -> None:
    stream = io.BytesIO()
    write_records(stream, log.records())
    stream.seek(0)
    assert audit(read_export(stream), workers=1).passed


def test_a_pinned_genesis_shuts_out_other_ledgers(log: ElectionLog) -> None:
    assert audit(log.records(), genesis_hash=log.entries[0].hash, workers=1).passed
    report = audit(log.records(), genesis_hash=bytes(32), workers=1)
    assert [finding.name for finding in report.findings] == ["GenesisDiffers"]


def test_dissent_marks_the_election_as_disputed(log: ElectionLog) -> None:
    report = run(dissent(log))
    assert [finding.name for finding in report.findings] == ["TallyDisputed"]
    assert report.elections[0].disputed


def test_the_count_is_made_from_the_keys_where_there_are_no_seeds(log: ElectionLog) -> None:
    report = run(seal_drafts(draft for draft in log.drafts if draft.kind != "TallySeeds"))
    assert report.passed and report.elections[0].recounted


def test_seeds_alone_do_not_prove_a_ballot_invalid(log: ElectionLog) -> None:
    report = run(seal_drafts(draft for draft in log.drafts if draft.kind != "TrusteeKeyReleased"))
    assert {finding.name for finding in report.findings} == {"KeysMissing"}


def test_a_count_without_keys_or_seeds_is_not_believed(log: ElectionLog) -> None:
    hidden = ("TallySeeds", "TrusteeKeyReleased")
    report = run(seal_drafts(draft for draft in log.drafts if draft.kind not in hidden))
    assert [finding.name for finding in report.findings] == ["CannotRecount"]
    assert not report.elections[0].recounted


def test_an_election_under_way_passes(log: ElectionLog) -> None:
    for kind in ("VotersAdded", "RollFrozen", "ElectionOpened", "CredentialIssued", "BallotCast", "ElectionClosed"):
        report = run(seal_drafts(log.drafts[: log.find(kind) + 1]))
        assert report.passed, (kind, report.findings)


def test_records_behind_the_end_are_a_finding(log: ElectionLog) -> None:
    """A file cannot have them; what hands records to the audit could."""
    report = run([*log.records(), log.records()[0]])
    assert [finding.name for finding in report.findings] == ["ExportGoesOn"]


def test_a_broken_file_is_a_finding(log: ElectionLog) -> None:
    stream = io.BytesIO()
    write_records(stream, log.records())
    report = audit(read_export(io.BytesIO(stream.getvalue()[:5000])), workers=1)
    assert report.first is not None
    assert "MalformedExport" in {finding.name for finding in report.at(Level.STRUCTURE)}


def test_any_flipped_bit_of_an_entry_is_noticed(log: ElectionLog) -> None:
    records = log.records()
    record = records[3]
    assert isinstance(record, EntryRecord)
    for place in range(0, len(record.header), 7):
        changed = bytearray(record.header)
        changed[place] ^= 0x10
        assert not run([*records[:3], EntryRecord(bytes(changed), record.public), *records[4:]]).passed


def test_all_cores_find_what_one_finds(log: ElectionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same checks, each in a worker process."""
    monkeypatch.setattr("ballot.replay.pool.IN_PROCESS", 0)
    monkeypatch.setattr("ballot.replay.checks_count.SPREAD_FROM", 0)
    records = INSIDER["a request is another voter's"].make(log)
    assert isinstance(records, list)
    assert audit(records, workers=2) == run(records)


def test_a_finding_is_not_repeated_without_end() -> None:
    findings = Findings()
    for index in range(KEPT_OF_A_NAME + 5):
        findings.add(Level.CHAIN, "ChainBroken", index, "")
    assert len(findings.sorted()) == KEPT_OF_A_NAME
    assert findings.more() == {"chain.ChainBroken": 5}


def test_progress_is_told(log: ElectionLog) -> None:
    told: list[tuple[str, int, int]] = []
    audit(log.records(), on_progress=lambda *values: told.append(values), workers=1)
    assert told[-1] == ("opening ballots", 3, 3)


def test_every_kind_that_is_folded_is_known() -> None:
    assert set(_FOLD) <= set(KINDS)
    assert set(HANDLERS) <= set(KINDS.values())


HEAVY = {"psycopg", "redis", "aiohttp", "asyncio", "falcon", "ssl", "urllib.request", "http.client", "sqlite3"}


def test_an_audit_needs_neither_network_nor_database(log: ElectionLog, tmp_path: Path) -> None:
    """The whole command in a fresh interpreter: nothing is loaded that could open a connection, and none is opened."""
    with (tmp_path / "export").open("wb") as stream:
        write_records(stream, log.records())
    program = f"""
import runpy, sys
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith("socket.") else None)
sys.argv = ["ballot", "replay", "audit", {str(tmp_path / "export")!r}]
try:
    runpy.run_module("ballot", run_name="__main__")
except SystemExit as end:
    print(end.code, sorted({HEAVY!r} & set(sys.modules)), seen)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["audit: PASS", "0 [] []"]


@pytest.mark.parametrize("level", LEVELS)
def test_an_audit_stops_where_it_is_told_to(level: Level, log: ElectionLog) -> None:
    report = audit(log.records(), workers=1, level=level)
    assert report.passed and report.level is level
    assert [report.verdict(one) == "pass" for one in LEVELS] == [reaches(level, one) for one in LEVELS]
    for name, attack in {attack.level: (name, attack) for name, attack in ATTACKS.items()}.values():
        records = read_export(io.BytesIO(as_bytes(attack.make(log))))
        found = {(one.level, one.name) for one in audit(records, workers=1, level=level).findings}
        assert ((attack.level, attack.name) in found) == reaches(level, Level(attack.level)), name
        assert all(reaches(level, one) for one, _ in found)
