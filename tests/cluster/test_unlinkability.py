"""What a real cluster answers to casts, and to anybody who reads: nothing in it ties a ballot to a cast or an issue."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import pytest

from ballot.client.api import b64, unb64
from ballot.client.vote import Election
from ballot.client.voter import Voter
from ballot.ledger.entry import decode_map, parse
from ballot.replay.export import EntryRecord, read_export
from ballot.voting.ballot import Ballot, parse_ballot
from tests.support.town import Town
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

VOTERS = 4
# What may differ from cast to cast, and says no more than when, and how long the log is by then.
VARYING = {"date", "ledger-index", "content-length"}


async def cast(town: Town, body: bytes, node: int) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and content of the answer to one cast."""
    url, headers = f"{town.line.urls[node]}/api/votes", {"Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 201
        return dict(answer.headers), json.loads(await answer.read())


async def read_all(town: Town, election: Election) -> dict[str, bytes]:
    """Everything that can be read about an election by anybody who may see its results."""
    path = f"/api/elections/{b64(election.id)}"
    asked = {
        "export": "/api/ledger/export",
        "digest": "/api/ledger/digest",
        "checkpoint": "/api/ledger/checkpoint",
        "metrics": "/api/_diag/metrics",
        "election": path,
        "results": f"{path}/results",
        "board": f"{path}/ballots",
    }
    api = town.organiser_account.api
    return {name: (await api.ask("GET", place)).body for name, place in asked.items()}


def spellings(value: bytes) -> Iterator[bytes]:
    """A piece of the value as it is, in hex and in base64 wherever it starts."""
    piece = value[:24]
    yield piece
    yield piece.hex().encode()
    for shift in range(3):
        whole = piece[shift : shift + (len(piece) - shift) // 3 * 3]
        yield from (base64.b64encode(whole), base64.urlsafe_b64encode(whole))


def parts(ballot: Ballot) -> dict[str, bytes]:
    names = ("name", "bid", "bpk", "prefix", "credential", "envelope", "signature")
    return {name: getattr(ballot, name) for name in names}


def test_nothing_that_is_answered_ties_a_ballot_to_its_cast_or_to_its_issue(town: Town) -> None:
    async def look() -> None:
        voters = [await town.voter() for _ in range(VOTERS)]
        election = await town.opened(voters)
        bodies = [await town.ready_to_cast(voter, election, (place % 3,)) for place, voter in enumerate(voters)]
        answers = [await cast(town, body, place % 3) for place, body in enumerate(bodies)]
        await town.organiser.close(election.id)
        await town.organiser.wait_for(election.id, ["tallied"], PATIENCE_S)
        check_answers(answers)
        public = await read_all(town, election)
        salts = [unb64(content["salt"]) for _, content in answers]
        await asyncio.to_thread(check_public, public, [parse_ballot(body) for body in bodies], salts)
        check_board(public["board"], bodies)
        await check_status(town, voters, [parse_ballot(body) for body in bodies])

    town.run(look())


def same_for_all(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() not in VARYING}


def check_answers(answers: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    constant = [same_for_all(headers) for headers, _ in answers]
    assert all(one == constant[0] for one in constant)
    assert not {"set-cookie", "x-request-id", "etag"} & constant[0].keys()
    headers = [unb64(content["header"]) for _, content in answers]
    # A frame of fixed lengths throughout, but for the private digest, which hangs on a fresh salt.
    assert len({len(header) for header in headers}) == 1
    assert len({content["salt"] for _, content in answers}) == len(answers)


def check_public(public: dict[str, bytes], ballots: list[Ballot], salts: list[bytes]) -> None:
    entries = [decode_map(record.public) | {"kind": kind_of(record)} for record in entries_of(public["export"])]
    boards = [entry["ballots"] for entry in entries if entry["kind"] == "BallotsPublished"]
    assert {ballot.body for ballot in ballots} <= {body for board in boards for body in board}
    elsewhere = b"".join(
        record.header + record.public
        for record in entries_of(public["export"])
        if kind_of(record) != "BallotsPublished"
    )
    for name, text in {**public, "export": elsewhere, "board": b""}.items():
        for ballot in ballots:
            for what, value in parts(ballot).items():
                assert not [one for one in spellings(value) if one in text], f"{what} of a ballot in {name}"
        for salt in salts:
            assert not [one for one in spellings(salt) if one in text], f"the salt of a cast in {name}"


def entries_of(export: bytes) -> list[EntryRecord]:
    return [record for record in read_export(io.BytesIO(export)) if isinstance(record, EntryRecord)]


def kind_of(record: EntryRecord) -> str:
    return parse(record.header, record.public).kind


def check_board(board: bytes, bodies: list[bytes]) -> None:
    lines = [json.loads(line) for line in board.splitlines()]
    assert [line["name"] for line in lines] == [b64(name) for name in sorted(unb64(line["name"]) for line in lines)]
    assert {unb64(line["ballot"]) for line in lines} == set(bodies)
    assert lines[0].keys() == {"name", "ballot", "epoch"}
    assert len({len(line["ballot"]) for line in lines}) == 1


async def check_status(town: Town, voters: list[Voter], ballots: list[Ballot]) -> None:
    """What became of a ballot is the same for all, whoever asks."""
    url = f"{town.line.urls[0]}/api/votes/"
    async with aiohttp.ClientSession() as session:
        said = []
        for ballot in ballots:
            async with session.get(url + b64(ballot.name)) as answer:
                said.append((answer.status, same_for_all(answer.headers), await answer.json()))
    assert all(one == said[0] for one in said)
    assert said[0][2] == {"status": "counted"}
