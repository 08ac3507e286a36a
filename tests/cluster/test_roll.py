"""A roll of ten thousand over HTTP, and every line that was refused."""

import time
from typing import Any

import pytest

from ballot.client.api import Refused, b64
from tests.support.town import FRUIT, Town

pytestmark = pytest.mark.cluster

LINES = 10_000


def test_ten_thousand_lines_are_taken_and_the_bad_ones_named(town: Town) -> None:
    async def upload() -> None:
        election = await town.organiser.draft(f"Election {next(town.numbers)}", [FRUIT])
        lines = [f"roll{number}@example.org,{1 + number % 3}" for number in range(LINES)]
        lines[17], lines[4_711], lines[9_999] = "nobody", lines[0], '"unclosed@example.org'
        began = time.perf_counter()
        answer = await post(town, election, lines)
        print(f"{LINES} lines in {time.perf_counter() - began:.1f} s")
        assert (answer["accepted"], answer["already"], answer["roll_size"]) == (LINES - 3, 0, LINES - 3)
        # The header is line 1.
        assert [refused["line"] for refused in answer["refused"]] == [19, 4_713, 10_001]
        assert all(refused["reason"] for refused in answer["refused"])
        again = await post(town, election, ["ROLL5@example.org", "late@example.org", "roll6@EXAMPLE.org"])
        assert (again["accepted"], again["already"], again["roll_size"]) == (1, 2, LINES - 2)
        assert [(refused["line"], refused["reason"]) for refused in again["refused"]] == [
            (2, "the address is on the roll already"),
            (4, "the address is on the roll already"),
        ]

    town.run(upload())


async def post(town: Town, election: bytes, lines: list[str]) -> dict[str, Any]:
    body = "\r\n".join(["email,weight" if "," in lines[0] else "email", *lines]).encode()
    path = f"/api/elections/{b64(election)}/roll"
    reply = await town.organiser_account.api.ask("POST", path, body=body, media="text/csv")
    answer: dict[str, Any] = reply.json()
    return answer


def test_more_weights_than_there_can_be_keys_are_refused_before_anybody_is_added(town: Town) -> None:
    async def upload() -> None:
        election = await town.organiser.draft(f"Election {next(town.numbers)}", [FRUIT])
        await post(town, election, ["first@example.org,1000"])
        with pytest.raises(Refused, match="TooManyWeights"):
            await post(town, election, [f"w{weight}@example.org,{weight}" for weight in range(1, 65)])
        assert (await town.organiser.election(election))["roll_size"] == 1

    town.run(upload())
