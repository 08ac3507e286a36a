"""A majority is gone for good: the node that is left goes on alone, and nothing it ever had is missing."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
from signal import SIGCONT, SIGSTOP

import psycopg
import pytest

from ballot.cluster import Cluster, ClusterNode
from ballot.embedded_programs import own_account, postgres_programs
from ballot.ledger.membership import ChangeRefused
from ballot.ledger.submit import Unavailable
from ballot.ledger.survivor import RecoveryRefused
from ballot.recover import recover
from ballot.replay.audit import audit
from ballot.replay.export import read_export, stream_export
from ballot.replay.report import Report
from tests.chaos.machines import send, with_descendants
from tests.support.ledgers import (
    add,
    answers,
    checkpoint_covers,
    every_checkpoint_is_by_the_members_of_its_time,
    leader_of,
    loaded,
    logs_agree,
    operate,
    refused,
    registration,
    running,
    status,
    submitted,
    take_away,
    wipe,
)
from tests.support.waiting import until

pytestmark = pytest.mark.cluster

NEVER_ANSWERED = registration(10**9)


async def audited(node: ClusterNode) -> Report:
    applied = (await status(node))["applied"]
    async with await psycopg.AsyncConnection.connect(node.settings.dsn, autocommit=True) as connection:
        data = b"".join([piece async for piece in stream_export(connection, applied)])
    return audit(read_export(io.BytesIO(data)), workers=1)


async def loses_its_majority(cluster: Cluster) -> tuple[ClusterNode, list[int], int]:
    """The node that is left, what was acknowledged, and the last entry: recorded by it alone, never acknowledged."""
    async with loaded(*cluster.nodes) as load:
        await until(lambda: len(load.acknowledged) >= 50)
    survivor = await leader_of(cluster)
    await checkpoint_covers(survivor, load.acknowledged[-1])
    await is_refused(survivor, "still runs")
    lost = [node for node in cluster.nodes if node is not survivor]
    last = await records_alone(survivor, lost)
    survivor.kill_ledger()
    await is_no_loss_yet(survivor, lost[0])
    for node in lost:
        await asyncio.to_thread(wipe, node)
        take_away(cluster, node)
    return survivor, load.acknowledged, last


async def records_alone(leader: ClusterNode, others: list[ClusterNode]) -> int:
    """The leader's last entry, which nobody else will ever have: their databases hang, and then the nodes are killed.

    Were they killed before, it would have a third of a second to record it, and then lead no more.
    """

    async def is_recorded(by_all: bool) -> bool:
        state = await status(leader)
        return bool(state["last"] == state["commit"]) == by_all

    await until(lambda: is_recorded(True))
    hung = [pid for node in others for pid in with_descendants(node.postgres.pid)]
    send(hung, SIGSTOP)
    try:
        client = leader.client()
        with pytest.raises(Unavailable):
            await client.submit(NEVER_ANSWERED, timeout_s=0.5)
        client.close()
        await until(lambda: is_recorded(False))
        for node in others:
            node.kill_ledger()
    finally:
        send(hung, SIGCONT)
    return int((await status(leader))["last"])


async def is_refused(survivor: ClusterNode, reason: str) -> None:
    with pytest.raises((RecoveryRefused, ChangeRefused), match=reason):
        await recover(survivor.settings, force=False, confirm=lambda lines: True)


async def is_no_loss_yet(survivor: ClusterNode, other: ClusterNode) -> None:
    """Two of three could simply be started."""
    other.start_ledger()
    await answers(other)
    await is_refused(survivor, f"node {other.number} may still be running")
    other.kill_ledger()


async def recovers(survivor: ClusterNode, last: int) -> None:
    assert "nothing was changed" in await refused(survivor, "recover", typed="yes\n")
    said = await operate(survivor, "recover", typed=f"{survivor.number}\n")
    assert f"up to {last}, are kept" in said
    assert f"recovered, entry {last + 1}" in said
    await is_refused(survivor, "only voter")
    survivor.start_ledger()
    await answers(survivor)


async def lives_on(cluster: Cluster, survivor: ClusterNode, last: int) -> None:
    known = await submitted(survivor, NEVER_ANSWERED)
    assert not known.refusal and not known.new and known.index == last
    async with loaded(survivor):
        newcomers = [await asyncio.to_thread(cluster.join) for _ in range(2)]
        for node in newcomers:
            await add(cluster, survivor, node)
    assert [node.number for node in newcomers] == [4, 5]
    survivor.kill_ledger()
    assert not (await submitted(newcomers[0], registration(2 * 10**9))).refusal
    survivor.start_ledger()
    await answers(survivor)


def test_a_survivor_goes_on_alone_and_new_nodes_join_it() -> None:
    async def recovery(cluster: Cluster) -> None:
        survivor, acknowledged, last = await loses_its_majority(cluster)
        await recovers(survivor, last)
        await lives_on(cluster, survivor, last)
        log = await logs_agree(cluster.nodes)
        assert set(acknowledged) <= {index for index, _ in log}
        for node in cluster.nodes:
            assert (await status(node))["voters"] == [survivor.number, 4, 5]
            await checkpoint_covers(node, last + 1)
            every_checkpoint_is_by_the_members_of_its_time(node)
            report = await audited(node)
            assert report.passed, report.findings
            [found] = report.recoveries
            assert (found.index, found.last, found.survivor) == (last + 1, last, survivor.number)
            assert found.lost == sorted({1, 2, 3} - {survivor.number})
            assert found.checkpoint >= acknowledged[-1] and found.missing == 0
            assert found.proven == (found.checkpoint if node is survivor else 0)

    with running(3) as cluster:
        asyncio.run(recovery(cluster))


def postgres_tool(name: str, node: ClusterNode, *arguments: str, feed: bytes = b"") -> bytes:
    program = postgres_programs(own_account()) / name
    command = [str(program), f"--dbname={node.settings.dsn}", *arguments]
    return subprocess.run(command, input=feed, check=True, capture_output=True).stdout


async def all_hosts_are_lost_but_a_dump(cluster: Cluster) -> tuple[ClusterNode, int, int]:
    """The node whose database was restored, the last entry of the dump, and one that was acknowledged after it."""
    node = cluster.nodes[0]
    async with loaded(*cluster.nodes) as load:
        await until(lambda: len(load.acknowledged) >= 20)
    await checkpoint_covers(node, load.acknowledged[-1])
    dump = await asyncio.to_thread(postgres_tool, "pg_dump", node, "--format=custom")
    last = max(index for index, _ in await logs_agree([node]))
    later = await submitted(cluster.nodes[1], registration(10**9))
    for one in list(cluster.nodes):
        one.kill_ledger()
        await asyncio.to_thread(wipe, one)
        if one is not node:
            take_away(cluster, one)
    # A new host has nothing of the old one but its secrets.
    shutil.rmtree(node.settings.state)
    node.settings.state.mkdir(mode=0o700)
    arguments = ("--no-owner", "--clean", "--if-exists", "--exit-on-error")
    await asyncio.to_thread(postgres_tool, "pg_restore", node, *arguments, feed=dump)
    return node, last, later.index


def test_a_dump_of_one_database_brings_back_the_log_when_every_host_is_lost() -> None:
    async def restoring(cluster: Cluster) -> None:
        node, last, later = await all_hosts_are_lost_but_a_dump(cluster)
        assert "--restored" in await refused(node, "recover", typed=f"{node.number}\n")
        said = await operate(node, "recover", "--restored", typed=f"{node.number}\n")
        assert "restored from a copy" in said and later > last
        node.start_ledger()
        await answers(node)
        newcomer = await asyncio.to_thread(cluster.join)
        await add(cluster, node, newcomer)
        log = await logs_agree(cluster.nodes)
        assert {index for index, _ in log} >= set(range(1, last + 1))
        report = await audited(newcomer)
        assert report.passed, report.findings
        [found] = report.recoveries
        assert any("restored from a copy" in line for line in found.detail), found

    with running(3) as cluster:
        asyncio.run(restoring(cluster))
