"""Opening and closing at their times, by whichever node leads then, exactly once."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ballot.client.api import Refused, unb64
from ballot.client.log import Log
from ballot.ledger.entry import parse
from tests.support.town import FRUIT, Town

pytestmark = pytest.mark.cluster

ELECTIONS = 4
OPENS_IN_S, LASTS_S = 8.0, 5.0


def test_elections_open_and_close_at_their_times_once_with_the_leader_killed_at_each(town: Town) -> None:
    async def run() -> None:
        voter = await town.voter()
        opens = datetime.now(UTC) + timedelta(seconds=OPENS_IN_S)
        closes = opens + timedelta(seconds=LASTS_S)
        times = {"opens_at": opens.isoformat(), "closes_at": closes.isoformat()}
        elections = [await town.organiser.draft(f"Timed {n}", [FRUIT], **times) for n in range(ELECTIONS)]
        for election in elections:
            await town.organiser.upload_roll(election, [voter.account.email])
            assert (await town.organiser.open(election))["status"] == "scheduled"
        await town.caught_up()
        early = await voter.fetch_election(elections[0])
        with pytest.raises(Refused, match="ElectionNotOpen"):
            await voter.ask_credential(early)
        await killed_at(town, opens)
        for election in elections:
            await town.organiser.wait_for(election, ["open"], 30)
        await town.caught_up()
        await town.ready_to_cast(voter, early)
        await killed_at(town, closes)
        for election in elections:
            await town.organiser.wait_for(election, ["closed", "published", "tallied"], 30)
        await check_log(voter.log, elections, opens, closes)

    town.run(run())


async def killed_at(town: Town, due: datetime) -> None:
    """kill -9 of the leader just when something is due; it comes back at once."""
    await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    victim = town.cluster.nodes[await town.leader() - 1]
    victim.kill_ledger()
    victim.start_ledger()
    await asyncio.to_thread(town.cluster.wait_ready)


async def check_log(log: Log, elections: list[bytes], opens: datetime, closes: datetime) -> None:
    """Each election has one start and one end in the log, neither before its time, neither by a person."""
    found: Counter[tuple[str, bytes]] = Counter()
    page: list[Any] = []
    first = 1
    while page or first == 1:
        query = {"from": first, "to": first + 999}
        page = (await log.public.get("/api/ledger/entries", query)).json()["entries"]
        for item in page:
            entry = parse(unb64(item["header"]), unb64(item["public"]))
            if entry.kind in ("ElectionStarted", "ElectionClosed") and entry.fields["election"] in elections:
                found[entry.kind, entry.fields["election"]] += 1
                due = opens if entry.kind == "ElectionStarted" else closes
                assert entry.time_us >= int(due.timestamp() * 1_000_000)
                assert not entry.fields.get("by")
        first += len(page)
    assert found == Counter((kind, one) for kind in ("ElectionStarted", "ElectionClosed") for one in elections)
