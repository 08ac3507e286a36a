"""Which nodes a drill asks, and on which it runs at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from ballot.drills import runner
from ballot.drills.record import Recorder, Report, expect
from ballot.drills.runner import Drills, Outsider
from ballot.drills.stage import Parts, Stage
from ballot.ledger.client import LedgerClient
from tests.support.chain import genesis, membership

URLS = {1: "http://one.example", 2: "http://two.example", 4: "http://four.example"}


class Ledger:
    def __init__(self, **status: Any) -> None:
        self._status = {"member": True, "voters": [1, 2], "learners": [4]} | status

    async def status(self) -> Mapping[str, Any]:
        return self._status


async def nothing_open() -> Sequence[str]:
    return []


async def asks_everybody(stage: Stage, record: Recorder) -> None:
    with record.step("who is asked") as step:
        step.saw = ", ".join(stage.line.urls)
        expect(list(stage.parts.urls.values()) == stage.line.urls, "not the same")


def run(monkeypatch: pytest.MonkeyPatch, **status: Any) -> Report:
    monkeypatch.setattr(runner, "DRILLS", {"vote": asks_everybody})
    parts = Parts(1, URLS, cast(LedgerClient, Ledger(**status)), cast(Any, None), genesis(membership()))
    return asyncio.run(Drills(parts, nothing_open).run("vote"))


def test_voters_and_learners_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [step.saw for step in run(monkeypatch).steps] == [", ".join(URLS.values())]


def test_a_node_that_was_removed_is_left_out_and_the_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(monkeypatch, voters=[1, 4], learners=[])
    assert report.passed
    assert [step.saw for step in report.steps] == ["node 2", "http://one.example, http://four.example"]


def test_a_node_that_is_no_member_runs_no_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Outsider, match="no member of the cluster"):
        run(monkeypatch, member=False)
