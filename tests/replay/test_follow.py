"""The monitor on a good log, a forked and a rolled-back one, and as a witness."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ballot.client.api import Refused, Reply
from ballot.client.trust import Trust
from ballot.ledger.checkpoint import read_note
from ballot.ledger.witness import read_cosignatures
from ballot.replay.follow import Monitor, Seen, worst
from tests.support.registrar import MemoryCluster, MemoryLine
from tests.support.witnesses import WITNESS, WITNESS_KEY


class NodesLine(MemoryLine):
    """Nodes with a log each: they refuse what it does not reach, and take witnesses' lines."""

    def __init__(self, *clusters: MemoryCluster) -> None:
        super().__init__(clusters[0], len(clusters))
        self.clusters = list(clusters)
        self.left: list[tuple[int, bytes]] = []

    async def send(self, node: int, method: str, path: str, **more: Any) -> Reply:
        self.cluster, self.node = self.clusters[node], node
        return await super().send(node, method, path, **more)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if method == "POST" and path == "/api/ledger/witness":
            self.left.append((self.node, body))
            return 200, {"size": read_note(body).size, "taken": 1}
        if "/proof/consistency" in path and int(path.rpartition("new=")[2]) > len(self.cluster.entries):
            raise Refused(422, "BadRange", "this node has not applied as much")
        return super()._answer(method, path, body)


class Watch:
    """A monitor with a clock of its own; each look may be in a new process."""

    def __init__(self, folder: Path, *clusters: MemoryCluster) -> None:
        self.folder, self.now_s = folder, 1000.0
        self.line = NodesLine(*clusters)
        self.genesis = clusters[0].genesis

    def monitor(self) -> Monitor:
        trust = Trust.in_genesis(self.genesis.header, self.genesis.public)
        return Monitor(self.line, trust, self.folder, 30.0, lambda: self.now_s)

    async def round(self) -> dict[str, str] | None:
        monitor = self.monitor()
        await monitor.look()
        return await monitor.witness(WITNESS, WITNESS_KEY)

    def look(self) -> list[Seen]:
        return asyncio.run(self.monitor().look())

    def verdicts(self) -> list[str]:
        return [seen.verdict for seen in self.look()]


def grown(entries: int, cluster: MemoryCluster | None = None, text: str = "") -> MemoryCluster:
    cluster = cluster or MemoryCluster()
    while len(cluster.entries) < entries:
        cluster.append("TermOpened", {"node": len(cluster.entries), "text": text})
    return cluster


def shared(entries: int) -> MemoryCluster:
    """Another node with the same log."""
    return grown(entries)


def test_a_log_that_grows_is_well(tmp_path: Path) -> None:
    cluster = grown(5)
    watch = Watch(tmp_path, cluster)
    for entries in (5, 5, 9, 300, 301):
        grown(entries, cluster)
        assert watch.look() == [Seen("memory:0", "ok", entries)]
    assert not (tmp_path / "evidence").exists()
    assert worst(watch.look()) == 0


def test_members_may_change_meanwhile(tmp_path: Path) -> None:
    cluster = grown(5)
    watch = Watch(tmp_path, cluster)
    watch.look()
    for old, new in ((1, 4), (2, 5), (3, 6)):
        cluster.replace(old, new)
        assert watch.verdicts() == ["ok"]


def test_a_rewritten_log_is_seen_although_a_majority_signed_it(tmp_path: Path) -> None:
    watch = Watch(tmp_path, grown(8))
    assert watch.verdicts() == ["ok"]
    watch.line.clusters[0] = grown(12, text="rewritten")
    (seen,) = watch.look()
    assert (seen.verdict, seen.size, worst([seen])) == ("fork", 12, 1)
    folder = Path(seen.evidence)
    assert read_note((folder / "known.note").read_bytes()).size == 8
    assert read_note((folder / "shown.note").read_bytes()).size == 12
    answers = json.loads((folder / "answers.json").read_bytes())
    assert [one["path"] for one in answers] == ["/api/ledger/checkpoint", "/api/ledger/proof/consistency"]
    assert json.loads((folder / "report.json").read_bytes())["verdict"] == "fork"


def test_nodes_that_show_different_logs_are_seen_at_once(tmp_path: Path) -> None:
    for sizes in ((8, 8), (8, 12), (12, 8)):
        watch = Watch(tmp_path / str(sizes), grown(sizes[0]), grown(sizes[1], text="other"))
        assert watch.verdicts() == ["ok", "fork"]


def test_a_node_that_lags_is_no_alarm(tmp_path: Path) -> None:
    slow = grown(5)
    watch = Watch(tmp_path, grown(9), slow)
    for _ in range(3):
        watch.now_s += 1000
        assert watch.look() == [Seen("memory:0", "ok", 9), Seen("memory:1", "ok", 5, "9 were seen already")]
    watch.line.mute = {0}
    assert watch.verdicts() == ["unreachable", "behind"]
    grown(9, slow)
    watch.line.mute = set()
    assert watch.verdicts() == ["ok", "ok"]


def test_a_log_that_was_rolled_back_is_an_alarm_after_a_while(tmp_path: Path) -> None:
    watch = Watch(tmp_path, grown(9))
    assert watch.verdicts() == ["ok"]
    watch.line.clusters[0] = grown(6)
    assert watch.verdicts() == ["behind"]
    assert watch.monitor().waits
    watch.now_s += 29
    assert watch.verdicts() == ["behind"]
    watch.now_s += 1
    (seen,) = watch.look()
    assert (seen.verdict, seen.size) == ("rollback", 6)
    assert read_note((Path(seen.evidence) / "known.note").read_bytes()).size == 9


def test_a_node_that_lost_what_it_had_is_an_alarm_although_others_have_it(tmp_path: Path) -> None:
    watch = Watch(tmp_path, grown(9), grown(9))
    assert watch.verdicts() == ["ok", "ok"]
    watch.line.clusters[1] = grown(6)
    assert watch.verdicts() == ["ok", "behind"]
    watch.now_s += 30
    assert watch.verdicts() == ["ok", "rollback"]


def test_a_node_that_lost_a_checkpoint_alone_stands_by_it(tmp_path: Path) -> None:
    class Forgetful(MemoryCluster):
        def note(self, size: int | None = None, cosigners: int | None = None) -> bytes:
            return super().note(6 if size is None and len(self.entries) == 9 else size, cosigners)

    watch = Watch(tmp_path, grown(9))
    watch.look()
    forgetful = Forgetful()
    watch.line.clusters[0] = grown(9, forgetful)
    assert watch.look() == [Seen("memory:0", "ok", 6, "9 were seen already")]


def test_a_node_that_falls_back_for_a_moment_is_no_alarm(tmp_path: Path) -> None:
    cluster = grown(9)
    watch = Watch(tmp_path, cluster)
    watch.look()
    watch.line.clusters[0] = grown(6)
    assert watch.verdicts() == ["behind"]
    watch.line.clusters[0] = cluster
    watch.now_s += 100
    assert watch.verdicts() == ["ok"]
    assert not watch.monitor().waits


def test_a_log_rolled_back_and_grown_again_is_a_fork(tmp_path: Path) -> None:
    watch = Watch(tmp_path, grown(9))
    watch.look()
    watch.line.clusters[0] = grown(20, grown(6), text="again")
    assert watch.verdicts() == ["fork"]


def test_a_checkpoint_without_a_majority_is_not_believed(tmp_path: Path) -> None:
    cluster = grown(9)
    cluster.cosigners = 1
    assert Watch(tmp_path, cluster).verdicts() == ["untrusted"]


def test_a_recovery_is_an_alarm_with_its_hash(tmp_path: Path) -> None:
    cluster = grown(9)
    watch = Watch(tmp_path, cluster)
    watch.look()
    entry = cluster.recover(3)
    (seen,) = watch.look()
    assert seen.verdict == "recovery" and entry.hash.hex() in seen.detail


def test_a_node_without_an_answer_is_no_alarm(tmp_path: Path) -> None:
    watch = Watch(tmp_path, grown(9))
    watch.line.mute = {0}
    looks = watch.look()
    assert [seen.verdict for seen in looks] == ["unreachable"] and worst(looks) == 3


def test_a_witness_signs_what_it_saw_once_and_leaves_it_everywhere(tmp_path: Path) -> None:
    cluster = grown(9)
    watch = Watch(tmp_path, cluster, shared(9))

    assert asyncio.run(watch.round()) == dict.fromkeys(watch.line.urls, "taken")
    assert asyncio.run(watch.round()) is None
    grown(12, cluster)
    assert asyncio.run(watch.round()) is not None
    left = [(node, read_cosignatures(note, [WITNESS])[0].size) for node, note in watch.line.left]
    assert left == [(0, 9), (1, 9), (0, 12), (1, 12)]


@pytest.mark.parametrize("text", ["", "other"])
def test_a_witness_never_signs_a_smaller_tree(text: str, tmp_path: Path) -> None:
    watch = Watch(tmp_path, grown(9))

    asyncio.run(watch.round())
    watch.line.clusters[0] = grown(6, text=text)
    assert asyncio.run(watch.round()) is None
    assert len(watch.line.left) == 1
