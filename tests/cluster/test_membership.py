"""Nodes come and go while the ledger is written to; nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ballot.cluster import Cluster, ClusterNode
from ballot.keys import load_record
from ballot.ledger.submit import Unavailable
from ballot.operator import OperatorError, add_node, remove_node
from tests.support.ledgers import (
    add,
    answers,
    checkpoint_covers,
    every_checkpoint_is_by_the_members_of_its_time,
    leader_of,
    loaded,
    logs_agree,
    operate,
    record,
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


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Nodes 1 to 3; each test may leave other ones behind."""
    with running(3) as cluster:
        yield cluster


def test_a_node_joins_and_the_old_leader_leaves_while_people_register(three: Cluster) -> None:
    async def change() -> None:
        first = await leader_of(three)
        others = [node for node in three.nodes if node is not first]
        async with loaded(*others) as load:
            newcomer = await asyncio.to_thread(three.join)
            said = await add(three, others[0], newcomer)
            assert said.startswith("node 4 is a learner")
            assert "node 4 is a voter" in said
            assert (await status(newcomer))["voters"] == [1, 2, 3, 4]
            assert "run this on another member" in await refused(first, "remove", str(first.number)), "though it leads"
            assert "no longer a member" in await operate(others[0], "remove", str(first.number))
            before = len(load.acknowledged)
            await until(lambda: len(load.acknowledged) >= before + 30)
            await knows_that_it_was_removed(first)
            first.kill_ledger()
            first.start_ledger()
            await answers(first)
            await knows_that_it_was_removed(first)
        again = replace(load_record(record(three, 4)), id=first.number, name="a/b", ed25519=bytes([7]) * 32)
        with pytest.raises(OperatorError, match="used before"):
            await add_node(others[0].settings, again, "127.0.0.1:1", 1, lambda text: None)
        take_away(three, first)
        log = await logs_agree(three.nodes)
        assert len(set(load.acknowledged)) == len(load.acknowledged)
        assert set(load.acknowledged) <= {index for index, _ in log}
        for node in three.nodes:
            assert set((await status(node))["voters"]) == {one.number for one in three.nodes}
            await checkpoint_covers(node, load.acknowledged[-1])
            every_checkpoint_is_by_the_members_of_its_time(node)

    asyncio.run(change())


async def knows_that_it_was_removed(node: ClusterNode) -> None:
    async def it_does() -> bool:
        return not (await status(node))["member"]

    await until(it_does)
    assert (await status(node))["leader"] == 0


def test_the_members_that_are_left_stand_in_for_each_other(three: Cluster) -> None:
    """After the first test one of them is new, and the addresses that the others were started with are out of date."""

    async def fail_over() -> None:
        leader = await leader_of(three)
        leader.kill_ledger()
        follower = next(node for node in three.nodes if node is not leader)
        assert not (await submitted(follower, registration(10**9))).refusal
        leader.start_ledger()
        await answers(leader)
        await logs_agree(three.nodes)

    asyncio.run(fail_over())


def test_a_wiped_node_is_refused_and_comes_back_under_a_new_id(three: Cluster) -> None:
    async def comes_back() -> None:
        leader = await leader_of(three)
        wiped = next(node for node in three.nodes if node is not leader)
        async with loaded(leader) as load:
            wiped.stop()
            await asyncio.to_thread(wipe, wiped)
            wiped.start_ledger()
            await until(lambda: not wiped.ledger_pid)
            assert "must rejoin the cluster under a new node id" in wiped.log.read_text()
            await remove_node(leader.settings, wiped.number)
            newcomer = await asyncio.to_thread(three.join)
            await add(three, leader, newcomer)
        take_away(three, wiped)
        assert set(load.acknowledged) <= {index for index, _ in await logs_agree(three.nodes)}
        for node in three.nodes:
            await checkpoint_covers(node, load.acknowledged[-1])
            every_checkpoint_is_by_the_members_of_its_time(node)

    asyncio.run(comes_back())


@pytest.mark.parametrize("nodes", [1, 5])
def test_a_cluster_of_another_size_works_as_three_do(nodes: int) -> None:
    async def works(cluster: Cluster) -> None:
        async with loaded(*cluster.nodes) as load:
            await until(lambda: len(load.acknowledged) >= 50)
        await logs_agree(cluster.nodes)
        await checkpoint_covers(cluster.nodes[-1], load.acknowledged[-1])

    with running(nodes) as cluster:
        asyncio.run(works(cluster))
        if nodes == 1:
            asyncio.run(grows(cluster))


async def grows(cluster: Cluster) -> None:
    """A single node becomes two, of which neither decides alone."""
    [alone] = cluster.nodes
    async with loaded(alone):
        newcomer = await asyncio.to_thread(cluster.join)
        await add(cluster, alone, newcomer)
    log = await logs_agree(cluster.nodes)
    await checkpoint_covers(newcomer, log[-1][0])
    newcomer.kill_ledger()
    client = alone.client()
    with pytest.raises(Unavailable):
        await client.submit(registration(1), timeout_s=0.5)
    client.close()
    newcomer.start_ledger()
    assert not (await submitted(alone, registration(1))).refusal
