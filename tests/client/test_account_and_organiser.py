"""Accounts and the organiser's requests, against a line that only writes down what it is asked."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from ballot.client.account import Account
from ballot.client.api import Api, Line, NoAnswer, Reply, b64
from ballot.client.organiser import Organiser
from ballot.voting.question import Question

ID = b"e" * 16


class Recorder(Line):
    """Answers with what is put into `answers` by path; keeps (method, path, body)."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__(["memory:"])
        self.answers = answers
        self.asked: list[tuple[str, str, bytes]] = []

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
        self.asked.append((method, path, body or b""))
        answer = self.answers[path]
        value = answer.pop(0) if isinstance(answer, list) else answer
        return Reply(200, 1, json.dumps(value).encode())


def tokens(number: int) -> dict[str, Any]:
    user = {"id": b64(b"u" * 16), "email": "ada@example.org", "roles": ["organiser"]}
    return {
        "access_token": f"access{number}",
        "refresh_token": f"refresh{number}",
        "user": user,
        "device": f"d{number}",
    }


async def code(address: str) -> str:
    assert address == "ada@example.org"
    return "123456"


def test_registering_and_logging_in_confirm_the_mailed_code() -> None:
    line = Recorder(
        {
            "/api/auth/register": {"challenge": "c1"},
            "/api/auth/login": {"challenge": "c2"},
            "/api/auth/otp/verify": [tokens(1), tokens(2)],
            "/api/auth/refresh": tokens(3),
            "/api/auth/me": {"email": "ada@example.org"},
        }
    )
    account = Account(Api(line), "ada@example.org", "long password", code)

    async def use() -> None:
        await account.register()
        await account.login()
        assert account.api.bearer == "access2"
        await account.refresh()
        assert (await account.me())["email"] == "ada@example.org"

    asyncio.run(use())
    assert account.api.bearer == "access3"
    assert (account.id, account.roles) == (b"u" * 16, ["organiser"])
    bodies = [json.loads(body) for _, _, body in line.asked[:-1]]
    # The second login comes from a device that the account knows.
    assert "device" not in bodies[0] and bodies[2]["device"] == "d1"
    assert bodies[1] == {"challenge": "c1", "code": "123456"}
    assert bodies[3] == {"challenge": "c2", "code": "123456"}
    assert bodies[4] == {"refresh_token": "refresh2"}


def test_an_election_is_drafted_filled_opened_and_closed() -> None:
    path = f"/api/elections/{b64(ID)}"
    line = Recorder(
        {
            "/api/elections": {"id": b64(ID)},
            f"{path}/roll": {"accepted": 2},
            f"{path}/open": {"status": "open"},
            f"{path}/close": {"status": "closed"},
            path: [{"status": "closed"}, {"status": "published"}, {"status": "tallied"}],
            f"{path}/results": {"tally": None},
        }
    )
    organiser = Organiser(Api(line))

    async def use() -> None:
        election = await organiser.draft("Title", [Question("Yes?", "plurality", ["Yes", "No"], 1)])
        assert election == ID
        await organiser.upload_roll(election, ["a@example.org", "b@example.org"])
        await organiser.upload_roll(election, {"c@example.org": 7})
        assert await organiser.open(election) == {"status": "open"}
        assert await organiser.close(election) == {"status": "closed"}
        assert await organiser.wait_for(election, ["tallied"], 5) == {"status": "tallied"}
        assert await organiser.results(election) == {"tally": None}

    asyncio.run(use())
    question = {"text": "Yes?", "method": "plurality", "options": ["Yes", "No"], "max_choices": 1, "rules": {}}
    assert json.loads(line.asked[0][2]) == {"title": "Title", "questions": [question]}
    assert line.asked[1][2] == b"email,weight\na@example.org,1\nb@example.org,1\n"
    assert line.asked[2][2] == b"email,weight\nc@example.org,7\n"


def test_waiting_for_a_status_ends() -> None:
    organiser = Organiser(Api(Recorder({f"/api/elections/{b64(ID)}": {"status": "open"}})))
    with pytest.raises(NoAnswer, match="still open"):
        asyncio.run(organiser.wait_for(ID, ["tallied"], 0.0))
