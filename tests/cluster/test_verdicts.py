"""A node whose own count differs, on a cluster of its own: a dispute stays in its log for good."""

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from signal import SIGCONT, SIGSTOP

import pytest

from ballot.ledger import rsa
from ballot.ledger.frame import frame, u32
from ballot.voting import commands as c
from tests.chaos.machines import send
from tests.cluster.test_claims import audited
from tests.cluster.test_operations import scrape
from tests.support.town import Town, running_town
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    yield from running_town()


def test_a_node_that_counts_otherwise_makes_the_election_disputed_and_nothing_stops(town: Town) -> None:
    """Its attestation of another count is signed with its own key, and comes before its own process can attest."""

    async def hold() -> None:
        leader = await town.leader()
        number = 2 if leader == 3 else 3  # Not the first node, which is asked first.
        voter = await town.voter()
        election = await town.opened([voter])
        await town.ready_to_cast(voter, election)
        await voter.accept(election, (await voter.cast(election, leader - 1)).json())
        node = town.cluster.nodes[number - 1]
        send([node.ledger_pid], SIGSTOP)
        try:
            await town.organiser.close(election.id)
            await town.organiser.wait_for(election.id, ["tallied"], PATIENCE_S)
            digest = sha256(b"another count").digest()
            keys = town.cluster.folder / "keys" / f"node{number}"
            own = rsa.load_private((keys / "rsa_private").read_bytes())
            signature = rsa.sign(own, frame("attest", election.eid, u32(number), digest))
            client = town.cluster.nodes[leader - 1].client()
            command = c.AttestTally(election.id, number, digest, signature)
            assert not (await client.submit(c.encode_command(command))).refusal
            client.close()
        finally:
            send([node.ledger_pid], SIGCONT)
        town.cluster.wait_ready()
        results = await town.attested(election.id)
        assert results["disputed"]
        assert {one["node"]: one["agrees"] for one in results["attestations"]} == {
            node: node != number for node in (1, 2, 3)
        }
        assert (await town.organiser.election(election.id))["disputed"]
        report = await audited(town)
        (finding,) = report.findings
        assert finding.name == "TallyDisputed"
        assert finding.detail.startswith(f"node {number} attests another count than the published one; ")
        assert finding.detail.endswith("the count made here is the published one")
        (found,) = [one for one in report.elections if one.eid == election.eid.hex()]
        assert found.disputed and found.dissenting == [number]
        for one in town.cluster.nodes:
            assert "ballot_elections_disputed 1.0" in await asyncio.to_thread(scrape, town, one.number)
        another = await town.opened([voter])
        await town.ready_to_cast(voter, another)
        assert await voter.accept(another, (await voter.cast(another, 0)).json()), "the ledger goes on"

    town.run(hold())
