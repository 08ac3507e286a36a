"""One election with many methods, weights, a written name and a blank vote, from the roll to the audit."""

import asyncio
import io
from typing import Any

import pytest

from ballot.client.api import Public
from ballot.client.log import Log
from ballot.client.trust import Trust
from ballot.client.wallet import MemoryStore
from ballot.replay.audit import audit
from ballot.replay.export import read_export
from ballot.replay.report import Report
from ballot.voting.counting import Choice, Tally
from ballot.voting.question import Question
from tests.support.town import Town

pytestmark = pytest.mark.cluster

QUESTIONS = [
    Question("Board?", "stv", ["Ada", "Bo", "Cy"], 3, {"seats": 2}),
    Question("Chair?", "plurality", ["Ada", "Bo"], 1, write_ins=1, declared=["Di"]),
    Question("Name?", "majority_judgement", ["Union", "League"], 2, grades=["Good", "Fair", "Poor"]),
    Question("Seat?", "schulze", ["Rome", "Oslo", "Bern"], 3),
    Question("Day?", "score", ["Mon", "Tue"], 2, {"max_score": 5}),
]
BALLOTS: list[tuple[Choice, int]] = [
    ([[0, 1], ["DI"], [0, 1], [1, 2, 2], [5, 0]], 1),
    ([[2], ["Somebody  Else"], [1, 0], [], [0, 3]], 1),
    ([[1, 0, 2], [], [2, 1], [3, 1, -1], [-1, 4]], 5),
]
COUNTED: list[Choice] = [
    [*BALLOTS[0][0][:1], ["di"], *BALLOTS[0][0][2:]],
    [*BALLOTS[1][0][:1], ["somebody else"], *BALLOTS[1][0][2:]],
    BALLOTS[2][0],
]


async def hold(town: Town) -> tuple[dict[str, Any], Report]:
    """The whole election: its count document, and the audit of a node's export."""
    voters = [await town.voter() for _ in BALLOTS]
    idle = await town.voter()
    election = await town.organiser.draft("Assembly", QUESTIONS)
    roll = {voter.account.email: weight for voter, (_, weight) in zip(voters, BALLOTS, strict=True)}
    await town.organiser.upload_roll(election, roll | {idle.account.email: 5})
    await town.organiser.open(election)
    await town.caught_up()
    for voter, (choice, weight) in zip(voters, BALLOTS, strict=True):
        opened = await voter.fetch_election(election)
        assert opened.weight == weight
        await voter.ask_credential(opened)
        voter.fill_in(opened, choice)
        await voter.accept(opened, (await voter.cast(opened, 0)).json())
    await idle.ask_credential(await idle.fetch_election(election))
    await town.organiser.close(election)
    results = await town.attested(election)
    assert not results["disputed"]
    public, genesis = Public(town.line), town.cluster.genesis
    log = Log(public, Trust.in_genesis(genesis.header, genesis.public), MemoryStore())
    await log.checkpoint(town.organiser_account.api.index)
    export = (await public.get("/api/ledger/export")).body
    return results["tally"], await asyncio.to_thread(audit, read_export(io.BytesIO(export)), workers=1)


@pytest.fixture(scope="module")
def held(town: Town) -> tuple[dict[str, Any], Report]:
    return town.run(hold(town))


def test_every_question_is_counted_by_its_method_in_the_unit_of_the_weights(
    held: tuple[dict[str, Any], Report],
) -> None:
    tally, _ = held
    expected = Tally(QUESTIONS)
    for choice, (_, weight) in zip(COUNTED, BALLOTS, strict=True):
        expected.add(choice, weight)
    assert tally["questions"] == expected.results(bytes.fromhex(tally["lot"]))
    assert tally["weights"] == {"1": 2, "5": 1}
    assert [result["blank"] for result in tally["questions"]] == [0, 5, 0, 1, 0]


def test_a_declared_name_counts_by_name_and_another_as_such(held: tuple[dict[str, Any], Report]) -> None:
    chair = held[0]["questions"][1]
    assert chair["rounds"][0]["votes"] == {"0": 0, "1": 0, "2": 1, "3": 1}
    assert chair["write_ins"] == {"listed": [{"name": "somebody else", "votes": 1}], "more": 0}
    assert chair["winners"] == [2]


def test_the_audit_passes_and_says_what_the_silent_could_have_weighed(held: tuple[dict[str, Any], Report]) -> None:
    _, report = held
    assert report.findings == []
    (election,) = [election for election in report.elections if election.title == "Assembly"]
    assert (election.accounting.valid, election.accounting.silent, election.accounting.silent_votes) == (3, 1, 5)
    assert [outcome.names for outcome in election.outcomes][1] == ["Di"]
