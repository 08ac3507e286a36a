"""Every drill runs over the API against real nodes, and only where it may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from ballot.client.account import Account
from ballot.client.api import Refused
from ballot.drills.runner import DRILLS
from tests.support.town import Town

pytestmark = pytest.mark.cluster

# Shorter first, and the one that ends a leader last.
IN_TURN = sorted(DRILLS, key=lambda name: name == "failover")


@asynccontextmanager
async def restarted(town: Town) -> AsyncIterator[None]:
    """What an orchestrator does meanwhile: starts again whatever ended."""

    async def revive() -> None:
        while True:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(town.cluster.revive)

    reviving = asyncio.create_task(revive())
    try:
        yield
    finally:
        reviving.cancel()
        await asyncio.to_thread(town.cluster.wait_ready)


async def run_drill(town: Town, account: Account, name: str, **options: bool) -> dict[str, Any]:
    """One try at the first node: a drill takes longer than a client of the library waits. Raises Refused."""
    url = f"{town.line.urls[0]}/api/_diag/drills/{name}"
    headers = {"Authorization": f"Bearer {account.api.bearer}"}
    async with aiohttp.ClientSession() as session, session.post(url, json=options, headers=headers) as response:
        fields: dict[str, Any] = await response.json()
        if response.status != 200:
            raise Refused(response.status, fields["refusal"], fields["detail"])
        return fields


async def refusal(asking: Any) -> str:
    with pytest.raises(Refused) as caught:
        await asking
    return caught.value.refusal


def test_drills_are_for_admins_and_not_while_an_election_is_open(town: Town) -> None:
    async def ask() -> None:
        admin = await town.account("drill-admin@example.org")
        assert await refusal(run_drill(town, admin, "login")) == "RoleMissing"
        await town.cluster.grant(admin.email, "admin")
        await town.caught_up()
        election = await town.opened([await town.voter()])
        assert await refusal(run_drill(town, admin, "login")) == "ElectionRunning"
        assert await refusal(run_drill(town, admin, "sabotage")) == "UnknownDrill"
        await town.organiser.close(election.id)
        listed = (await admin.api.ask("GET", "/api/_diag/drills")).json()
        assert listed == {"enabled": True, "drills": list(DRILLS)}

    town.run(ask())


@pytest.mark.parametrize("name", IN_TURN)
def test_the_drill_passes(town: Town, name: str) -> None:
    async def ask() -> None:
        admin = await town.account(f"drill-{name}@example.org")
        await town.cluster.grant(admin.email, "admin")
        await town.caught_up()
        async with restarted(town):
            report = await run_drill(town, admin, name, force=True)
        seen = "; ".join(f"{step['what']}: {step['saw']}" for step in report["steps"])
        assert report["passed"], seen
        assert all(step["ok"] for step in report["steps"])
        assert len(report["steps"]) >= 4, seen

    town.run(ask())


def test_a_drill_that_meets_a_wrong_answer_fails_and_says_so() -> None:
    from ballot.drills.record import Failed, Recorder, expect

    record = Recorder("login")
    with pytest.raises(Failed), record.step("log in with a wrong password"):
        expect(False, "answered yes")
    report = record.report()
    assert not report.passed
    assert [(step.ok, step.saw) for step in report.steps] == [(False, "answered yes")]


def test_no_election_is_left_open_by_drills(town: Town) -> None:
    async def ask() -> None:
        path = "/api/elections?status=open"
        listed = (await town.organiser_account.api.ask("GET", path)).json()["elections"]
        assert [one["title"] for one in listed if one["title"].startswith("Drill: ")] == []

    town.run(ask())
