"""After the close: claims of unused credentials over real HTTP, and a node whose own count differs."""

import asyncio
import io
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from ballot.cli import main
from ballot.client.api import Public, Refused
from ballot.client.log import Log
from ballot.client.trust import Trust
from ballot.client.vote import Election
from ballot.client.voter import Voter
from ballot.client.wallet import FolderStore, MemoryStore
from ballot.keys import GENESIS_FILE
from ballot.replay.audit import audit
from ballot.replay.export import read_export
from ballot.replay.report import Report
from tests.cluster.test_failover import outcome
from tests.support.town import FRUIT, Town
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster


async def refusal(work: Any) -> str:
    try:
        await work
    except Refused as error:
        return error.refusal
    return ""


async def opened(town: Town, voters: list[Voter], **more: Any) -> Election:
    election = await town.organiser.draft(f"Election {next(town.numbers)}", [FRUIT], **more)
    await town.organiser.upload_roll(election, [voter.account.email for voter in voters])
    await town.organiser.open(election)
    await town.caught_up()
    return await voters[0].fetch_election(election)


async def exported(town: Town) -> bytes:
    """The export of a node, under a checkpoint that covers what the organiser saw."""
    public, genesis = Public(town.line), town.cluster.genesis
    log = Log(public, Trust.in_genesis(genesis.header, genesis.public), MemoryStore())
    await log.checkpoint(town.organiser_account.api.index)
    return (await public.get("/api/ledger/export")).body


async def audited(town: Town) -> Report:
    return await asyncio.to_thread(audit, read_export(io.BytesIO(await exported(town))), workers=1)


async def close(town: Town, election: Election) -> dict[str, Any]:
    await town.organiser.close(election.id)
    await town.caught_up()
    return await town.organiser.election(election.id)


def test_unused_credentials_are_claimed_also_after_the_count_and_cast_ones_never(town: Town) -> None:
    async def hold() -> None:
        cast, unsent, idle, silent = voters = [await town.voter() for _ in range(4)]
        election = await opened(town, voters)
        for voter in (cast, unsent):
            await town.ready_to_cast(voter, election)
        await cast.accept(election, (await cast.cast(election, 0)).json())
        for voter in (idle, silent):
            await voter.ask_credential(election)
        assert await refusal(idle.claim_unused(election)) == "NotClosed"
        closed = await close(town, election)
        assert closed["claims_s"] == 7 * 86_400 and closed["claims_until"] is not None
        assert await outcome(town, unsent._body(election), 1) == "ElectionClosed"
        first = await idle.claim_unused(election)
        assert await idle.claim_unused(election) == first, "the same claim, again"
        assert await asyncio.to_thread(claim_by_command, town, idle, election) == first, "and from the command line"
        await town.organiser.wait_for(election.id, ["tallied"], PATIENCE_S)
        assert await unsent.claim_unused(election) > first
        forget_receipt(cast, election)
        assert await refusal(cast.claim_unused(election)) == "AlreadyCast"
        numbers = (await town.organiser.results(election.id))["accounting"]
        assert (numbers["issued"], numbers["cast"], numbers["published"], numbers["unused"]) == (4, 1, 1, 2)
        assert (numbers["silent"], numbers["silent_votes"], numbers["margins"]) == (1, 1, [1])
        assert "only claims expose that" in numbers["caveat"]
        report = await audited(town)
        assert report.passed, report.findings
        (found,) = [one for one in report.elections if one.eid == election.eid.hex()]
        assert (found.accounting.unused, found.accounting.silent) == (2, 1)
        assert (found.by_seed, found.by_keys) == (1, 0)

    town.run(hold())


def test_nothing_is_claimed_after_the_time_that_the_definition_sets(town: Town) -> None:
    async def hold() -> None:
        late = await town.voter()
        election = await opened(town, [late], claims_s=1)
        assert election.definition.claims_s == 1
        await late.ask_credential(election)
        await close(town, election)
        await asyncio.sleep(1.5)
        assert await refusal(late.claim_unused(election)) == "ClaimsClosed"
        assert (await town.organiser.results(election.id))["accounting"]["unused"] == 0

    town.run(hold())


def claim_by_command(town: Town, voter: Voter, election: Election) -> int:
    """The index that `ballot voter claim` prints, run on a folder with this voter's records."""
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        for name in (election.eid.hex(), "checkpoint"):
            store.save(name, voter._store.load(name) or b"")
        genesis = town.cluster.folder / "keys" / GENESIS_FILE
        options = ["--node", town.cluster.nodes[2].url, "--genesis", str(genesis)]
        done = CliRunner().invoke(main, ["voter", "claim", election.eid.hex(), "--wallet", folder, *options])
    assert done.exit_code == 0, done.output
    return int(done.output.split()[1])


def forget_receipt(voter: Voter, election: Election) -> None:
    """A voter who lies, or whose program lost what it was told."""
    secrets = voter.secrets(election)
    assert secrets is not None
    voter._keep(msgspec.structs.replace(secrets, receipt=b""))


def test_a_cast_and_a_claim_of_one_credential_race_to_the_close_and_one_of_them_stands(town: Town) -> None:
    """Casts at every node, the close and the claims go out together; nobody is ever both on the board and unused."""

    async def race() -> None:
        voters = [await town.voter() for _ in range(6)]
        election = await opened(town, voters)
        for voter in voters:
            await town.ready_to_cast(voter, election)

        async def both(voter: Voter, node: int) -> tuple[str, str]:
            cast = asyncio.ensure_future(outcome(town, voter._body(election), node % 3))
            claims = ["NotClosed"]
            while claims[-1] == "NotClosed":
                claims.append(await refusal(voter.claim_unused(election)))
            return await cast, claims[-1]

        racing = [asyncio.ensure_future(both(voter, node)) for node, voter in enumerate(voters)]
        await asyncio.sleep(0.02)
        await town.organiser.close(election.id)
        outcomes = await asyncio.gather(*racing)
        assert set(outcomes) <= {("recorded", "AlreadyCast"), ("ElectionClosed", "")}, outcomes
        await town.organiser.wait_for(election.id, ["tallied"], PATIENCE_S)
        for voter, (cast, _) in zip(voters, outcomes, strict=True):
            assert await refusal(voter.claim_unused(election)) == ("AlreadyCast" if cast == "recorded" else "")
        numbers = (await town.organiser.results(election.id))["accounting"]
        assert numbers["published"] + numbers["unused"] == numbers["issued"] == 6

    town.run(race())
