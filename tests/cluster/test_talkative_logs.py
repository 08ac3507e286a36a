"""A whole life with every log at its most talkative, and then a search for every secret that was used."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from ballot.client.claims import claim_fields, sign_claim
from ballot.client.vote import Election
from ballot.client.voter import Voter
from ballot.ledger import rsa
from ballot.voting.ballot import parse_ballot
from tests.support.town import PASSWORD, Town
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

HOME = "127.0.0.93"
# What a proxy in front would add.
FORWARDED = {
    "X-Forwarded-For": "203.0.113.71, 203.0.113.72",
    "Forwarded": "for=203.0.113.73;by=203.0.113.74",
    "X-Real-IP": "203.0.113.75",
    "True-Client-IP": "203.0.113.76",
}
NEW = "yet another password, as long"
WRONG = "a guess that is nobody's password"


class Seen:
    """Every secret and everything personal that came by, by what it is."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def add(self, what: str, secret: bytes | str) -> None:
        self.kept[what] = secret.encode() if isinstance(secret, str) else secret

    def spellings(self) -> Iterator[tuple[str, bytes]]:
        """As it is, in hex and in the two base64 alphabets; long ones also by a piece of them."""
        for what, secret in self.kept.items():
            pieces = [secret] if len(secret) <= 48 else [secret[at : at + 48] for at in (0, len(secret) // 2)]
            for piece in pieces:
                yield what, piece
                if len(piece) >= 8:
                    # Whole groups of three bytes, so that it does not matter what stands around them.
                    for shift in range(3):
                        inner = piece[shift : shift + (len(piece) - shift) // 3 * 3]
                        yield what, base64.b64encode(inner)
                        yield what, base64.urlsafe_b64encode(inner)
                    yield what, piece.hex().encode()


@pytest.fixture
def talkative(town: Town) -> Iterator[None]:
    """Every process of every node at the log level debug."""
    for level in ("debug", "info"):
        for node in town.cluster.nodes:
            node.stop()
            node.environment["BALLOT_LOG_LEVEL"] = level
            node.start_ledger()
            node.start_http()
        town.cluster.wait_ready()
        if level == "debug":
            yield


def logs(town: Town) -> dict[Path, bytes]:
    """What nodes, PostgreSQL and Redis wrote."""
    return {path: path.read_bytes() for path in town.cluster.folder.rglob("*.log")}


def test_no_log_of_any_node_has_a_secret_in_it(town: Town, talkative: None) -> None:
    seen = Seen()
    for path in (town.cluster.folder / "keys").rglob("*"):
        if path.is_file() and path.name not in ("genesis", "ca_certificate", "tls_certificate", "record"):
            seen.add(path.name, secret_part(path.read_bytes()))

    async def live() -> None:
        voter = await town.voter()
        account = voter.account
        for what, text in {"address": account.email, "password": PASSWORD, "new password": NEW, "guess": WRONG}.items():
            seen.add(what, text)
        note_tokens(seen, account, "first")
        await raw(town, "/api/auth/login", {"email": account.email, "password": WRONG})
        await raw(town, "/api/auth/login", {"email": account.email, "password": PASSWORD, "device": "not a device"})
        seen.add("code", f"code: {await town.postbox.code(account.email)}")
        await account.refresh()
        note_tokens(seen, account, "refreshed")
        await account.change_password(NEW)
        note_tokens(seen, account, "changed")
        idle = await town.voter()
        election = await town.opened([voter, idle])
        await idle.ask_credential(election)
        await town.organiser.mail(election.id, "invitation")
        body = await town.ready_to_cast(voter, election)
        seen.add("ballot", body)
        ballot = parse_ballot(body)
        seen.kept |= {"its name": ballot.name, "its key": ballot.bpk, "its key's id": ballot.bid}
        secrets = voter.secrets(election)
        assert secrets is not None
        for what in ("ballot_key", "credential"):
            seen.add(what, secret_part(getattr(secrets, what)))
        seen.add("identity key", secret_part(voter._store.load("identity") or b""))
        for cast in (body, body, body[:-1], body[:-1] + bytes([body[-1] ^ 1]), b"{}"):
            await raw(town, "/api/votes", cast)
        await raw(town, "/api/votes", body, **{"Ledger-Index": "1"})
        for request in BROKEN:
            await cut_off(town, request)
        node = town.cluster.nodes[0]
        node.kill_ledger()
        await raw(town, "/api/votes", body)
        node.start_ledger()
        await asyncio.to_thread(town.cluster.wait_ready)
        await town.organiser.close(election.id)
        await town.organiser.wait_for(election.id, ["tallied"], PATIENCE_S)
        await claim_twice(town, idle, election, seen)

    town.run(live())
    found = {
        (path.relative_to(town.cluster.folder).as_posix(), what)
        for path, text in logs(town).items()
        for what, spelling in seen.spellings()
        if spelling in text
    }
    assert found == set()
    for address in (HOME, "203.0.113."):
        assert address.encode() not in b"".join(logs(town).values()), "the network address of whoever cast"
    everything = b"".join(logs(town).values())
    assert b'"level": "debug"' in everything and b"ElectionClosed" in everything, "the logs are worth a search"


async def claim_twice(town: Town, idle: Voter, election: Election, seen: Seen) -> None:
    secrets = idle.secrets(election)
    assert secrets is not None
    ballot_key = idle._key(secrets.ballot_key)
    secrets = msgspec.structs.replace(secrets, claim=sign_claim(ballot_key, secrets))
    fields = claim_fields(secrets, rsa.modulus(ballot_key))
    seen.add("claimed credential", secrets.credential)
    seen.add("claim", secrets.claim)
    for claim in (
        fields,
        fields,
        fields | {"signature": fields["credential"]},
        fields | {"prefix": fields["election"]},
    ):
        await raw(town, "/api/votes/unused", claim)
    assert (await town.organiser.results(election.id))["accounting"]["unused"] == 1


def secret_part(data: bytes) -> bytes:
    """Of a PEM file its middle: the beginning is the same in all."""
    if not data.startswith(b"-----BEGIN"):
        return data
    text = b"".join(data.splitlines()[1:-1])
    return text[len(text) // 2 :][:64]


def note_tokens(seen: Seen, account: Any, when: str) -> None:
    seen.add(f"access token, {when}", account.api.bearer.rpartition(".")[2])
    seen.add(f"refresh token, {when}", account.refresh_token)
    seen.add(f"device token, {when}", account._device)


# Casts that never arrive whole, or are no HTTP.
BROKEN = (
    b"POST /api/votes HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 900\r\n\r\nabc",
    b"POST /api/votes HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    b"POST /api/votes HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.77\r\n" + b"X: y\r\n" * 100 + b"\r\n",
    b"POST /api/votes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01 no HTTP at all\r\n\r\n",
)


async def cut_off(town: Town, request: bytes) -> None:
    """Sends these bytes from the same address and hangs up."""
    host, _, port = town.line.urls[0].removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(HOME, 0))
    writer.write(request)
    await writer.drain()
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.5):
            await reader.read()
    writer.close()


async def raw(town: Town, path: str, body: Any, **more: str) -> None:
    """A request to the first node from an address of its own, whatever comes of it."""
    connector = aiohttp.TCPConnector(local_addr=(HOME, 0))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    media = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    async with aiohttp.ClientSession(connector=connector) as session:
        url, headers = town.line.urls[0] + path, {"Content-Type": media, **FORWARDED, **more}
        async with session.post(url, data=data, headers=headers) as answer:
            await answer.read()
