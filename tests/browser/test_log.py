"""What the page believes of the log, shown by nodes that change, lie or forget. It runs in Node.js here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ballot.keys import dump_genesis
from tests.client.test_log_members import BODY, deceive, receipt, replace_all
from tests.support import node
from tests.support.registrar import MemoryCluster, MemoryLine


@pytest.fixture
def cluster() -> MemoryCluster:
    cluster = MemoryCluster()
    cluster.append("TermOpened", {"node": 1})
    return cluster


def shown(folder: Path, cluster: MemoryCluster, receipts: Sequence[bytes], genesis: bytes = b"") -> list[Any]:
    """What the page says to each of these receipts, of nodes that show this log: an index or an error."""
    file = folder / "receipts.json"
    pinned = genesis or dump_genesis(cluster.genesis)
    told = {"genesis": pinned.hex(), "body": BODY.hex(), "receipts": [one.hex() for one in receipts]}
    file.write_text(json.dumps(told))
    line = MemoryLine(cluster)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=(await line.send(0, "GET", request.path_qs)).body)

    async def run() -> list[Any]:
        app = web.Application()
        app.router.add_get("/api/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return await asyncio.to_thread(node.run, "../browser/log_receipts.mjs", url, file)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_it_believes_receipts_of_nodes_that_joined_since_the_genesis_and_remembers_them(
    cluster: MemoryCluster, tmp_path: Path
) -> None:
    receipts = [receipt(cluster)]
    replace_all(cluster)
    receipts += [receipt(cluster), receipt(cluster)]
    cluster.replace(4, 7)
    receipts.append(receipt(cluster))
    indexes = [entry.index for entry in cluster.entries if entry.kind == "BallotCast"]
    assert shown(tmp_path, cluster, receipts) == indexes


def test_it_refuses_members_that_a_lying_node_made_up(cluster: MemoryCluster, tmp_path: Path) -> None:
    liar = deceive(cluster)
    [error] = shown(tmp_path, liar, [receipt(liar)])
    assert error == "MembersError: no majority"


def test_it_refuses_members_that_were_put_in_force_in_another_log(cluster: MemoryCluster, tmp_path: Path) -> None:
    """A majority signed for them, but over a log that this one does not lead on from."""
    other = MemoryCluster()
    other.append("TermOpened", {"node": 2})
    after = other.members.without(1)
    signed = other.announce(after).index
    note = other.note()
    announced = cluster.announce(after).index
    assert announced == signed
    cluster.enforce("NodeRemoved", after, {"before": 1, "announced": announced, "note": note})
    assert shown(tmp_path, cluster, [receipt(cluster)]) == ["Untrusted: the nodes show two different logs"]


def test_it_does_not_follow_a_single_node_that_calls_the_others_lost(cluster: MemoryCluster, tmp_path: Path) -> None:
    cluster.recover(1)
    [error] = shown(tmp_path, cluster, [receipt(cluster)])
    assert error.startswith("Untrusted: ")


def test_it_notices_another_log_than_the_one_it_was_shown_before(cluster: MemoryCluster, tmp_path: Path) -> None:
    fork = MemoryCluster()
    fork.append("TermOpened", {"node": 2})
    first = receipt(fork)
    cluster.append("TermOpened", {"node": 2})
    told = shown(tmp_path, cluster, [receipt(cluster), first])
    assert told[0] == len(cluster.entries) and told[1] == "Untrusted: the nodes show two different logs"


def test_it_starts_from_the_genesis_that_came_with_it(cluster: MemoryCluster, tmp_path: Path) -> None:
    other = MemoryCluster()
    other.entries.clear()
    pinned = dump_genesis(other.append("Genesis", cluster.members.to_fields() | {"of": "another log"}))
    [error] = shown(tmp_path, cluster, [receipt(cluster)], pinned)
    assert error == "Untrusted: the nodes show two different logs"


def test_it_believes_no_receipt_of_another_ballot(cluster: MemoryCluster, tmp_path: Path) -> None:
    other = cluster.receipt(cluster.append("BallotCast", {}, b"another ballot").index)
    assert shown(tmp_path, cluster, [other]) == ["ReceiptError: the recorded ballot is not this one"]
