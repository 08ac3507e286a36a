"""Nodes come and go while the ledger is written to; nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ballot.cluster import Cluster, ClusterNode
from ballot.keys import load_record
from ballot.ledger import rsa
from ballot.ledger.checkpoint import verify_note
from ballot.ledger.entry import decode_map
from ballot.ledger.membership import CONF_KINDS, membership_of
from ballot.ledger.submit import Unavailable
from ballot.operator import OperatorError, add_node, remove_node
from ballot.voting import commands as c
from tests.support.keys import long_key

pytestmark = pytest.mark.cluster


class LedgerNode(ClusterNode):
    """A node without its HTTP server: members are the ledger's affair, and starting it takes seconds."""

    def start_http(self) -> None:
        """There is none."""

    @property
    def http_pid(self) -> int:
        return self.ledger_pid

    def is_ready(self) -> bool:
        return bool(asyncio.run(self._leader()))

    async def _leader(self) -> int:
        try:
            return int((await status(self))["leader"])
        except Unavailable:
            return 0


class LedgerCluster(Cluster):
    node_type = LedgerNode


@contextmanager
def running(nodes: int) -> Iterator[Cluster]:
    keys = cycle([long_key(1), long_key(2), long_key(3)])
    cluster = LedgerCluster.temporary(nodes=nodes)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rsa, "generate", lambda bits: next(keys))
            cluster.start()
            yield cluster
    finally:
        cluster.remove()


def registration(number: int) -> bytes:
    name = b"%016d" % number
    return c.encode_command(c.RegisterUser(name, name, name * 2, f"{number}@example.org", b"hash"))


class Load:
    """People register, one after another, at whatever nodes there are."""

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes
        self.acknowledged: list[int] = []

    async def run(self) -> None:
        number = time.time_ns() // 1000
        clients = [node.client() for node in self.nodes]
        try:
            while True:
                number += 1
                for turn in range(1000):
                    with suppress(Unavailable):
                        answer = await clients[(number + turn) % len(clients)].submit(registration(number))
                        assert not answer.refusal, answer
                        self.acknowledged.append(answer.index)
                        break
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.005)
        finally:
            for client in clients:
                client.close()


@asynccontextmanager
async def loaded(*nodes: ClusterNode) -> AsyncIterator[Load]:
    load = Load(list(nodes))
    task = asyncio.ensure_future(load.run())
    try:
        yield load
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def status(node: ClusterNode) -> dict[str, Any]:
    client = node.client()
    try:
        return await client.status()
    finally:
        client.close()


async def leader_of(cluster: Cluster) -> ClusterNode:
    async with asyncio.timeout(10):
        while True:
            for node in cluster.nodes:
                with suppress(Unavailable):
                    if node.ledger_pid and (await status(node))["role"] == "leader":
                        return node
            await asyncio.sleep(0.05)


async def operate(at: ClusterNode, *arguments: str) -> str:
    """Runs `ballot node ...` as the operator of a node does; what it prints."""
    command = [sys.executable, "-m", "ballot", "node", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, env=at.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output


def record(cluster: Cluster, number: int) -> Path:
    return cluster.folder / "keys" / f"node{number}" / "record"


async def add(cluster: Cluster, at: ClusterNode, node: ClusterNode) -> str:
    host, port = node.settings.listen
    return await operate(at, "add", str(record(cluster, node.number)), f"{host}:{port}", "--wait", "15")


async def logs_agree(nodes: list[ClusterNode]) -> list[tuple[int, bytes]]:
    """Every node's log up to what all have applied, which must be the same."""
    async with asyncio.timeout(10):
        while True:
            states = [await status(node) for node in nodes]
            if len({state["applied"] for state in states}) == 1:
                break
            await asyncio.sleep(0.05)
    logs = [rows(node, states[0]["applied"]) for node in nodes]
    assert all(log == logs[0] for log in logs)
    assert len(logs[0]) == states[0]["applied"]
    return logs[0]


def rows(node: ClusterNode, last: int) -> list[tuple[int, bytes]]:
    with psycopg.connect(node.settings.dsn) as connection:
        query = "select index, header from ledger_entry where index <= %s order by index"
        return [(index, bytes(header)) for index, header in connection.execute(query, (last,)).fetchall()]


def every_checkpoint_is_by_the_members_of_its_time(node: ClusterNode) -> None:
    """What an audit of the exported log asks for: a majority of those in force at the checkpoint's size."""
    with psycopg.connect(node.settings.dsn) as connection:
        notes = connection.execute("select size, note from ledger_checkpoint").fetchall()
        query = "select index, public from ledger_entry where kind = any(%s) order by index desc"
        lists = connection.execute(query, (list(CONF_KINDS),)).fetchall()
    members = [(index, membership_of(decode_map(bytes(public)))) for index, public in lists]
    for size, note in notes:
        one = next(members for index, members in members if index <= size)
        assert verify_note(bytes(note), one.origin, one.members).size == size


async def until(holds: Callable[[], bool], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


async def checkpoint_covers(node: ClusterNode, index: int) -> None:
    async with asyncio.timeout(10):
        while True:
            if (await status(node))["checkpoint"] >= index:
                return
            await asyncio.sleep(0.05)


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
            assert "no longer a member" in await operate(others[0], "remove", str(first.number))
            before = len(load.acknowledged)
            await until(lambda: len(load.acknowledged) >= before + 30)
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


def test_the_members_that_are_left_stand_in_for_each_other(three: Cluster) -> None:
    """After the first test one of them is new, and the addresses that the others were started with are out of date."""

    async def fail_over() -> None:
        leader = await leader_of(three)
        leader.kill_ledger()
        client = next(node for node in three.nodes if node is not leader).client()
        answer = await client.submit(registration(10**9))
        client.close()
        assert answer.new
        leader.start_ledger()
        await until(lambda: leader.settings.socket.exists())
        await asyncio.to_thread(three.wait_ready)
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


def take_away(cluster: Cluster, node: ClusterNode) -> None:
    node.kill_ledger()
    node.postgres.stop()
    cluster.nodes.remove(node)


def wipe(node: ClusterNode) -> None:
    with psycopg.connect(node.settings.dsn, autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")


@pytest.mark.parametrize("nodes", [1, 5])
def test_a_cluster_of_another_size_works_as_three_do(nodes: int) -> None:
    async def works(cluster: Cluster) -> None:
        async with loaded(*cluster.nodes) as load:
            await until(lambda: len(load.acknowledged) >= 50, 20)
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
    newcomer.start_ledger()
    assert not (await client.submit(registration(1))).refusal
    client.close()
