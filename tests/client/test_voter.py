"""A voter against a cluster in memory: the whole way to a verified receipt, and everything that must stop it."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import msgspec
import pytest

from ballot.client.account import Account
from ballot.client.api import Api, NoAnswer, Public, Refused, unb64
from ballot.client.log import Log
from ballot.client.trust import Fork, Trust, Untrusted
from ballot.client.vote import Election
from ballot.client.voter import NotReady, OwnKeys, Voter
from ballot.client.wallet import MemoryStore, decode_secrets
from ballot.ledger import rsa
from ballot.ledger.frame import frame, frame_hash
from ballot.voting.ballot import parse_ballot, verify_credential, verify_signature
from ballot.voting.blind import BlindError
from ballot.voting.choice import InvalidChoice, decode_choice
from ballot.voting.definition import Registrar, election_id, pad_length
from ballot.voting.envelope import open_with_keys
from tests.support.registrar import (
    ELECTION,
    QUESTION,
    USER,
    FixedKeys,
    MemoryCluster,
    MemoryLine,
    ballot_key,
    long_key,
    make_definition,
)

T = TypeVar("T")
ANSWERS = [[2, 0]]


class Scene:
    """A cluster with an open election and one voter on it."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.line = MemoryLine(self.cluster)
        self.store, self.keys = MemoryStore(), FixedKeys()
        self.voter = self.new_voter()

    def new_voter(self) -> Voter:
        """The same person after a restart: same store, nothing in memory."""
        account = Account(Api(self.line), "voter@example.org", "password", no_codes)
        account.id = USER
        trust = Trust.in_genesis(self.cluster.genesis.header, self.cluster.genesis.public)
        return Voter(account, Log(Public(self.line), trust, self.store), self.store, self.keys)

    async def ready(self) -> Election:
        """With the credential in hand."""
        await self.voter.enrol()
        election = await self.voter.fetch_election(ELECTION)
        await self.voter.ask_credential(election)
        return election

    async def cast(self, election: Election, node: int = 0) -> dict[str, Any]:
        reply = await self.voter.cast(election, node)
        return dict(reply.json())


async def no_codes(address: str) -> str:
    raise AssertionError(address)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.cluster.open()
    return scene


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_a_vote_is_recorded_and_can_be_opened_and_counted(scene: Scene) -> None:
    async def vote() -> tuple[Election, int, bytes]:
        election = await scene.ready()
        body = scene.voter.fill_in(election, ANSWERS)
        index = await scene.voter.accept(election, await scene.cast(election))
        assert scene.voter.recheck(election) == index
        return election, index, body

    election, index, body = run(vote())
    assert scene.cluster.entries[index - 1].private == body
    ballot = parse_ballot(body)
    verify_signature(ballot)
    verify_credential(rsa.modulus(long_key(1)), ballot.eid, ballot.bpk, ballot.prefix, ballot.credential)
    opened = open_with_keys(election.context(ballot.bpk), ballot.envelope, {1: long_key(0)})
    assert decode_choice([QUESTION], opened.choice) == ANSWERS


def test_the_identity_key_proves_itself(scene: Scene) -> None:
    run(scene.voter.enrol())
    assert scene.cluster.identity == rsa.modulus(long_key(2))


def test_the_request_for_a_credential_is_signed_by_the_identity_key(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Mapping[str, str]] = []
    answer = scene.cluster.credential

    def note(fields: Mapping[str, str]) -> dict[str, Any]:
        asked.append(fields)
        return answer(fields)

    monkeypatch.setattr(scene.cluster, "credential", note)
    election = run(scene.ready())
    secrets = decode_secrets(scene.store.load(election.eid.hex()) or b"")
    n = rsa.modulus(long_key(2))
    message = frame("issue", election.eid, USER, frame_hash("rsa-key", n), secrets.blinded)
    rsa.verify(n, unb64(asked[0]["identity_sig"]), message)
    assert unb64(asked[0]["blinded"]) == secrets.blinded


def test_the_registrar_never_sees_key_or_credential(scene: Scene) -> None:
    election = run(scene.ready())
    secrets = decode_secrets(scene.store.load(election.eid.hex()) or b"")
    (blinded,) = scene.cluster.issued
    assert blinded == secrets.blinded
    assert secrets.credential not in (blinded, scene.cluster.issued[blinded])


def test_secrets_are_stored_before_the_request_goes_out(scene: Scene) -> None:
    scene.cluster.issued[b"for another key"] = b""
    with pytest.raises(Refused, match="AlreadyIssued"):
        run(scene.ready())
    eid = election_id(scene.cluster.definition)
    assert scene.store.load("identity") is not None
    assert decode_secrets(scene.store.load(eid.hex()) or b"").ballot_key == rsa.dump_private(ballot_key())


def test_a_restarted_voter_asks_again_with_the_same_blinded_message(scene: Scene) -> None:
    async def interrupted() -> None:
        await scene.voter.enrol()
        election = await scene.voter.fetch_election(ELECTION)
        scene.line.mute = {0, 1, 2}
        await scene.voter.ask_credential(election)

    with pytest.raises(NoAnswer):
        run(interrupted())
    scene.line.mute = set()
    scene.voter = scene.new_voter()
    run(scene.ready())
    run(scene.ready())
    assert scene.keys.made == [3072, 2048]
    assert len(scene.cluster.issued) == 1


def test_a_ballot_once_sealed_stays_as_it_is(scene: Scene) -> None:
    async def twice() -> tuple[bytes, bytes]:
        election = await scene.ready()
        first = scene.voter.fill_in(election, ANSWERS)
        scene.voter = scene.new_voter()
        return first, scene.voter.fill_in(election, [[1]])

    first, second = run(twice())
    assert first == second


def test_an_unanswered_cast_is_sent_to_another_node_and_gets_the_same_receipt(scene: Scene) -> None:
    async def vote() -> tuple[dict[str, Any], dict[str, Any]]:
        election = await scene.ready()
        scene.voter.fill_in(election, ANSWERS)
        scene.line.mute = {0}
        with pytest.raises(NoAnswer):
            await scene.voter.cast(election, 0)
        first = await scene.cast(election, 1)
        second = await scene.cast(election, 2)
        await scene.voter.accept(election, second)
        return first, second

    first, second = run(vote())
    same = ("index", "header", "salt")
    assert [first[field] for field in same] == [second[field] for field in same]


def test_the_cast_and_the_public_log_are_asked_by_nobody(scene: Scene) -> None:
    async def vote() -> None:
        scene.voter.account.api.bearer = "abc"
        election = await scene.ready()
        scene.voter.fill_in(election, ANSWERS)
        await scene.voter.accept(election, await scene.cast(election))

    run(vote())
    public = [r for r in scene.line.requests if r[2].startswith(("/api/ledger", "/api/votes"))]
    assert len(public) > 4
    for _node, _method, path, headers, fresh in public:
        assert fresh, path
        assert not headers.keys() & {"Authorization", "Ledger-Index", "Idempotency-Key", "Cookie"}


def test_a_definition_that_is_not_the_one_in_the_log_is_refused(scene: Scene) -> None:
    """A registrar key shown to one voter alone would mark that voter's ballot."""
    tagging = [Registrar(1, rsa.modulus(long_key(2)).hex())]
    scene.cluster.definition = make_definition(scene.cluster.genesis, registrars=tagging)
    with pytest.raises(Untrusted, match="not the one in the log"):
        run(scene.ready())
    assert scene.cluster.issued == {}


def test_an_election_id_of_other_bytes_is_refused(scene: Scene) -> None:
    scene.line.spoil = {"eid": "A" * 43}
    with pytest.raises(Untrusted, match="hash of the definition"):
        run(scene.voter.fetch_election(ELECTION))


def weighted(scene: Scene, told: int | None) -> None:
    """Two classes of weight, the voter in the heavier one, and a node that says which it is."""
    registrars = [Registrar(1, rsa.modulus(long_key(2)).hex()), Registrar(5, rsa.modulus(long_key(1)).hex())]
    scene.cluster.definition = make_definition(scene.cluster.genesis, registrars=registrars)
    scene.cluster.open()
    scene.line.spoil = {"weight": told}


def test_a_credential_is_asked_for_under_the_key_of_one_s_own_weight(scene: Scene) -> None:
    weighted(scene, 5)
    election = run(scene.ready())
    ballot = parse_ballot(scene.voter.fill_in(election, ANSWERS))
    verify_credential(rsa.modulus(long_key(1)), ballot.eid, ballot.bpk, ballot.prefix, ballot.credential)


def test_a_node_that_lies_about_the_weight_leads_to_no_credential(scene: Scene) -> None:
    weighted(scene, 1)
    with pytest.raises(BlindError):
        run(scene.ready())


@pytest.mark.parametrize("told", [None, 0, 7])
def test_a_weight_without_a_registrar_key_is_refused(scene: Scene, told: int | None) -> None:
    weighted(scene, told)
    with pytest.raises(Untrusted, match="no registrar key for our weight"):
        run(scene.ready())
    assert scene.cluster.issued == {}


def test_a_written_name_is_sealed_in_its_normal_form(scene: Scene) -> None:
    asked = msgspec.structs.replace(QUESTION, write_ins=1)
    changes = {"questions": [asked], "pad_len": pad_length([asked])}
    scene.cluster.definition = make_definition(scene.cluster.genesis, **changes)
    scene.cluster.open()
    election = run(scene.ready())
    ballot = parse_ballot(scene.voter.fill_in(election, [["Jane  DOE", 0]]))
    choice = open_with_keys(election.context(ballot.bpk), ballot.envelope, {1: long_key(0)}).choice
    assert decode_choice([asked], choice) == [["jane doe", 0]]


def test_an_election_of_another_log_is_refused(scene: Scene) -> None:
    scene.cluster.definition = make_definition(scene.cluster.genesis, genesis="0" * 64)
    scene.cluster.open()
    with pytest.raises(Untrusted, match="another log"):
        run(scene.voter.fetch_election(ELECTION))


def test_a_checkpoint_of_a_minority_stops_the_voter(scene: Scene) -> None:
    scene.cluster.cosigners = 1
    with pytest.raises(Untrusted, match="no majority"):
        run(scene.voter.fetch_election(ELECTION))


def test_a_fork_stops_the_voter_also_after_a_restart(scene: Scene) -> None:
    run(scene.voter.fetch_election(ELECTION))
    scene.line.cluster = other = MemoryCluster()
    other.append("TermOpened", {"node": 9})
    other.open()
    scene.voter = scene.new_voter()
    with pytest.raises(Fork):
        run(scene.voter.fetch_election(ELECTION))


def test_a_draft_is_not_ready() -> None:
    with pytest.raises(NotReady):
        run(Scene().voter.fetch_election(ELECTION))


def test_a_definition_that_does_not_parse_is_refused(scene: Scene) -> None:
    scene.line.spoil = {"definition": "=="}
    with pytest.raises(Untrusted, match="does not parse"):
        run(scene.voter.fetch_election(ELECTION))


def test_a_wrong_blind_signature_gives_no_credential(scene: Scene) -> None:
    async def ask() -> None:
        await scene.voter.enrol()
        election = await scene.voter.fetch_election(ELECTION)
        scene.line.spoil = {"blind_sig": "A" * 512}
        await scene.voter.ask_credential(election)

    with pytest.raises(BlindError):
        run(ask())


def test_an_invalid_choice_is_never_sealed(scene: Scene) -> None:
    async def vote() -> None:
        election = await scene.ready()
        with pytest.raises(InvalidChoice):
            scene.voter.fill_in(election, [[7]])
        with pytest.raises(NotReady):
            await scene.voter.cast(election, 0)

    run(vote())


def test_nothing_is_sealed_without_a_credential(scene: Scene) -> None:
    async def vote() -> None:
        election = await scene.voter.fetch_election(ELECTION)
        with pytest.raises(NotReady):
            scene.voter.fill_in(election, ANSWERS)
        with pytest.raises(NotReady):
            scene.voter.recheck(election)

    run(vote())


def test_the_receipt_of_another_cast_does_not_count_as_recorded(scene: Scene) -> None:
    async def vote() -> None:
        election = await scene.ready()
        scene.voter.fill_in(election, ANSWERS)
        other = scene.cluster.append("BallotCast", {}, b"somebody else's ballot")
        answer = await scene.cast(election)
        with pytest.raises(Untrusted, match="another ballot"):
            await scene.voter.accept(election, answer | {"receipt": scene.cluster.receipt(other.index).decode()})
        with pytest.raises(Untrusted, match="another place"):
            await scene.voter.accept(election, answer | {"index": other.index})
        with pytest.raises(Untrusted, match="no receipt"):
            await scene.voter.accept(election, {"index": answer["index"]})
        with pytest.raises(NotReady):
            scene.voter.recheck(election)

    run(vote())


def test_a_receipt_from_a_fork_does_not_count_as_recorded(scene: Scene) -> None:
    async def vote() -> None:
        election = await scene.ready()
        body = scene.voter.fill_in(election, ANSWERS)
        other = MemoryCluster()
        while len(other.entries) < 9:
            other.append("TermOpened", {"node": 9})
        scene.line.cluster = other
        _, answer = other.cast(body)
        with pytest.raises(Fork):
            await scene.voter.accept(election, json.loads(json.dumps(answer)))

    run(vote())


def test_a_voter_finds_the_own_ballot_among_the_names_on_the_board(scene: Scene) -> None:
    async def vote() -> None:
        election = await scene.ready()
        name = parse_ballot(scene.voter.fill_in(election, ANSWERS)).name
        assert scene.voter.is_published(election, {b"x" * 32, name})
        assert not scene.voter.is_published(election, {b"x" * 32})

    run(vote())


def test_the_ballot_key_of_the_wallet_signs_the_cast(scene: Scene) -> None:
    election = run(scene.ready())
    assert parse_ballot(scene.voter.fill_in(election, ANSWERS)).bpk == rsa.modulus(ballot_key())


def test_a_voter_can_make_keys_without_help() -> None:
    first, second = run(OwnKeys().make(2048)), run(OwnKeys().make(2048))
    assert first.key_size == 2048
    assert first.private_numbers() != second.private_numbers()
