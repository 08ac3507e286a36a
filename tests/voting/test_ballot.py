"""The bytes of a ballot: one shape, and two signatures that hold for nothing else."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger import rsa
from ballot.ledger.frame import FrameError, frame, u32
from ballot.voting.ballot import (
    Ballot,
    BallotError,
    cast_frame,
    credential_message,
    parse_ballot,
    roll_leaf,
    verify_credential,
    verify_signature,
)
from ballot.voting.envelope import ballot_id
from tests.support.keys import ballot_key, long_key

EID, PREFIX, ENVELOPE = b"e" * 32, b"p" * 32, b"envelope"
BPK = rsa.modulus(ballot_key())
REGISTRAR = rsa.modulus(long_key(1))
CREDENTIAL = rsa.sign(long_key(1), PREFIX + frame("credential", EID, BPK))
CAST = frame("cast", EID, BPK, PREFIX, CREDENTIAL, ENVELOPE)
SIGNATURE = rsa.sign(ballot_key(), CAST)
BODY = frame("ballot", CAST, SIGNATURE)


def altered(data: bytes, position: int = 0) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def refused(body: bytes) -> None:
    with pytest.raises(BallotError) as refusal:
        parse_ballot(body)
    assert refusal.value.name == "MalformedBallot"


def test_a_ballot_is_read_from_exactly_its_bytes() -> None:
    assert cast_frame(EID, BPK, PREFIX, CREDENTIAL, ENVELOPE) == CAST
    ballot = parse_ballot(BODY)
    assert ballot == Ballot(BODY, CAST, SIGNATURE, EID, BPK, PREFIX, CREDENTIAL, ENVELOPE)
    assert ballot.name == hashlib.sha256(BODY).digest()
    assert ballot.bid == ballot_id(BPK)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY[:-1],
        BODY + b"\0",
        CAST,
        frame("ballot", CAST),
        frame("ballot", CAST, SIGNATURE, b""),
        frame("ballot", CAST + b"\0", SIGNATURE),
        frame("ballot", frame("cast", EID, BPK, PREFIX, CREDENTIAL), SIGNATURE),
        frame("ballot", CAST, SIGNATURE[1:]),
        frame("ballot", cast_frame(EID[1:], BPK, PREFIX, CREDENTIAL, ENVELOPE), SIGNATURE),
        frame("ballot", cast_frame(EID, b"\0" + BPK, PREFIX, CREDENTIAL, ENVELOPE), SIGNATURE),
        frame("ballot", cast_frame(EID, BPK, PREFIX + b"p", CREDENTIAL, ENVELOPE), SIGNATURE),
        frame("ballot", cast_frame(EID, BPK, PREFIX, CREDENTIAL[1:], ENVELOPE), SIGNATURE),
    ],
)
def test_any_other_shape_is_refused(body: bytes) -> None:
    refused(body)


@given(st.binary(max_size=200), st.integers(0, len(BODY)))
def test_no_bytes_make_the_parser_raise_anything_else(data: bytes, cut: int) -> None:
    for body in (data, BODY[:cut] + data, frame("ballot", data, SIGNATURE)):
        try:
            parse_ballot(body)
        except BallotError as error:
            assert error.name == "MalformedBallot"


def test_a_credential_is_the_registrars_signature_of_this_key_in_this_election() -> None:
    assert credential_message(EID, BPK) == frame("credential", EID, BPK)
    verify_credential(REGISTRAR, EID, BPK, PREFIX, CREDENTIAL)


def test_a_credential_for_anything_else_is_refused() -> None:
    another = rsa.modulus(long_key(2))
    for values in (
        (another, EID, BPK, PREFIX, CREDENTIAL),
        (REGISTRAR, altered(EID), BPK, PREFIX, CREDENTIAL),
        (REGISTRAR, EID, altered(BPK, 9), PREFIX, CREDENTIAL),
        (REGISTRAR, EID, BPK, altered(PREFIX), CREDENTIAL),
        (REGISTRAR, EID, BPK, PREFIX, altered(CREDENTIAL, 9)),
        (REGISTRAR, EID, BPK, PREFIX, b""),
    ):
        with pytest.raises(BallotError) as refusal:
            verify_credential(*values)
        assert refusal.value.name == "BadCredential"


def test_the_ballot_key_signs_this_very_cast() -> None:
    verify_signature(parse_ballot(BODY))


@pytest.mark.parametrize("place", range(0, len(CAST) - len(ENVELOPE) - 4, 97))
def test_a_signature_for_another_cast_is_refused(place: int) -> None:
    cast = altered(CAST, len(CAST) - 1 - place)
    try:
        ballot = parse_ballot(frame("ballot", cast, SIGNATURE))
    except BallotError:
        return
    with pytest.raises(BallotError) as refusal:
        verify_signature(ballot)
    assert refusal.value.name == "BadSignature"


@pytest.mark.parametrize("bpk", [bytes(256), b"\xff" * 256, b"\x80" + bytes(255)], ids=["zero", "ones", "even"])
def test_a_ballot_key_that_is_no_modulus_verifies_nothing(bpk: bytes) -> None:
    ballot = parse_ballot(frame("ballot", cast_frame(EID, bpk, PREFIX, CREDENTIAL, ENVELOPE), SIGNATURE))
    with pytest.raises(BallotError) as refusal:
        verify_signature(ballot)
    assert refusal.value.name == "BadSignature"


def test_a_leaf_of_the_roll_is_the_frame_of_the_protocol() -> None:
    assert roll_leaf(b"v" * 16, 5, b"d" * 32) == frame("roll", b"v" * 16, u32(5), b"d" * 32)
    for weight in (-1, 2**32):
        with pytest.raises(FrameError):
            roll_leaf(b"v" * 16, weight, b"d" * 32)
