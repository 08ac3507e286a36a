"""Clusters of ledger processes without HTTP servers, what is recorded on them, and what an operator does to them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ballot.cluster import Cluster, ClusterNode
from ballot.ledger import rsa
from ballot.ledger.checkpoint import verify_note
from ballot.ledger.client import Answer
from ballot.ledger.entry import decode_map
from ballot.ledger.membership import CONF_KINDS, membership_of
from ballot.ledger.submit import Unavailable
from ballot.voting import commands as c
from tests.support.keys import long_key
from tests.support.waiting import PATIENCE_S, POLL_S, until


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
    generate = rsa.generate
    keys = chain(map(long_key, (1, 2, 3)), iter(lambda: generate(3072), None))
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


async def submitted(node: ClusterNode, command: bytes) -> Answer:
    """What becomes of a command at this node, asked until there is an answer: a leader may have to be elected first."""
    client = node.client()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(Unavailable):
                    return await client.submit(command)
                await asyncio.sleep(POLL_S)
    finally:
        client.close()


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
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for node in cluster.nodes:
                with suppress(Unavailable):
                    if node.ledger_pid and (await status(node))["role"] == "leader":
                        return node
            await asyncio.sleep(POLL_S)


async def operate(at: ClusterNode, *arguments: str, typed: str = "") -> str:
    """Runs `ballot node ...` as the operator of a node does; what it prints."""
    status, output = await _run(at, arguments, typed)
    assert status == 0, output
    return output


async def refused(at: ClusterNode, *arguments: str, typed: str = "") -> str:
    """The same, when it must fail."""
    status, output = await _run(at, arguments, typed)
    assert status == 1, output
    return output


async def _run(at: ClusterNode, arguments: Sequence[str], typed: str) -> tuple[int, str]:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ballot", "node", *arguments],
        env=at.environment,
        input=typed.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_S,
    )
    return done.returncode, done.stdout.decode()


async def answers(node: ClusterNode) -> None:
    """Returns when the ledger process that was started answers."""

    async def answered() -> bool:
        assert node.ledger_pid, node.log.read_text()[-2000:]
        with suppress(Unavailable):
            return bool(await status(node))
        return False

    await until(answered)


def record(cluster: Cluster, number: int) -> Path:
    return cluster.folder / "keys" / f"node{number}" / "record"


async def add(cluster: Cluster, at: ClusterNode, node: ClusterNode) -> str:
    host, port = node.settings.listen
    return await operate(at, "add", str(record(cluster, node.number)), f"{host}:{port}", "--wait", "90")


async def logs_agree(nodes: list[ClusterNode]) -> list[tuple[int, bytes]]:
    """Every node's log up to what all have applied, which must be the same."""
    found: set[int] = set()

    async def are_level() -> bool:
        found.clear()
        found.update([(await status(node))["applied"] for node in nodes])
        return len(found) == 1

    await until(are_level)
    [applied] = found
    logs = [rows(node, applied) for node in nodes]
    assert all(log == logs[0] for log in logs)
    assert len(logs[0]) == applied
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


async def checkpoint_covers(node: ClusterNode, index: int) -> None:
    async def covers() -> bool:
        return int((await status(node))["checkpoint"]) >= index

    await until(covers)


def take_away(cluster: Cluster, node: ClusterNode) -> None:
    node.kill_ledger()
    node.postgres.stop()
    cluster.nodes.remove(node)


def wipe(node: ClusterNode) -> None:
    with psycopg.connect(node.settings.dsn, autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
