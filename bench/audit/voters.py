"""What voters send, made on all cores: keys from a bounded store, everything else different for each of them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ballot.ledger.frame import frame
from ballot.voting.ballot import cast_frame, credential_message
from ballot.voting.choice import encode_choice
from ballot.voting.envelope import Context, ballot_id
from ballot.voting.envelope import seal as seal_envelope
from ballot.voting.fold import key_hash
from ballot.voting.primitives import public_operation

from .keys import QuickKey

OPTIONS = ["Ada", "Bo", "Cy"]


@dataclass(frozen=True)
class Booth:
    """What a worker needs to make the voters of one election."""

    eid: bytes
    trustees: tuple[bytes, ...]
    k: int
    pad_len: int
    registrar: QuickKey
    identities: Sequence[QuickKey]
    ballot_primes: Sequence[int]


@dataclass(frozen=True)
class Made:
    """One voter's part: enrolment, credential, ballot, and what opens it."""

    user: bytes
    n: bytes
    enrolled: bytes
    blinded: bytes
    requested: bytes
    blind_sig: bytes
    body: bytes
    seed: bytes
    answer: int


def voter_id(number: int) -> bytes:
    return hashlib.sha256(b"voter %d" % number).digest()[:16]


def make_voters(booth: Booth, first: int, count: int) -> list[Made]:
    """Voters `first` to `first + count - 1`."""
    return [_make(booth, number) for number in range(first, first + count)]


def _make(booth: Booth, number: int) -> Made:
    user, identity = voter_id(number), booth.identities[number % len(booth.identities)]
    registrar = booth.registrar.modulus
    # Whatever a registrar signs blindly: the log shows a number and its root.
    blind_sig = (int.from_bytes(secrets.token_bytes(len(registrar)), "big") % booth.registrar.n).to_bytes(384, "big")
    blinded = public_operation(registrar, int.from_bytes(blind_sig, "big"))
    request = frame("issue", booth.eid, user, key_hash(identity.modulus), blinded)
    body, seed = _ballot(booth, number % len(OPTIONS))
    return Made(
        user=user,
        n=identity.modulus,
        enrolled=identity.sign(frame("identity-key", user, identity.modulus)),
        blinded=blinded,
        requested=identity.sign(request),
        blind_sig=blind_sig,
        body=body,
        seed=seed,
        answer=number % len(OPTIONS),
    )


def _ballot(booth: Booth, answer: int) -> tuple[bytes, bytes]:
    """A ballot under a key of its own, and its seed."""
    key, prefix, seed = _ballot_key(booth.ballot_primes), secrets.token_bytes(32), secrets.token_bytes(32)
    bpk = key.modulus
    credential = booth.registrar.sign(prefix + credential_message(booth.eid, bpk))
    context = Context(booth.eid, ballot_id(bpk), booth.k, booth.trustees, booth.pad_len)
    envelope = seal_envelope(context, encode_choice([[answer]]), seed)
    cast = cast_frame(booth.eid, bpk, prefix, credential, envelope)
    return frame("ballot", cast, key.sign(cast)), seed


def _ballot_key(primes: Sequence[int]) -> QuickKey:
    """Primes drawn from the store: no two ballots have the same sixteen."""
    while True:
        drawn = secrets.SystemRandom().sample(primes, 16)
        key = QuickKey(tuple(drawn))
        if key.n.bit_length() == 2048:
            return key
