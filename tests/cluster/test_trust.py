"""A voter who knows nothing but the genesis, while the nodes that it names are replaced, and while one of them lies."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ballot.client.api import Line, Public, Reply, unb64
from ballot.client.log import Log
from ballot.client.trust import Trust, Untrusted, note_of
from ballot.client.vote import Election
from ballot.client.voter import Voter
from ballot.client.wallet import MemoryStore
from ballot.cluster import Cluster, ClusterNode
from ballot.keys import load_record
from ballot.ledger.checkpoint import read_note
from ballot.ledger.entry import parse
from ballot.ledger.membership import CONF_KINDS, Membership
from ballot.ledger.merkle import Tree
from ballot.ledger.receipt import ReceiptError
from ballot.ledger.succession import handover_fields
from ballot.operator import add_node, remove_node
from ballot.replay.audit import audit
from ballot.replay.export import Record, read_export
from ballot.replay.receipt import check_in_export, check_receipt
from tests.support.registrar import MemoryCluster, MemoryLine, node_record
from tests.support.town import Town, running_town
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster


def log_from_genesis(line: Line, cluster: Cluster, first: int = 0) -> Log:
    """The view of somebody who was away since the beginning."""
    genesis = cluster.genesis
    return Log(Public(line, first), Trust.in_genesis(genesis.header, genesis.public), MemoryStore())


# -- a node that lies


class Forger(MemoryCluster):
    """The true log of a cluster, but for its last entries: there it puts nodes of its own in force.

    `signed` is a true checkpoint of the true members, for want of a better one.
    """

    def __init__(self, entries: list[tuple[bytes, bytes]], signed: bytes) -> None:
        super().__init__()
        self.entries, self.tree = [], Tree()
        for header, public in entries:
            self.take(parse(header, public))
        # The list in force, so that the lie fails for want of signatures and not for a slip.
        self.replaces = max(entry.index for entry in self.entries if entry.kind in CONF_KINDS)
        origin = str(self.entries[0].fields["origin"])
        own = Membership(origin, tuple(map(node_record, (7, 8, 9))))
        announced = self.announce(own).index
        self.enforce("NodeAdded", own, handover_fields(self.replaces, announced, signed))
        self.cast_at = self.append("BallotCast", {}, b"a ballot").index


class LineWithLiar(Line):
    """A line to real nodes, and to one more, the last, that is none."""

    def __init__(self, line: Line, forger: Forger) -> None:
        super().__init__([*line.urls, "memory:liar"], patience_s=1)
        self._line, self._liar = line, MemoryLine(forger)

    async def send(
        self,
        node: int,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        fresh: bool = False,
    ) -> Reply:
        line = self._line if node < len(self._line.urls) else self._liar
        return await line.send(node, method, path, headers=headers, body=body, fresh=fresh)


async def entries_to(public: Public, last: int) -> list[dict[str, Any]]:
    """The log as anyone reads it, page by page."""
    shown: list[dict[str, Any]] = []
    while len(shown) < last:
        query = {"from": len(shown) + 1, "to": last}
        shown += (await public.get("/api/ledger/entries", query)).json()["entries"]
    return shown


def test_a_forged_membership_entry_is_refused(town: Town) -> None:
    """The liar shows a receipt that its own nodes signed, and an entry that makes them members."""

    async def lie() -> None:
        # Enough entries after another test's change of members: the note is then by those whom the liar replaces.
        voters = [await town.voter() for _ in range(3)]
        public = Public(town.line)
        await log_from_genesis(town.line, town.cluster).checkpoint(voters[-1].account.api.index)
        signed = (await public.get("/api/ledger/checkpoint")).body
        size = read_note(signed).size
        shown = await entries_to(public, size - 3)
        forger = Forger([(unb64(one["header"]), unb64(one["public"])) for one in shown[: size - 3]], signed)
        text = forger.receipt(forger.cast_at)
        line = LineWithLiar(town.line, forger)
        log = log_from_genesis(line, town.cluster, len(town.line.urls))
        with pytest.raises(Untrusted, match="do not cover its announcement"):
            await log.receipt(text, b"a ballot")
        assert log.trust.succession.newest == 1
        honest = log_from_genesis(town.line, town.cluster)
        await honest.believe(signed)
        assert honest.trust.newest.size == size

    town.run(lie())


# -- everybody is replaced


@pytest.fixture
def renewed() -> Iterator[Town]:
    yield from running_town()


async def replace_node(town: Town, old: ClusterNode) -> ClusterNode:
    """A new node for an old one, whose processes then end."""
    cluster = town.cluster
    newcomer = await asyncio.to_thread(cluster.join)
    host, port = newcomer.settings.listen
    record = load_record(cluster.folder / "keys" / f"node{newcomer.number}" / "record")
    await add_node(cluster.nodes[0].settings, record, f"{host}:{port}", 60, lambda text: None)
    await remove_node(newcomer.settings, old.number)
    await asyncio.to_thread(old.stop)
    await asyncio.to_thread(old.postgres.stop)
    cluster.nodes.remove(old)
    await asyncio.to_thread(cluster.wait_ready)
    town.line.urls[:] = [node.url for node in cluster.nodes]
    return newcomer


async def fresh_receipt(voter: Voter, election: Election, node: int, least: int) -> bytes:
    """The receipt of the ballot, cast once more, under a checkpoint of at least so many entries."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer: dict[str, Any] = (await voter.cast(election, node)).json()
            await voter.accept(election, answer)
            text = str(answer["receipt"]).encode()
            if read_note(note_of(text)).size >= least:
                return text
            await asyncio.sleep(0.1)


def test_receipts_verify_while_all_founding_nodes_are_replaced_one_after_another(renewed: Town) -> None:
    async def renew() -> None:
        town = renewed
        voter = await town.voter()
        election = await town.opened([voter])
        body = await town.ready_to_cast(voter, election)
        first = await fresh_receipt(voter, election, 0, 0)
        for old in list(town.cluster.nodes):
            newcomer = await replace_node(town, old)
            client = newcomer.client()
            applied = (await client.status())["applied"]
            client.close()
            last = await fresh_receipt(voter, election, len(town.line.urls) - 1, applied)
        members = voter.log.trust.succession.members
        assert [node.id for node in members.nodes] == [node.number for node in town.cluster.nodes] == [4, 5, 6]
        index = voter.recheck(election)
        late = log_from_genesis(town.line, town.cluster)
        assert await late.receipt(last, body) == await late.receipt(first, body) == index
        assert late.trust.succession == voter.log.trust.succession
        export = (await Public(town.line).get("/api/ledger/export")).body
        check_export(list(read_export(io.BytesIO(export))), town.cluster, first, last, body)

    renewed.run(renew())


def check_export(records: list[Record], cluster: Cluster, first: bytes, last: bytes, body: bytes) -> None:
    """What anyone can check offline: the record as a whole, and each receipt in it."""
    report = audit(records, genesis_hash=cluster.genesis.hash, workers=1)
    assert report.passed, json.dumps(report.to_json())
    for receipt in (first, last):
        assert check_in_export(receipt, records, body, cluster.genesis.hash).committed
    assert check_receipt(first, cluster.genesis, body).committed
    with pytest.raises(ReceiptError, match="no majority"):
        check_receipt(last, cluster.genesis, body)
