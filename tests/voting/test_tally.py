"""The tally: ballots of a board opened and counted, to one document for everybody."""

import hashlib
import json
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.ledger.frame import frame
from ballot.voting import document
from ballot.voting.ballot import cast_frame, credential_message
from ballot.voting.choice import encode_choice
from ballot.voting.counting.lot import draw
from ballot.voting.definition import (
    ElectionDefinition,
    Question,
    Registrar,
    Roll,
    Trustee,
    election_id,
    encode_definition,
    pad_length,
)
from ballot.voting.envelope import Context, ballot_id, seal
from ballot.voting.tally import BadSeed, KeysMissing, Opener, Vote, count_document, open_board, seeds_of

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())
QUESTIONS = [Question("Mayor?", "plurality", ["Ada", "Bo"], 1)]


@cache
def long_key(number: int) -> RSAPrivateKey:
    return rsa.load_private(VECTORS["trustees"][number].encode())


@cache
def ballot_key() -> RSAPrivateKey:
    return rsa.load_private(VECTORS["ballot_key"].encode())


def define(*registrars: Registrar) -> ElectionDefinition:
    return ElectionDefinition(
        title="City election",
        questions=QUESTIONS,
        opens_us=1,
        closes_us=0,
        pad_len=pad_length(QUESTIONS),
        k=1,
        trustees=[Trustee("Cluster", rsa.modulus(long_key(0)).hex())],
        registrars=list(registrars),
        roll=Roll(3, "0" * 64),
        origin="ballot.example/log",
        genesis="0" * 64,
    )


SIMPLE = define(Registrar(1, rsa.modulus(long_key(1)).hex()))
WEIGHTED = define(Registrar(1, rsa.modulus(long_key(1)).hex()), Registrar(5, rsa.modulus(long_key(2)).hex()))
KEYS = {1: long_key(0)}


def eid_of(definition: ElectionDefinition) -> bytes:
    return election_id(encode_definition(definition))


def body(definition: ElectionDefinition, choice: bytes, number: int = 0, registrar: int = 1) -> bytes:
    """A ballot; all come from one ballot key, for opening does not ask who signed."""
    eid, bpk, prefix = eid_of(definition), rsa.modulus(ballot_key()), bytes(32)
    context = Context(eid, ballot_id(bpk), 1, (rsa.modulus(long_key(0)),), definition.pad_len)
    envelope = seal(context, choice, hashlib.sha256(b"%d" % number).digest())
    credential = rsa.sign(long_key(registrar), prefix + credential_message(eid, bpk))
    cast = cast_frame(eid, bpk, prefix, credential, envelope)
    return frame("ballot", cast, rsa.sign(ballot_key(), cast))


def board(definition: ElectionDefinition = SIMPLE) -> list[bytes]:
    """Two valid ballots, one whose choice is none, one that is no ballot."""
    choices = [encode_choice([[0]]), encode_choice([[1]]), b"nobody"]
    return [*(body(definition, choice, number) for number, choice in enumerate(choices)), b"garbage"]


def test_every_ballot_of_a_board_is_opened() -> None:
    votes = open_board(SIMPLE, eid_of(SIMPLE), board(), KEYS)
    assert votes == [
        Vote(hashlib.sha256(b"0").digest(), [[0]], 1),
        Vote(hashlib.sha256(b"1").digest(), [[1]], 1),
        None,
        None,
    ]


def test_seeds_and_keys_open_alike() -> None:
    eid, bodies = eid_of(SIMPLE), board()
    votes = open_board(SIMPLE, eid, bodies, KEYS)
    assert open_board(SIMPLE, eid, bodies, KEYS, seeds_of(votes)) == votes
    assert open_board(SIMPLE, eid, bodies[:2], {}, seeds_of(votes[:2])) == votes[:2]


def test_a_ballot_of_another_election_is_invalid() -> None:
    (vote,) = open_board(SIMPLE, eid_of(SIMPLE), [body(WEIGHTED, encode_choice([[0]]))], KEYS)
    assert vote is None


def test_a_wrong_seed_says_nothing_about_the_ballot() -> None:
    opener = Opener(SIMPLE, eid_of(SIMPLE), KEYS)
    for seed in (bytes(32), b"short"):
        with pytest.raises(BadSeed):
            opener.open(board()[0], seed)
    assert opener.open(board()[0]) is not None


def test_without_seed_and_keys_nothing_opens() -> None:
    with pytest.raises(KeysMissing):
        open_board(SIMPLE, eid_of(SIMPLE), board(), {})
    with pytest.raises(ValueError, match="not that trustee's"):
        open_board(SIMPLE, eid_of(SIMPLE), board(), {1: long_key(1)})
    with pytest.raises(ValueError, match="shorter"):
        open_board(SIMPLE, eid_of(SIMPLE), board()[:2], KEYS, [b""])


def test_a_vote_weighs_what_its_registrar_key_says() -> None:
    eid = eid_of(WEIGHTED)
    bodies = [body(WEIGHTED, encode_choice([[0]]), 0, 1), body(WEIGHTED, encode_choice([[1]]), 1, 2)]
    stranger = body(WEIGHTED, encode_choice([[0]]), 2, 0)
    votes = open_board(WEIGHTED, eid, [*bodies, stranger], KEYS)
    assert [vote and vote.weight for vote in votes] == [1, 5, None]
    counted = document.decode(count_document(WEIGHTED, eid, votes))
    assert counted["questions"][0]["rounds"][0]["votes"] == {"0": 1, "1": 5}
    assert counted["ballots"] == {"published": 3, "valid": 2, "invalid": 1}
    assert counted["weights"] == {"1": 1, "5": 1}


def test_the_count_is_one_document_whatever_the_order() -> None:
    eid = eid_of(SIMPLE)
    votes = open_board(SIMPLE, eid, board(), KEYS)
    made = count_document(SIMPLE, eid, votes)
    assert made == count_document(SIMPLE, eid, reversed(votes)) == count_document(SIMPLE, eid, iter(votes))
    value = document.decode(made)
    assert value.keys() == {"version", "election", "ballots", "weights", "lot", "questions"}
    assert (value["version"], value["election"]) == (1, eid.hex())
    assert value["ballots"] == {"published": 4, "valid": 2, "invalid": 2}


def test_the_lot_is_drawn_with_the_seeds_of_the_valid_ballots() -> None:
    eid = eid_of(SIMPLE)
    value = document.decode(count_document(SIMPLE, eid, open_board(SIMPLE, eid, board(), KEYS)))
    first, second = (hashlib.sha256(b"%d" % number).digest() for number in range(2))
    assert bytes.fromhex(value["lot"]) == bytes(a ^ b for a, b in zip(first, second, strict=True))
    (result,) = value["questions"]
    assert result["rounds"][0]["tie"]["broken_by"] == "lot"
    assert result["winners"] == [draw(bytes.fromhex(value["lot"]), 0, 2)[0]]


def test_an_empty_board_is_counted_too() -> None:
    value = document.decode(count_document(SIMPLE, eid_of(SIMPLE), []))
    assert value["ballots"] == {"published": 0, "valid": 0, "invalid": 0}
    assert value["questions"][0]["winners"] == []
