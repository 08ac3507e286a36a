"""Epochs on three real nodes whose clocks are moved on: the board grows while the election is open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import psycopg
import pytest

from ballot.replay.audit import audit
from ballot.replay.rebuild import entries_of
from ballot.replay.source import open_source
from bench.api.__main__ import post_all
from bench.api.ballots import make_ballots
from bench.api.ours import Nodes
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

MINUTE_US = 60_000_000
EPOCH, BEYOND, REST = 20, 20, 5


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


def move_clocks(nodes: Nodes, minutes: int) -> None:
    for node in nodes.cluster.nodes:
        node.kill_ledger()
        node.environment["BALLOT_CLOCK_OFFSET_US"] = str(minutes * MINUTE_US)
    for node in nodes.cluster.nodes:
        node.start_ledger()
    nodes.cluster.wait_ready()


def row(nodes: Nodes, query: str) -> Any:
    with psycopg.connect(nodes.cluster.nodes[0].settings.dsn) as connection:
        found = connection.execute(query).fetchone()
    assert found is not None
    return found[0]


def until(nodes: Nodes, query: str, wanted: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (found := row(nodes, query)) != wanted:
        assert time.monotonic() < deadline, f"{query}: {found}, not {wanted}"
        time.sleep(0.1)


def test_an_epoch_is_published_once_as_many_ballots_came_after_it_and_the_rest_at_the_close(nodes: Nodes) -> None:
    closes = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    booth = asyncio.run(nodes.open(epochs={"minutes": 10, "ballots": EPOCH}, closes_at=closes))
    made = make_ballots(booth, EPOCH + BEYOND + REST)
    cast = [made[:EPOCH], made[EPOCH : EPOCH + BEYOND], made[EPOCH + BEYOND :]]

    def post(bodies: list[bytes]) -> None:
        asyncio.run(post_all(nodes.addresses, bodies, 8))

    post(cast[0])
    move_clocks(nodes, 11)
    until(nodes, "select count(*) from ledger_entry where kind = 'EpochEnded'", 1)
    assert row(nodes, "select count(*) from board") == 0, "it is held back until others come after it"
    post(cast[1])
    until(nodes, "select count(*) from board", EPOCH)
    assert row(nodes, "select status from elections") == "open"
    post(cast[2])
    assert asyncio.run(statuses(nodes, [made[0], made[-1]])) == [200, 200], "sent again, both get their receipts"
    move_clocks(nodes, 31)
    until(nodes, "select status from elections", "tallied")
    until(nodes, "select erased_at is not null from elections", True)
    assert asyncio.run(statuses(nodes, [made[0], made[-1]])) == [409, 409], "nothing is left that could prove a place"
    records = list(open_source(nodes.cluster.nodes[0].url))
    boards = [one.fields for one in entries_of(records) if one.kind == "BallotsPublished"]
    assert [(board["epoch"], len(board["ballots"])) for board in boards] == [(0, EPOCH), (1, BEYOND + REST)]
    report = audit(records, genesis_hash=nodes.cluster.genesis.hash, workers=1)
    # The credentials were made with the registrar's own key, and that does not go unnoticed; all else is in order.
    assert {finding.name for finding in report.findings} == {"CredentialsMinted"}
    assert report.elections[0].accounting.published == report.elections[0].accounting.cast == len(made)


async def statuses(nodes: Nodes, bodies: list[bytes]) -> list[int]:
    url = f"{nodes.cluster.nodes[0].url}/api/votes"
    headers = {"Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession() as session:
        return [(await session.post(url, data=body, headers=headers)).status for body in bodies]
