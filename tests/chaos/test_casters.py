"""Chaos proves nothing unless its clients would notice: nodes that lie to them are found out."""

import asyncio
import json
from collections import Counter
from typing import Any, cast

import pytest

from ballot.client.api import Line, NoAnswer, Refused, Reply
from ballot.client.vote import Election
from ballot.client.voter import Voter
from tests.chaos import casters as module
from tests.chaos.casters import Casters, Papers
from tests.chaos.run import Outcome

ONE, OTHER = b"one", b"other"


class Nodes:
    """Answers casts as a cluster does; `lie` may change an answer."""

    def __init__(self, lie: str = "") -> None:
        self.urls = ["a", "b", "c"]
        self.recorded: dict[bytes, int] = {}
        self.lie = lie
        self.casts = 0

    async def send(self, node: int, method: str, path: str, *, body: bytes, **_: Any) -> Reply:
        self.casts += 1
        if self.casts % 3 == 1:
            raise NoAnswer("down")
        if self.recorded and body not in self.recorded and self.lie != "counts both":
            raise Refused(409, "NotOnRoll" if self.lie == "other reason" else "AlreadyCast", "")
        status = 200 if body in self.recorded else 201
        if self.lie == "forgets":
            status = 201
        index = self.recorded.setdefault(body, self.casts)
        shown = self.casts if self.lie == "moves" else index
        return Reply(status, index, json.dumps({"index": shown, "header": "h", "salt": "s"}).encode())


class Trusting:
    async def accept(self, election: Election, answer: dict[str, Any]) -> int:
        return int(answer["index"])


def run_casters(lie: str, monkeypatch: pytest.MonkeyPatch, seed: int, seconds: float = 0.05) -> Casters:
    monkeypatch.setattr(module, "REST_S", (0.0, 0.001))
    monkeypatch.setattr(module, "RETRY_S", (0.0, 0.001))
    monkeypatch.setattr(Casters, "_keep", lambda *_: None)
    papers = [Papers(cast(Voter, Trusting()), (ONE, OTHER))]
    casters = Casters(cast(Line, Nodes(lie)), cast(Election, None), papers, seed)
    asyncio.run(casters.run(seconds))
    assert casters.counts["acknowledged"] == 1 or casters.violations
    return casters


@pytest.mark.parametrize("seed", range(4))
def test_honest_nodes_are_found_fault_with_by_nobody(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    assert run_casters("", monkeypatch, seed).violations == []


@pytest.mark.parametrize("lie", ["counts both", "other reason", "forgets", "moves"])
def test_nodes_that_lie_are_found_out(monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    assert run_casters(lie, monkeypatch, 1).violations


def test_nodes_too_slow_for_all_first_casts_in_time_still_get_every_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_casters("", monkeypatch, 1, seconds=1e-6).counts["acknowledged"] == 1


def test_what_became_of_a_run_can_be_written_down() -> None:
    """It is what a failed run says."""
    outcome = Outcome(1, 18.0, 30, casts=Counter(races=2), violations=["a ballot was never answered"])
    assert json.loads(json.dumps(outcome.fields()))["casts"] == {"races": 2}
