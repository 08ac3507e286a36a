"""Every bad input gets a named refusal over real HTTP, and nothing is recorded."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from ballot.client.api import Refused, b64
from ballot.client.vote import Election
from ballot.client.voter import Voter
from ballot.ledger.frame import frame, parse_frame
from tests.support.town import Town

pytestmark = pytest.mark.cluster

OCTETS = {"Content-Type": "application/octet-stream"}


class Polls:
    """An open election and voters who have not voted yet."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.voters: list[Voter] = []

    async def open(self, count: int) -> None:
        self.voters = [await self.town.voter() for _ in range(count)]
        self.election: Election = await self.town.opened(self.voters)

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, path: str = "/api/votes"
    ) -> tuple[int, str]:
        """(status, refusal) of a raw request to the first node."""
        async with aiohttp.ClientSession() as session:
            url = self.town.cluster.nodes[0].url + path
            async with session.post(url, data=body, headers=headers or OCTETS) as response:
                document = json.loads(await response.read() or b"{}")
                return response.status, document.get("refusal", "")

    async def recorded(self) -> int:
        return await self.town.cast_count(self.election)


@pytest.fixture(scope="module")
def polls(town: Town) -> Iterator[Polls]:
    polls = Polls(town)
    town.run(polls.open(4))
    yield polls


@pytest.fixture(scope="module")
def sealed(polls: Polls) -> bytes:
    """A good ballot that is never cast as it is."""
    return polls.town.run(polls.town.ready_to_cast(polls.voters[0], polls.election))


def refused(polls: Polls, body: bytes, **options: Any) -> tuple[int, str]:
    async def attempt() -> tuple[int, str]:
        before = await polls.recorded()
        answer = await polls.post(body, **options)
        assert await polls.recorded() == before, "something was recorded"
        return answer

    return polls.town.run(attempt())


def test_a_changed_byte_anywhere_in_a_cast_is_refused(polls: Polls, sealed: bytes) -> None:
    names = set()
    for position in range(0, len(sealed), 61):
        changed = bytearray(sealed)
        changed[position] ^= 1
        status, refusal = refused(polls, bytes(changed))
        assert status in (404, 422), (position, status, refusal)
        names.add(refusal)
    assert names <= {"MalformedBallot", "BadSignature", "BadCredential", "BadEnvelope", "WeakKey", "UnknownElection"}
    assert {"MalformedBallot", "BadSignature", "BadCredential"} <= names


def test_a_ballot_with_bytes_missing_or_added_is_refused(polls: Polls, sealed: bytes) -> None:
    for body in (b"", sealed[:-1], sealed + b"\0", sealed[: len(sealed) // 2]):
        assert refused(polls, body) == (422, "MalformedBallot")


def test_an_oversized_body_is_refused(polls: Polls) -> None:
    assert refused(polls, b"x" * 1_000_000) == (413, "BodyTooLarge")


def test_a_malformed_json_body_is_refused(polls: Polls) -> None:
    json_type = {"Content-Type": "application/json"}
    assert refused(polls, b'{"ballot": ', headers=json_type)[1] == "MalformedBody"
    assert refused(polls, b'{"ballot": "!!"}', headers=json_type)[1] == "MalformedBody"
    assert refused(polls, b'{"ballot": "AA", "voter": "me"}', headers=json_type)[1] == "MalformedBody"


@pytest.mark.parametrize("header", ["Authorization", "Cookie", "Ledger-Index", "Idempotency-Key"])
def test_whatever_could_link_a_cast_to_a_session_is_refused(polls: Polls, sealed: bytes, header: str) -> None:
    bearer = polls.voters[0].account.api.bearer
    headers = {**OCTETS, header: f"Bearer {bearer}" if header == "Authorization" else "1"}
    assert refused(polls, sealed, headers=headers) == (400, "LinkableRequest")


def test_a_credential_of_another_voter_is_refused(polls: Polls, sealed: bytes) -> None:
    """The credential signs one ballot key: put beside another key, it is worth nothing."""
    other = polls.town.run(polls.town.ready_to_cast(polls.voters[1], polls.election))
    cast, signature = parse_frame("ballot", sealed, 2)
    fields = parse_frame("cast", cast, 5)
    stolen = parse_frame("cast", parse_frame("ballot", other, 2)[0], 5)
    swapped = frame("cast", fields[0], fields[1], stolen[2], stolen[3], fields[4])
    assert refused(polls, frame("ballot", swapped, signature)) == (422, "BadCredential")


def test_a_second_ballot_under_one_credential_is_refused(polls: Polls) -> None:
    async def attempt() -> tuple[int, str]:
        town, voter, election = polls.town, polls.voters[2], polls.election
        await town.ready_to_cast(voter, election, [0])
        first = await voter.cast(election, 0)
        await voter.accept(election, first.json())
        second = seal_again(voter, election, [1])
        return await polls.post(second)

    assert polls.town.run(attempt()) == (409, "AlreadyCast")


def seal_again(voter: Voter, election: Election, answer: list[int]) -> bytes:
    """What a cheating client would do: the same credential, another choice."""
    from ballot.client import vote

    secrets = voter.secrets(election)
    assert secrets is not None
    return vote.seal_ballot(election, voter._key(secrets.ballot_key), secrets, [answer])


def test_a_second_ballot_key_after_a_credential_was_issued_is_refused(polls: Polls) -> None:
    async def attempt() -> None:
        voter, election = polls.voters[0], polls.election
        await polls.town.ready_to_cast(voter, election)
        voter._store.save(election.eid.hex(), b"")
        forgetful = Voter(voter.account, voter.log, _Forgetful(voter), voter._keys)
        await forgetful.ask_credential(election)

    with pytest.raises(Refused) as error:
        polls.town.run(attempt())
    assert (error.value.status, error.value.refusal) == (409, "AlreadyIssued")


class _Forgetful:
    """A wallet that lost what it knew of the election but not the identity key."""

    def __init__(self, voter: Voter) -> None:
        self._old = voter._store
        self._new: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self._old.load(name) if name in ("identity", "checkpoint") else self._new.get(name)

    def save(self, name: str, data: bytes) -> None:
        self._new[name] = data


def test_a_voter_who_is_not_on_the_roll_gets_no_credential(polls: Polls) -> None:
    async def attempt() -> None:
        stranger = await polls.town.voter()
        await stranger.ask_credential(polls.election)

    with pytest.raises(Refused) as error:
        polls.town.run(attempt())
    assert (error.value.status, error.value.refusal) == (403, "NotOnRoll")


def test_a_ballot_for_another_election_is_refused(polls: Polls) -> None:
    """A ballot sealed for one election, its eid rewritten to another that is open too."""

    async def attempt() -> tuple[int, str]:
        town, voter = polls.town, polls.voters[3]
        other = await town.opened([voter])
        body = await town.ready_to_cast(voter, other)
        cast, signature = parse_frame("ballot", body, 2)
        moved = frame("cast", polls.election.eid, *parse_frame("cast", cast, 5)[1:])
        return await polls.post(frame("ballot", moved, signature))

    # Its number sealed to the other election's trustee may by chance be above this one's modulus, which is seen first.
    assert polls.town.run(attempt()) in ((422, "BadCredential"), (422, "BadEnvelope"))


def test_a_cast_before_opening_or_after_the_close_is_refused(polls: Polls) -> None:
    async def attempt() -> tuple[tuple[int, str], tuple[int, str]]:
        town = polls.town
        voter = await town.voter()
        election = await town.opened([voter])
        body = await town.ready_to_cast(voter, election)
        unknown = bytearray(body)
        position = body.index(election.eid)
        unknown[position] ^= 1
        early = await polls.post(bytes(unknown))
        await town.organiser.close(election.id)
        await town.caught_up()
        return early, await polls.post(body)

    early, late = polls.town.run(attempt())
    assert early == (404, "UnknownElection"), "an election that has not opened has no id to vote under"
    assert late == (410, "ElectionClosed")


def test_no_credential_is_issued_before_opening_or_after_the_close(polls: Polls) -> None:
    async def attempt() -> tuple[str, str]:
        town = polls.town
        voter = await town.voter()
        draft = await town.draft([voter])
        fields = {"blinded": b64(b"x" * 384), "identity_sig": b64(b"x" * 384)}
        await town.caught_up()
        early = await refusal(voter.account.api.ask("POST", f"/api/elections/{b64(draft)}/credential", fields))
        await town.organiser.open(draft)
        await town.caught_up()
        election = await voter.fetch_election(draft)
        await town.organiser.close(draft)
        await town.caught_up()
        return early, await refusal(voter.ask_credential(election))

    assert polls.town.run(attempt()) == ("ElectionNotOpen", "ElectionClosed")


async def refusal(work: Any) -> str:
    try:
        await work
    except Refused as error:
        return error.refusal
    return ""


def test_a_forged_or_expired_token_is_refused(polls: Polls) -> None:
    import jwt

    from ballot.ledger import rsa

    async def attempt(token: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session:
            url = polls.town.cluster.nodes[0].url + "/api/elections"
            async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
                return response.status, json.loads(await response.read())["refusal"]

    bearer = polls.voters[0].account.api.bearer
    claims = jwt.decode(bearer, options={"verify_signature": False})
    headers = jwt.get_unverified_header(bearer)
    keys = polls.town.cluster.folder / "keys" / "shared" / "jwt_private"
    real = rsa.load_private(keys.read_bytes())
    expired = jwt.encode({**claims, "exp": claims["iat"] - 1}, real, "RS256", headers)
    bad = [
        "rubbish",
        bearer[:-8] + "AAAAAAAA",
        jwt.encode(claims, rsa.generate(2048), "RS256", headers),
        ".".join([b64(b'{"alg":"none","typ":"JWT"}'), b64(json.dumps(claims).encode()), ""]),
        expired,
        jwt.encode({**claims, "aud": "somebody else"}, real, "RS256", headers),
        jwt.encode({**claims, "typ": "refresh"}, real, "RS256", headers),
    ]
    for token in bad:
        assert polls.town.run(attempt(token)) == (401, "InvalidToken"), token[:20]


def test_a_wrong_or_replayed_code_is_refused(polls: Polls) -> None:
    async def attempt() -> tuple[str, str, str]:
        town = polls.town
        account = await town.account()
        login = {"email": account.email, "password": account._password}
        challenge = (await account.api.ask("POST", "/api/auth/login", login)).json()["challenge"]
        code = await town.postbox.code(account.email)
        wrong = f"{(int(code) + 1) % 1_000_000:06d}"
        verify = "/api/auth/otp/verify"
        first = await refusal(account.api.ask("POST", verify, {"challenge": challenge, "code": wrong}))
        right = await refusal(account.api.ask("POST", verify, {"challenge": challenge, "code": code}))
        replay = await refusal(account.api.ask("POST", verify, {"challenge": challenge, "code": code}))
        return first, right, replay

    assert polls.town.run(attempt()) == ("WrongCode", "", "CodeExpired")


def test_a_voter_cannot_do_an_organisers_work(polls: Polls) -> None:
    async def attempt() -> tuple[str, str]:
        api = polls.voters[0].account.api
        question = {"text": "Me?", "method": "plurality", "options": ["Yes", "No"], "max_choices": 1}
        draft = {"title": "Mine", "questions": [question]}
        one = await refusal(api.ask("POST", "/api/elections", draft))
        two = await refusal(api.ask("POST", f"/api/elections/{b64(polls.election.id)}/close", {}))
        return one, two

    assert polls.town.run(attempt()) == ("RoleMissing", "NotOrganiser")


def test_bad_input_is_logged_without_a_secret_in_it(polls: Polls) -> None:
    logs = b"".join(node.log.read_bytes() for node in polls.town.cluster.nodes)
    api = polls.voters[0].account.api
    for secret in (api.bearer.encode(), polls.voters[0].account._password.encode(), b"BEGIN PRIVATE KEY"):
        assert secret not in logs
    assert polls.voters[0].account.email.encode() not in logs
