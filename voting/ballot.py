"""The bytes of a cast: what a voter signs, what the ledger records, what the board publishes (protocol.md, message 8).

cast   = F(cast, eid, bpk, prefix, credential, env)
body   = F(ballot, cast, PSS(ballot key, cast))
name   = SHA-256(body), the ballot's name and its place on the board
"""

from __future__ import annotations

import hashlib

import msgspec

from ..ledger.frame import FrameError, frame, parse_frame, u32
from ..ledger.rsa import BadSignature, verify, verify_once
from .envelope import ballot_id

EID_BYTES, PREFIX_BYTES, CREDENTIAL_BYTES, BALLOT_KEY_BYTES = 32, 32, 384, 256


class BallotError(ValueError):
    """A ballot that is not well-formed or not rightly signed. `name` is the refusal, the argument the detail."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


class Ballot(msgspec.Struct, frozen=True):
    """A cast ballot, parsed. Nothing is verified yet."""

    body: bytes
    cast: bytes
    signature: bytes
    eid: bytes
    bpk: bytes
    prefix: bytes
    credential: bytes
    envelope: bytes

    @property
    def name(self) -> bytes:
        return hashlib.sha256(self.body).digest()

    @property
    def bid(self) -> bytes:
        return ballot_id(self.bpk)


def credential_message(eid: bytes, bpk: bytes) -> bytes:
    """What the registrar signs blindly, behind the prefix: F(credential, eid, bpk)."""
    return frame("credential", eid, bpk)


def cast_frame(eid: bytes, bpk: bytes, prefix: bytes, credential: bytes, envelope: bytes) -> bytes:
    return frame("cast", eid, bpk, prefix, credential, envelope)


def parse_ballot(body: bytes) -> Ballot:
    """Raises BallotError(MalformedBallot)."""
    try:
        cast, signature = parse_frame("ballot", body, 2)
        eid, bpk, prefix, credential, envelope = parse_frame("cast", cast, 5)
    except FrameError as error:
        raise BallotError("MalformedBallot", str(error)) from error
    sizes = (len(eid), len(bpk), len(prefix), len(credential), len(signature))
    if sizes != (EID_BYTES, BALLOT_KEY_BYTES, PREFIX_BYTES, CREDENTIAL_BYTES, BALLOT_KEY_BYTES):
        raise BallotError("MalformedBallot", "a field has the wrong length")
    return Ballot(body, cast, signature, eid, bpk, prefix, credential, envelope)


def verify_credential(registrar_n: bytes, eid: bytes, bpk: bytes, prefix: bytes, credential: bytes) -> None:
    """Raises BallotError(BadCredential) unless the registrar signed this ballot key for this election."""
    try:
        verify(registrar_n, credential, prefix + credential_message(eid, bpk))
    except BadSignature as error:
        raise BallotError("BadCredential", "the credential is not the registrar's signature of this key") from error


def verify_signature(ballot: Ballot) -> None:
    """Raises BallotError(BadSignature) unless the ballot key signed this very cast."""
    try:
        verify_once(ballot.bpk, ballot.signature, ballot.cast)
    except BadSignature as error:
        raise BallotError("BadSignature", "the ballot key did not sign this cast") from error


def roll_leaf(voter: bytes, weight: int, address_digest: bytes) -> bytes:
    """A leaf of the roll: F(roll, voter, u32 weight, SHA-256(F(email, salt, address)))."""
    return frame("roll", voter, u32(weight), address_digest)
