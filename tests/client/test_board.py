"""The downloaded board: every ballot under its own name, in order, once."""

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256

import pytest

from ballot.client import board
from ballot.client.api import Api, Line, Reply, b64
from ballot.client.trust import Untrusted

ELECTION = b"e" * 16
BALLOTS = sorted((b"first", b"second", b"third"), key=lambda ballot: sha256(ballot).digest())


def line_of(ballot: bytes, name: bytes | None = None, epoch: int = 0) -> bytes:
    fields = {"name": b64(name or sha256(ballot).digest()), "ballot": b64(ballot), "epoch": epoch}
    return json.dumps(fields).encode() + b"\n"


def download(body: bytes) -> list[bytes]:
    class OneAnswer(Line):
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
            assert (method, path) == ("GET", f"/api/elections/{b64(ELECTION)}/ballots")
            return Reply(200, 1, answer)

    answer = body
    return asyncio.run(board.download(Api(OneAnswer(["memory:"])), ELECTION))


def test_the_ballots_come_in_the_order_of_the_board() -> None:
    assert download(b"".join(map(line_of, BALLOTS))) == BALLOTS


def test_every_epoch_has_an_order_of_its_own() -> None:
    third, first, second = BALLOTS[2], BALLOTS[0], BALLOTS[1]
    assert download(line_of(third) + line_of(first, epoch=1) + line_of(second, epoch=1)) == [third, first, second]


def test_an_empty_board_is_empty() -> None:
    assert download(b"") == []


@pytest.mark.parametrize(
    "body",
    [
        line_of(b"ballot", name=b"n" * 32),
        b"".join(map(line_of, reversed(BALLOTS))),
        line_of(BALLOTS[0]) * 2,
        line_of(BALLOTS[0]) + line_of(BALLOTS[0], epoch=1),
        line_of(BALLOTS[1], epoch=1) + line_of(BALLOTS[0], epoch=1),
        line_of(BALLOTS[0], epoch=1) + line_of(BALLOTS[1], epoch=0),
        b'{"name": "AA", "ballot": "AA"}\n',
        b"no json\n",
        b'{"name": "AA"}\n',
        b'["AA"]\n',
        b'{"name": "=", "ballot": "AA"}\n',
    ],
)
def test_a_board_that_is_not_what_it_says_is_refused(body: bytes) -> None:
    with pytest.raises(Untrusted):
        download(body)
