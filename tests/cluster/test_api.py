"""What the API gives a frontend, over real HTTP: pages, filters, repeats, events, what need not be sent again."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import pytest

from ballot.client.account import Account
from ballot.client.api import b64
from tests.support.town import Town
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.cluster

GRACE_S = 10
"""How long gunicorn would wait for open connections."""
QUESTION = {"text": "Who?", "method": "plurality", "options": ["Ada", "Grace"], "max_choices": 1}


@dataclass(frozen=True)
class Told:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    town: Town, method: str, path: str, account: Account | None = None, body: Any = None, node: int = 0, **headers: str
) -> Told:
    """One request to one node, as it is. `headers`: with underscores for hyphens."""
    sent = {"Accept-Encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if account is not None:
        sent["Authorization"] = f"Bearer {account.api.bearer}"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        url = town.cluster.nodes[node].url + path
        async with session.request(method, url, json=body, headers=sent) as response:
            return Told(response.status, response.headers, await response.read())


def test_elections_come_in_pages_and_by_status_and_role(town: Town) -> None:
    async def run() -> None:
        voter, organiser = await town.voter(), town.organiser_account
        drafts = [b64(await town.draft([voter])) for _ in range(3)]
        opened = b64((await town.opened([voter])).id)
        pages, path = [], "/api/elections?role=organiser&limit=2"
        cursor: str | None = ""
        while cursor is not None:
            page = (await ask(town, "GET", path + (f"&cursor={cursor}" if cursor else ""), organiser)).json
            pages.append([one["id"] for one in page["elections"]])
            cursor = page["next"]
        listed = [one for page in pages for one in page]
        assert listed[:4] == [opened, *reversed(drafts)]
        assert all(len(page) == 2 for page in pages[:-1]) and len(listed) == len(set(listed))
        mine = (await ask(town, "GET", "/api/elections?role=voter", voter.account)).json["elections"]
        assert [one["id"] for one in mine] == [opened]
        closed = await ask(town, "GET", "/api/elections?role=voter&status=closed", voter.account)
        assert closed.json == {"elections": [], "next": None}

    town.run(run())


def test_entries_come_in_pages(town: Town) -> None:
    async def run() -> None:
        found, start = [], 1
        while start:
            page = (await ask(town, "GET", f"/api/ledger/entries?from={start}&to=20")).json
            found += [entry["index"] for entry in page["entries"]]
            start = page["next"]
        last = page["last"]
        assert found == list(range(1, min(20, last) + 1))
        beyond = (await ask(town, "GET", f"/api/ledger/entries?from={last + 1000}")).json
        assert (beyond["entries"], beyond["next"]) == ([], None)

    town.run(run())


def test_a_draft_sent_twice_under_one_key_is_one_draft_and_another_under_it_is_refused(town: Town) -> None:
    async def run() -> None:
        organiser = town.organiser_account
        draft = {"title": "Once", "questions": [QUESTION]}
        path, key = "/api/elections", "a key of my own"
        first = await ask(town, "POST", path, organiser, body=draft, Idempotency_Key=key)
        again = await ask(town, "POST", path, organiser, body=draft, node=1, Idempotency_Key=key)
        other = await ask(town, "POST", path, organiser, body={**draft, "title": "Twice"}, Idempotency_Key=key)
        assert (first.status, again.status) == (201, 201) and first.json["id"] == again.json["id"]
        assert (other.status, other.json["refusal"]) == (422, "IdempotencyKeyReused")
        path = f"{path}/{first.json['id']}"
        for title, expected in (("New", 200), ("New", 200), ("Newer", 422)):
            changed = await ask(town, "PATCH", path, organiser, body={"title": title}, Idempotency_Key=key)
            assert changed.status == expected
        assert (await ask(town, "GET", path, organiser)).json["title"] == "New"

    town.run(run())


def test_mail_ordered_twice_under_one_key_is_ordered_once_and_of_another_kind_refused(town: Town) -> None:
    async def run() -> None:
        election = await town.draft([])
        await town.organiser.upload_roll(election, ["mailed@example.org"])
        path, organiser = f"/api/elections/{b64(election)}/mail", town.organiser_account
        for kind, status in (("invitation", 202), ("invitation", 202), ("reminder", 422)):
            told = await ask(town, "POST", path, organiser, body={"kind": kind}, Idempotency_Key="once")
            assert told.status == status, told.body
        assert told.json["refusal"] == "IdempotencyKeyReused"

    town.run(run())


def test_whoever_shows_a_ledger_index_reads_what_they_wrote_at_any_node(town: Town) -> None:
    async def run() -> None:
        organiser = town.organiser_account
        for number in range(6):
            draft = {"title": f"Draft {number}", "questions": [QUESTION]}
            written = await ask(town, "POST", "/api/elections", organiser, body=draft, node=number % 3)
            index, path = written.headers["Ledger-Index"], f"/api/elections/{written.json['id']}"
            read = await ask(town, "GET", path, organiser, node=(number + 1) % 3, Ledger_Index=index)
            assert read.json["title"] == f"Draft {number}"
            assert int(read.headers["Ledger-Index"]) >= int(index)

    town.run(run())


def test_an_election_that_has_not_changed_is_not_sent_again(town: Town) -> None:
    async def run() -> None:
        organiser = town.organiser_account
        path = f"/api/elections/{b64(await town.draft([]))}"
        tag = (await ask(town, "GET", path, organiser)).headers["ETag"]
        same = await ask(town, "GET", path, organiser, node=2, If_None_Match=tag, Ledger_Index=str(organiser.api.index))
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
        await ask(town, "PATCH", path, organiser, body={"title": "Changed"})
        changed = await ask(town, "GET", path, organiser, If_None_Match=tag)
        assert changed.status == 200 and changed.headers["ETag"] != tag

    town.run(run())


def test_a_board_is_packed_and_goes_on_where_a_reader_stopped(town: Town) -> None:
    async def run() -> None:
        voters = [await town.voter() for _ in range(3)]
        election = await town.opened(voters)
        for voter in voters:
            await town.ready_to_cast(voter, election)
            await voter.accept(election, (await voter.cast(election, 0)).json())
        await town.organiser.close(election.id)
        await town.organiser.wait_for(election.id, {"published", "tallied"}, PATIENCE_S)
        path, organiser = f"/api/elections/{b64(election.id)}/ballots", town.organiser_account
        whole = await ask(town, "GET", path, organiser)
        names = [json.loads(line)["name"] for line in whole.body.splitlines()]
        assert len(names) == 3
        packed = await ask(town, "GET", path, organiser, Accept_Encoding="gzip")
        assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.body) == whole.body
        rest = await ask(town, "GET", f"{path}?after={names[0]}", organiser)
        assert rest.body == b"".join(whole.body.splitlines(keepends=True)[1:])
        same = await ask(town, "GET", path, organiser, If_None_Match=whole.headers["ETag"])
        assert (same.status, same.body) == (304, b"")

    town.run(run())


async def stream(town: Town, path: str, account: Account) -> AsyncIterator[tuple[str, Any]]:
    """(name, data) of server-sent events until the server ends the stream."""
    headers = {"Authorization": f"Bearer {account.api.bearer}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(town.cluster.nodes[0].url + path, headers=headers) as told,
    ):
        assert (told.status, told.content_type) == (200, "text/event-stream")
        name = ""
        async for line in told.content:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)


def test_turnout_and_status_are_told_as_they_change(town: Town) -> None:
    async def run() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        events = stream(town, f"/api/elections/{b64(election.id)}/events", voter.account)
        assert await anext(events) == ("status", {"status": "open"})
        await town.ready_to_cast(voter, election)
        await voter.accept(election, (await voter.cast(election, 0)).json())
        async with asyncio.timeout(PATIENCE_S):
            # A step may have ended before the cast.
            turnout = [await anext(events)]
            while turnout[-1] != ("turnout", {"roll": 1, "issued": 1, "cast": 1}):
                turnout.append(await anext(events))
            assert {name for name, _ in turnout} == {"turnout"}
            await town.organiser.close(election.id)
            told = [await anext(events)]
            while told[-1] != ("status", {"status": "tallied"}):
                told.append(await anext(events))
        # Of the keys only whoever looks between publication and count is told.
        assert {name for name, _ in told} <= {"status", "keys"}

    town.run(run())


def test_events_need_no_token_but_for_a_draft(town: Town) -> None:
    async def run() -> None:
        voter = await town.voter()
        opened, draft = b64((await town.opened([voter])).id), b64(await town.draft([voter]))
        assert (await ask(town, "HEAD", f"/api/elections/{opened}/events")).status == 200
        hidden = await ask(town, "GET", f"/api/elections/{draft}/events")
        assert (hidden.status, hidden.json["refusal"]) == (404, "UnknownElection")
        forged = await ask(town, "GET", f"/api/elections/{opened}/events", Authorization="Bearer x")
        assert (forged.status, forged.json["refusal"]) == (401, "InvalidToken")
        events = stream(town, f"/api/elections/{draft}/events", town.organiser_account)
        assert await anext(events) == ("status", {"status": "draft"})

    town.run(run())


def test_the_cluster_s_state_and_its_locks_are_for_admins(town: Town) -> None:
    async def run() -> None:
        admin, voter = await town.account(), await town.account()
        await town.cluster.grant(admin.email, "admin")
        for path in ("/api/_diag/events", "/api/_diag/locks"):
            refused = await ask(town, "GET", path, voter)
            assert (refused.status, refused.json["refusal"]) == (403, "RoleMissing")
        async for name, state in stream(town, "/api/_diag/events", admin):
            assert name == "cluster" and state["voters"] == [1, 2, 3]
            if state["leader"] in (1, 2, 3):
                break

        async def no_lock_is_held() -> bool:
            locks = (await ask(town, "GET", "/api/_diag/locks", admin)).json
            return bool(locks == {"enabled": True, "failing": False, "held": []})

        await until(no_lock_is_held)

    town.run(run())


def test_only_so_many_streams_a_user_are_served(town: Town) -> None:
    async def run() -> None:
        voter = await town.voter()
        path = f"/api/elections/{b64((await town.opened([voter])).id)}/events"
        streams = [stream(town, path, voter.account) for _ in range(5)]
        for one in streams:
            await anext(one)
        refused = await ask(town, "GET", path, voter.account)
        assert (refused.status, refused.json["refusal"]) == (429, "TooManyRequests")
        assert int(refused.headers["Retry-After"]) > 0 and refused.headers["RateLimit-Limit"] == "5"
        for one in streams:
            await one.aclose()  # type: ignore[attr-defined]

        async def is_free() -> bool:
            return (await ask(town, "HEAD", path, voter.account)).status == 200

        await until(is_free)

    town.run(run())


def test_a_worker_that_is_told_to_end_lets_its_streams_go_at_once(town: Town) -> None:
    async def run() -> None:
        node, voter = town.cluster.nodes[0], await town.voter()
        events = stream(town, f"/api/elections/{b64((await town.opened([voter])).id)}/events", voter.account)
        await anext(events)
        began = monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(node.stop_http))
        rest = [event async for event in events]
        await stopping
        took = monotonic() - began
        node.start_http()
        await asyncio.to_thread(town.cluster.wait_ready)
        assert rest == [] and took < GRACE_S, "gunicorn did not wait for it"

    town.run(run())
