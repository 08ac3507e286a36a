"""Opening and closing at their times, by whichever node leads then, exactly once."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ballot.client.api import Refused, unb64
from ballot.client.log import Log
from ballot.ledger.entry import parse
from tests.support.town import FRUIT, Town
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

ENDED = ("closed", "published", "tallied")
ELECTIONS = 4
OPENS_IN_S, LASTS_S = 8.0, 5.0
SLOWER = (1, 2, 4, 8)
"""By so much more time it is tried again, where the machine was too slow to do anything before a time had come."""


class TooSlow(Exception):
    """A time came before the test had done what comes before it."""


def test_elections_open_and_close_at_their_times_once_with_the_leader_killed_at_each(town: Town) -> None:
    async def run() -> None:
        for times in SLOWER:
            with suppress(TooSlow):
                await hold(town, OPENS_IN_S * times, LASTS_S * times)
                return
        raise AssertionError("this machine is too slow for anything")

    town.run(run())


async def hold(town: Town, opens_in_s: float, lasts_s: float) -> None:
    voter = await town.voter()
    opens = datetime.now(UTC) + timedelta(seconds=opens_in_s)
    closes = opens + timedelta(seconds=lasts_s)
    times = {"opens_at": opens.isoformat(), "closes_at": closes.isoformat()}
    with in_time(opens):
        elections = [await town.organiser.draft(f"Timed {n}", [FRUIT], **times) for n in range(ELECTIONS)]
        for election in elections:
            await town.organiser.upload_roll(election, [voter.account.email])
            assert (await town.organiser.open(election))["status"] == "scheduled"
        await town.caught_up()
        early = await voter.fetch_election(elections[0])
        with pytest.raises(Refused, match="ElectionNotOpen"):
            await voter.ask_credential(early)
    await killed_at(town, opens)
    with in_time(closes):
        for election in elections:
            assert (await town.organiser.wait_for(election, [*ENDED, "open"], PATIENCE_S))["status"] == "open"
        await town.caught_up()
        await town.ready_to_cast(voter, early)
    await killed_at(town, closes)
    for election in elections:
        await town.organiser.wait_for(election, ENDED, PATIENCE_S)
    await check_log(voter.log, elections, opens, closes)


@contextmanager
def in_time(due: datetime) -> Iterator[None]:
    """What fails may be blamed on nothing but the time, once that has come."""
    try:
        yield
    except (AssertionError, pytest.fail.Exception, Refused) as error:
        if datetime.now(UTC) < due:
            raise
        raise TooSlow from error


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
