"""Reading the log: waiting for a checkpoint, and going round nodes that are behind or hide something."""

import asyncio
import json
from typing import Any

import pytest

from ballot.client import log as module
from ballot.client.api import NoAnswer, Public, Refused
from ballot.client.log import Log
from ballot.client.trust import Trust, Untrusted
from ballot.client.wallet import MemoryStore
from tests.support.registrar import MemoryCluster, MemoryLine

REFUSALS = {"checkpoint": "NoCheckpoint", "proof": "BadRange", "entries": "BadParameter"}


class Grudging(MemoryLine):
    """Refuses as often as `refusals` says, in this order, before it answers."""

    def __init__(self, cluster: MemoryCluster, *refusals: str) -> None:
        super().__init__(cluster)
        self.refusals = list(refusals)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if self.refusals and self.refusals[0] in path:
            self.refusals.pop(0)
            raise Refused(404, REFUSALS[path.split("?")[0].split("/")[3]], "not here")
        return super()._answer(method, path, body)


@pytest.fixture
def cluster() -> MemoryCluster:
    cluster = MemoryCluster()
    for number in range(4):
        cluster.append("TermOpened", {"node": number})
    return cluster


def log_on(line: MemoryLine) -> Log:
    genesis = line.cluster.genesis
    return Log(Public(line), Trust.in_genesis(genesis.header, genesis.public), MemoryStore())


def test_the_first_checkpoint_is_waited_for(cluster: MemoryCluster) -> None:
    log = log_on(Grudging(cluster, "checkpoint"))
    assert asyncio.run(log.checkpoint(3)).size == 5


def test_waiting_for_a_checkpoint_ends(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    with pytest.raises(NoAnswer, match="no checkpoint covers entry 9"):
        asyncio.run(log_on(MemoryLine(cluster)).checkpoint(9))


def test_a_node_that_is_behind_the_checkpoint_is_passed_over(cluster: MemoryCluster) -> None:
    line = Grudging(cluster, "consistency", "inclusion")
    assert asyncio.run(log_on(line).entry(4)).index == 4
    assert {node for node, *_ in line.requests} == {0, 1}


def test_a_node_without_the_entry_is_passed_over(cluster: MemoryCluster) -> None:
    class Behind(MemoryLine):
        def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
            if "entries" in path and self.requests[-1][0] == 0:
                return 200, {"entries": [], "last": 3}
            return super()._answer(method, path, body)

    assert asyncio.run(log_on(Behind(cluster)).entry(4)).index == 4


def test_another_refusal_is_not_hidden(cluster: MemoryCluster) -> None:
    with pytest.raises(Refused):
        asyncio.run(log_on(Grudging(cluster, "entries")).entry(4))


@pytest.mark.parametrize(
    "spoil", [{"entries": []}, {"entries": None}, {"entries": [{"index": 4}]}, {"last": None}, {"proof": ["="]}]
)
def test_what_is_not_shown_is_not_believed(cluster: MemoryCluster, spoil: dict[str, Any]) -> None:
    line = MemoryLine(cluster)
    line.spoil = json.loads(json.dumps(spoil))
    with pytest.raises(Untrusted):
        asyncio.run(log_on(line).entry(4))
