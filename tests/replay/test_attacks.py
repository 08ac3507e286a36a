"""Every attack is caught at its level, by its name, at its place; or it is said to leave no trace, and leaves none."""

import io
import re

import pytest

from ballot.replay.audit import audit
from ballot.replay.events import KINDS
from ballot.replay.export import read_export
from ballot.replay.report import LEVELS, Finding, Level, Report
from tests.support.attacks import ATTACKS, FILE, INSIDER, OUTSIDE, SILENT, Export, as_bytes, kind_at
from tests.support.attacks.page import PAGE, finding_names, listed_findings, listed_kinds, tables
from tests.support.log_builder import ElectionLog


def slug(name: object) -> str:
    return str(name).replace(" ", "-")


def run(made: Export, pin: bytes | None = None) -> Report:
    data = as_bytes(made)
    return audit(read_export(io.BytesIO(data)), workers=1, genesis_hash=pin)


@pytest.mark.parametrize("name", ATTACKS, ids=slug)
def test_an_attack_is_caught_at_its_level_by_its_name_and_at_its_place(name: str, log: ElectionLog) -> None:
    attack = ATTACKS[name]
    made = attack.make(log)
    report = run(made, log.entries[0].hash if attack.pinned else None)
    caught = [finding for finding in report.findings if (finding.level, finding.name) == (attack.level, attack.name)]
    assert caught, report.findings
    if attack.at:
        assert not isinstance(made, bytes)
        assert kind_at(made, caught[0].index) == attack.at
    else:
        assert caught[0].index == attack.index
    if attack in INSIDER.values():
        assert what_was_seen_before(caught[0], report) == []


def what_was_seen_before(caught: Finding, report: Report) -> list[str]:
    """An insider's log is in order up to the level and the place of the attack."""
    lower = LEVELS[: LEVELS.index(Level(caught.level)) + 1]
    return [one.name for one in report.findings if one.level in lower and one.index < caught.index]


@pytest.mark.parametrize("name", SILENT, ids=slug)
def test_what_is_said_to_leave_no_trace_leaves_none(name: str, log: ElectionLog) -> None:
    report = run(SILENT[name](log))
    assert report.passed, f"{report.findings}: move it to what is detected, also in docs/protocol.md"
    assert not any(election.disputed for election in report.elections)


@pytest.mark.parametrize("name", OUTSIDE, ids=slug)
def test_what_one_export_cannot_show_is_stopped_elsewhere(name: str, log: ElectionLog) -> None:
    attack = OUTSIDE[name]
    with pytest.raises(attack.error, match=re.escape(attack.says)):
        attack.run(log)


def test_there_are_many_different_ones() -> None:
    assert len(FILE) + len(INSIDER) + len(OUTSIDE) >= 60
    assert not FILE.keys() & INSIDER.keys()


def test_every_finding_is_provoked_by_some_attack() -> None:
    """`ExportGoesOn` cannot come from a file, and has its test in test_audit.py."""
    provoked = {(attack.level, attack.name) for attack in ATTACKS.values()}
    assert finding_names() - provoked == {("structure", "ExportGoesOn")}


def test_the_page_lists_every_attack() -> None:
    """Not so? `python -m tests.support.attacks.page` prints what belongs there."""
    assert tables() in PAGE.read_text()


def test_the_page_lists_every_kind_with_its_fields() -> None:
    listed = listed_kinds()
    assert listed.keys() == KINDS.keys()
    for kind, event in KINDS.items():
        fields = set(event.__struct_fields__) - {"election", "eid", "origin"}
        assert {field for field in fields if f"`{field}" not in listed[kind]} == set(), kind


def test_the_page_lists_every_finding() -> None:
    assert listed_findings() == finding_names()
