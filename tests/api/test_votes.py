"""What a worker checks of a ballot before consensus hears of it."""

from dataclasses import dataclass
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.http.opened import Opened
from ballot.http.problems import Refused
from ballot.http.votes import check_ballot, check_claim, check_credential
from ballot.ledger import rsa
from ballot.ledger.frame import frame
from ballot.voting.ballot import BallotError, cast_frame, credential_message, parse_ballot
from ballot.voting.choice import encode_choice
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
from ballot.voting.envelope import ballot_id, seal

QUESTIONS = [Question("Who?", "plurality", ["A", "B"], 1)]
PREFIX = bytes(32)


@dataclass(frozen=True)
class World:
    opened: Opened
    registrars: list[RSAPrivateKey]
    ballot_key: RSAPrivateKey

    @property
    def bpk(self) -> bytes:
        return rsa.modulus(self.ballot_key)

    def credential(self, weight: int = 1, eid: bytes | None = None) -> bytes:
        message = credential_message(eid or self.opened.eid, self.bpk)
        return rsa.sign(self.registrars[weight - 1], PREFIX + message)

    def envelope(self) -> bytes:
        return seal(self.opened.context(ballot_id(self.bpk)), encode_choice([[0]]))

    def body(self, *, credential: bytes | None = None, envelope: bytes | None = None) -> bytes:
        cast = cast_frame(
            self.opened.eid, self.bpk, PREFIX, credential or self.credential(), envelope or self.envelope()
        )
        return frame("ballot", cast, rsa.sign(self.ballot_key, cast))


@cache
def world() -> World:
    registrars, trustee = [rsa.generate(3072), rsa.generate(3072)], rsa.generate(3072)
    definition = ElectionDefinition(
        title="Board",
        questions=QUESTIONS,
        opens_us=0,
        closes_us=0,
        pad_len=pad_length(QUESTIONS),
        k=1,
        trustees=[Trustee("cluster", rsa.modulus(trustee).hex())],
        registrars=[Registrar(weight, rsa.modulus(key).hex()) for weight, key in enumerate(registrars, 1)],
        roll=Roll(1, "00" * 32),
        origin="ballot.test",
        genesis="00" * 32,
    )
    eid = election_id(encode_definition(definition))
    return World(Opened(bytes(16), eid, 5, definition), registrars, rsa.generate(2048))


def refusal(body: bytes) -> str:
    with pytest.raises(Refused) as caught:
        check_ballot(world().opened, parse_ballot(body))
    return caught.value.refusal


def test_a_ballot_as_it_should_be_passes() -> None:
    body = world().body()
    assert len(body) == world().opened.body_bytes
    check_ballot(world().opened, parse_ballot(body))


def test_a_credential_of_any_weight_passes() -> None:
    check_ballot(world().opened, parse_ballot(world().body(credential=world().credential(2))))


def test_a_ballot_of_another_size_is_refused() -> None:
    assert refusal(world().body(envelope=world().envelope() + b"x")) == "MalformedBallot"


def test_a_ballot_changed_anywhere_is_refused() -> None:
    body = world().body()
    assert refusal(body[:-1] + bytes([body[-1] ^ 1])) == "BadSignature"


def test_a_credential_for_another_election_is_refused() -> None:
    assert refusal(world().body(credential=world().credential(eid=bytes(32)))) == "BadCredential"


def test_a_credential_that_nobody_signed_is_refused() -> None:
    assert refusal(world().body(credential=bytes(383) + b"\1")) == "BadCredential"


def test_an_envelope_of_the_wrong_shape_is_refused() -> None:
    assert refusal(world().body(envelope=bytes(len(world().envelope())))) == "BadEnvelope"


def test_a_weak_ballot_key_is_refused() -> None:
    body = world().body()
    even = world().bpk[:-1] + bytes([world().bpk[-1] & 0xFE])
    assert refusal(body.replace(world().bpk, even)) == "WeakKey"


@cache
def unused() -> bytes:
    return world().credential()


def claim_signature(eid: bytes | None = None, kind: str = "unused") -> bytes:
    fields = (eid or world().opened.eid, world().bpk, PREFIX, unused())
    return rsa.sign(world().ballot_key, frame(kind, *fields))


def refused_claim(**changes: bytes) -> str:
    fields = {"bpk": world().bpk, "prefix": PREFIX, "credential": unused(), "signature": claim_signature()}
    with pytest.raises(Refused) as caught:
        check_claim(world().opened, **(fields | changes))
    return caught.value.refusal


def test_a_claim_is_signed_by_its_own_ballot_key_for_its_own_election_and_as_a_claim() -> None:
    check_claim(world().opened, world().bpk, PREFIX, unused(), claim_signature())
    assert refused_claim(signature=bytes(256)) == "BadSignature"
    assert refused_claim(signature=claim_signature(eid=bytes(32))) == "BadSignature"
    assert refused_claim(signature=claim_signature(kind="cast")) == "BadSignature"
    assert refused_claim(credential=world().credential(eid=bytes(32))) == "BadCredential"
    assert refused_claim(prefix=bytes([1]) * 32) == "BadCredential"
    assert refused_claim(bpk=world().bpk[:-1] + bytes([world().bpk[-1] & 0xFE])) == "WeakKey"


def test_a_claim_s_credential_is_checked_against_every_registrar() -> None:
    arguments = (world().opened, world().bpk, PREFIX)
    check_credential(*arguments, world().credential(1))
    check_credential(*arguments, world().credential(2))
    with pytest.raises(BallotError):
        check_credential(*arguments, bytes(384))
