"""A voter in a real browser, at another origin than the nodes: the page of this folder goes the whole way once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from ballot.client.api import b64, unb64
from ballot.client.board import download
from ballot.keys import dump_genesis
from ballot.voting.ballot import parse_ballot
from tests.browser.chromium import PACKAGE, PROGRAM, browsing
from tests.browser.site import serving
from tests.browser.wire import Connection, Seen, tapped
from tests.cluster.test_claims import audited
from tests.support.town import PASSWORD, Town

pytestmark = pytest.mark.cluster

EMAIL = "browser@example.org"
BANANA = 1
PATIENCE_S = 30


@dataclass(frozen=True)
class Visit:
    """What the page `found`, and what went over each connection to each node."""

    election: bytes
    found: dict[str, Any]
    nodes: list[list[Connection]]

    @property
    def requests(self) -> list[Seen]:
        return [seen for connections in self.nodes for one in connections for seen in one.requests]


@pytest.fixture(scope="module")
def visit(town: Town) -> Visit:
    if PROGRAM is None:
        pytest.skip(f"there is no Chromium here: on Debian, apt-get install {PACKAGE}")
    visit = town.run(visited(town))
    assert "failed" not in visit.found, visit.found["failed"]
    return visit


async def visited(town: Town) -> Visit:
    done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    elections: list[bytes] = []

    async def task(_: dict[str, Any]) -> dict[str, Any]:
        return {"nodes": nodes, "email": EMAIL, "password": PASSWORD, "answers": [[BANANA]]}

    async def code(_: dict[str, Any]) -> dict[str, Any]:
        return {"code": await town.postbox.code(EMAIL)}

    async def enrolled(_: dict[str, Any]) -> dict[str, Any]:
        elections.append(await town.draft([]))
        await town.organiser.upload_roll(elections[0], [EMAIL])
        await town.organiser.open(elections[0])
        await town.caught_up()
        return {}

    async def counted(_: dict[str, Any]) -> dict[str, Any]:
        await town.organiser.close(elections[0])
        await town.organiser.wait_for(elections[0], {"tallied"}, PATIENCE_S)
        await town.caught_up()
        return {}

    async def ended(found: dict[str, Any]) -> dict[str, Any]:
        done.set_result(found)
        return {}

    told = {"task": task, "code": code, "enrolled": enrolled, "counted": counted, "done": ended}
    async with tapped([node.url for node in town.cluster.nodes]) as taps:
        nodes = [address for address, _ in taps]
        async with serving(dump_genesis(town.cluster.genesis), nodes, told) as page, browsing(page) as log:
            try:
                found = await asyncio.wait_for(done, PATIENCE_S)
            except TimeoutError:
                raise AssertionError(f"the page has not ended; the browser says:\n{log.read_text()}") from None
    return Visit(elections[0], found, [wire.connections for _, wire in taps])


def test_it_registers_logs_in_and_finds_its_election(visit: Visit) -> None:
    assert visit.found["elections"] == [b64(visit.election)]


def test_what_it_wrote_at_one_node_it_reads_at_another(visit: Visit) -> None:
    assert visit.found["credentialIssued"] is True
    asked = [seen.headers for seen in visit.requests if seen.method == "GET" and "authorization" in seen.headers]
    assert asked and all(int(headers["ledger-index"]) > 0 for headers in asked)


def test_its_ballot_is_recorded_once_on_the_board_and_counted(visit: Visit, town: Town) -> None:
    async def check() -> None:
        assert visit.found["again"] == visit.found["index"], "cast again, it is the same entry"
        [ballot] = await download(town.organiser_account.api, visit.election)
        assert parse_ballot(ballot).name == unb64(visit.found["ballot"]) and visit.found["onBoard"] is True
        assert visit.found["result"] == {"winners": [BANANA], "valid": 1}
        tally = (await town.organiser.results(visit.election))["tally"]
        assert tally["questions"][0]["winners"] == [BANANA] and tally["ballots"]["valid"] == 1
        report = await audited(town)
        assert report.passed, report.findings

    town.run(check())


def test_its_cast_says_nothing_of_who_casts(visit: Visit) -> None:
    casts = [seen for seen in visit.requests if (seen.method, seen.path) == ("POST", "/api/votes")]
    honest = [seen for seen in casts if "authorization" not in seen.headers]
    assert len(casts) == len(honest) + 1, "one shows that it is refused"
    for seen in honest:
        assert not {"cookie", "referer", "ledger-index", "idempotency-key"} & seen.headers.keys()
        assert seen.headers["content-type"] == "application/octet-stream"


def test_no_connection_on_which_it_casts_ever_said_who_it_is(visit: Visit) -> None:
    for connection in visit.nodes[2]:
        tokens = {seen.headers.get("authorization") for seen in connection.requests}
        assert tokens <= {None, "Bearer x"}, "the token of the cast that is refused names nobody"
    assert any(seen.headers.get("authorization") for one in visit.nodes[0] for seen in one.requests)


def test_what_has_not_changed_is_not_sent_again(visit: Visit) -> None:
    assert visit.found["asked"] == 304, "when the page itself sends the ETag"
    assert visit.found["cached"] == {"status": 200, "same": True}, "when the browser does"
    assert [status for one in visit.nodes[1] for status in one.statuses].count(304) == 2


def test_a_preflight_is_asked_once_for_each_address(visit: Visit) -> None:
    names = ("host", "access-control-request-method", "access-control-request-headers")
    asked = [(seen.path, *(seen.headers[name] for name in names)) for seen in preflights(visit)]
    assert asked and len(asked) == len(set(asked))


def test_reading_the_public_log_needs_no_preflight(visit: Visit) -> None:
    read = {seen.path.partition("?")[0] for seen in visit.requests if seen.path.startswith("/api/ledger/")}
    assert read == {
        *("/api/ledger/checkpoint", "/api/ledger/entries", "/api/ledger/members"),
        *("/api/ledger/proof/consistency", "/api/ledger/proof/inclusion"),
    }
    assert not [seen for seen in preflights(visit) if seen.path.startswith("/api/ledger/")]


def preflights(visit: Visit) -> list[Seen]:
    return [seen for seen in visit.requests if seen.method == "OPTIONS"]


def test_turnout_and_status_reach_it_as_server_sent_events(visit: Visit) -> None:
    assert visit.found["status"] == {"status": "open"}
    assert visit.found["turnout"] == {"roll": 1, "issued": 1, "cast": 1}
    assert visit.found["tallied"] == {"status": "tallied"}


def test_it_reads_why_it_was_refused(visit: Visit) -> None:
    assert visit.found["refused"] == {
        "unknown": [404, "UnknownElection"],
        "nowhere": [404, "NotFound"],
        "altered": [422, "BadSignature"],
        "linkable": [400, "LinkableRequest"],
    }
    assert visit.found["problem"] == {
        "type": "application/problem+json",
        "keys": ["detail", "refusal", "status", "title", "type"],
    }
