"""The verifier in JavaScript, written from docs/protocol.md, finds what the audit finds."""

import io
from pathlib import Path
from typing import Any

from ballot.replay.audit import audit
from ballot.replay.export import read_export
from tests.replay.test_recovery import evidence, export, recovered
from tests.replay.test_weights import weighted_log
from tests.support import node
from tests.support.attacks import ATTACKS, SILENT, Export, as_bytes, epochs
from tests.support.log_builder import ElectionLog, election_log, trustee_election_log

LEFT_OUT = {"silent_votes"}


def both(exports: dict[str, Export], tmp_path: Path, pin: bytes | None = None) -> list[str]:
    """The names of the exports on which the two verifiers differ, with what each finds."""
    data = {name: as_bytes(made) for name, made in exports.items()}
    paths = []
    for number, content in enumerate(data.values()):
        paths.append(tmp_path / f"{number}.ballots")
        paths[-1].write_bytes(content)
    theirs = node.audits(paths, "" if pin is None else pin.hex())
    differing = []
    for (name, content), report in zip(data.items(), theirs, strict=True):
        ours = audit(read_export(io.BytesIO(content)), workers=1, genesis_hash=pin).to_json()
        if told(ours) != told(report):
            differing.append(f"{name}: {told(ours)} is not {told(report)}")
    return differing


def told(report: dict[str, Any]) -> dict[str, Any]:
    """What both must say, to the last number; words may differ."""
    findings = sorted((one["index"], one["level"], one["name"]) for one in report["findings"])
    recoveries = [(one["index"], one["hash"], one["proven"]) for one in report["recoveries"]]
    same = {name: report[name] for name in ("passed", "entries", "checkpoints", "genesis", "root", "levels")}
    first = report["first"] and (report["first"]["index"], report["first"]["level"])
    elections = [election_of(election) for election in report["elections"]]
    return same | {"findings": findings, "first": first, "recoveries": recoveries, "elections": elections}


def election_of(election: dict[str, Any]) -> dict[str, Any]:
    accounting = {name: number for name, number in election["accounting"].items() if name not in LEFT_OUT}
    names = ("election", "eid", "status", "recounted", "disputed")
    return {name: election[name] for name in names} | {"accounting": accounting}


def goods(log: ElectionLog) -> dict[str, Export]:
    return {
        "a whole election": log.records(),
        "an election with trustees": trustee_election_log().records(),
        "an election in epochs": epochs.whole(),
        "an election with weights": weighted_log().records(),
        "a recovered log": export(recovered()),
        "a recovered log, with evidence": export(recovered(proof=evidence())),
    }


def test_it_passes_what_the_audit_passes(tmp_path: Path) -> None:
    log = election_log()
    silent = {name: make(log) for name, make in SILENT.items()}
    assert both(goods(log) | silent, tmp_path) == []
    assert all(report["passed"] for report in node.audits(sorted(tmp_path.glob("*.ballots"))))


def test_it_catches_every_attack_as_the_audit_does(tmp_path: Path) -> None:
    log = election_log()
    assert both({name: attack.make(log) for name, attack in ATTACKS.items() if not attack.pinned}, tmp_path) == []


def test_it_pins_a_genesis(tmp_path: Path) -> None:
    log = election_log()
    exports = {name: attack.make(log) for name, attack in ATTACKS.items() if attack.pinned}
    assert both(exports | {"good": log.records()}, tmp_path, log.entries[0].hash) == []


def test_it_says_by_its_exit_status_whether_all_is_well(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(as_bytes(election_log().records()))
    (report,) = node.audits([good])
    assert report["passed"] and report["first"] is None
