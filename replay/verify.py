"""The checks that cost a core's time, each a function of bytes alone, so that any process can make them.

Each returns what is wrong, nothing when all is well.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..ledger.checkpoint import CheckpointError, Member, verify_note
from ..ledger.frame import frame
from ..ledger.rsa import BadSignature, private_from_primes, verify
from ..voting.ballot import Ballot, BallotError, parse_ballot, verify_credential, verify_signature
from ..voting.blind import check_blind_signature
from ..voting.definition import ElectionDefinition, decode_definition
from ..voting.envelope import Context, EnvelopeError, check_shape
from ..voting.keycheck import WeakKey, check_long_lived_key
from ..voting.tally import BadSeed, KeysMissing, Opener, Vote
from .pool import Flaw
from .report import Level


class Reopened(NamedTuple):
    """A ballot of the board, opened: the vote, whether a seed alone proved it, and what is wrong with the seed."""

    vote: Vote | None
    by_seed: bool
    flaws: list[Flaw]


Primes = tuple[tuple[int, int, int], ...]
"""(number, p, q) of trustees whose keys are released."""


def check_pss(name: str, modulus: bytes, signature: bytes, message: bytes) -> list[Flaw]:
    try:
        verify(modulus, signature, message)
    except BadSignature as error:
        return [Flaw(Level.SIGNATURES, name, str(error))]
    return []


def check_note(note: bytes, origin: str, members: tuple[Member, ...]) -> list[Flaw]:
    """A checkpoint's signatures, under the keys in force at its size."""
    try:
        verify_note(note, origin, members)
    except CheckpointError as error:
        return [Flaw(Level.SIGNATURES, "CheckpointSignature", str(error))]
    return []


def check_identity_key(user: bytes, n: bytes, signature: bytes) -> list[Flaw]:
    """An identity key, signed for by itself."""
    return check_pss("IdentityKeySignature", n, signature, frame("identity-key", user, n))


def check_issue(
    n: bytes,
    registrar: bytes,
    eid: bytes,
    voter: bytes,
    identity: bytes,
    blinded: bytes,
    identity_sig: bytes,
    blind_sig: bytes,
) -> list[Flaw]:
    """The request of a credential under the identity key `n`, and the registrar's: blind_sig^e mod n = blinded.

    An empty key is passed over.
    """
    message = frame("issue", eid, voter, identity, blinded)
    flaws = check_pss("IssueSignature", n, identity_sig, message) if n else []
    return flaws + (_check_blind(registrar, blinded, blind_sig) if registrar else [])


def _check_blind(modulus: bytes, blinded: bytes, blind_sig: bytes) -> list[Flaw]:
    if check_blind_signature(modulus, blinded, blind_sig):
        return []
    return [Flaw(Level.SIGNATURES, "BlindSignature", "the registrar's key did not sign the blinded message")]


def check_ballot(definition: bytes, eid: bytes, body: bytes) -> list[Flaw]:
    """A ballot's credential, signature and envelope, as they were checked when it was cast."""
    rules = _rules(definition, eid)
    try:
        ballot = parse_ballot(body)
    except BallotError as error:
        return [Flaw(Level.BALLOTS, error.name, str(error))]
    flaws = _check_credential(rules, ballot)
    try:
        verify_signature(ballot)
    except BallotError as error:
        flaws.append(Flaw(Level.SIGNATURES, "BallotSignature", str(error)))
    try:
        check_shape(rules.shape, ballot.envelope)
    except EnvelopeError as error:
        flaws.append(Flaw(Level.BALLOTS, "BadEnvelope", str(error)))
    return flaws


def check_unused(
    definition: bytes, eid: bytes, bpk: bytes, prefix: bytes, credential: bytes, signature: bytes
) -> list[Flaw]:
    """A claim that a credential was never cast: the credential, and the ballot key's signature of the claim."""
    ballot = Ballot(b"", b"", b"", eid, bpk, prefix, credential, b"")
    message = frame("unused", eid, bpk, prefix, credential)
    return _check_credential(_rules(definition, eid), ballot) + check_pss("ClaimSignature", bpk, signature, message)


def _check_credential(rules: _Rules, ballot: Ballot) -> list[Flaw]:
    detail = "the election has no registrar key"
    for registrar in rules.registrars:
        try:
            verify_credential(registrar, rules.eid, ballot.bpk, ballot.prefix, ballot.credential)
        except BallotError as error:
            detail = str(error)
        else:
            return []
    return [Flaw(Level.SIGNATURES, "BadCredential", detail)]


def open_ballots(
    definition: bytes, eid: bytes, primes: Primes, bodies: list[bytes], seeds: list[bytes | None], reopen: bool
) -> list[Reopened]:
    """Opens ballots of the board. A seed is None where none was published, empty where the ballot is called invalid.

    A seed proves a ballot valid by public operations. All others are opened with the released keys, and with `reopen`
    those too.
    """
    opener = _opener(definition, eid, primes)
    return [_open(opener, body, seed, reopen) for body, seed in zip(bodies, seeds, strict=True)]


def _open(opener: Opener, body: bytes, seed: bytes | None, reopen: bool) -> Reopened:
    if seed and not reopen:
        with suppress(BadSeed):
            vote = opener.open(body, seed)
            if vote is not None:
                return Reopened(vote, True, [])
    name = f"ballot {sha256(body).hexdigest()}"
    try:
        vote = opener.open(body)
    except KeysMissing as error:
        wrong = [Flaw(Level.COUNT, "BadSeed", f"{name}: its seed does not open it")] if seed and not reopen else []
        return Reopened(None, False, [*wrong, Flaw(Level.COUNT, "KeysMissing", f"{name}: {error}")])
    if seed is None or seed == (vote.seed if vote else b""):
        return Reopened(vote, False, [])
    if not seed:
        return Reopened(vote, False, [Flaw(Level.COUNT, "SeedKeptBack", f"{name} is said to be invalid, and opens")])
    found = "is invalid, and has a seed" if vote is None else "has another seed than the one published"
    return Reopened(vote, False, [Flaw(Level.COUNT, "BadSeed", f"{name} {found}")])


@lru_cache(maxsize=256)
def weakness(modulus: bytes) -> str:
    """What is wrong with a key that is relied on for long; empty when nothing is."""
    try:
        check_long_lived_key(modulus)
    except WeakKey as error:
        return str(error)
    return ""


@lru_cache(maxsize=16)
def _definition(data: bytes) -> ElectionDefinition:
    return decode_definition(data)


class _Rules(NamedTuple):
    """What every ballot of an election is held to. `shape` is bound to no ballot key: all envelopes have one shape."""

    eid: bytes
    registrars: list[bytes]
    shape: Context


@lru_cache(maxsize=16)
def _rules(definition: bytes, eid: bytes) -> _Rules:
    registrars = [bytes.fromhex(registrar.n) for registrar in _definition(definition).registrars]
    return _Rules(eid, registrars, _opener(definition, eid, ()).context(bytes(32)))


@lru_cache(maxsize=16)
def _opener(definition: bytes, eid: bytes, primes: Primes) -> Opener:
    return Opener(_definition(definition), eid, {number: _key(p, q) for number, p, q in primes})


@lru_cache(maxsize=64)
def _key(p: int, q: int) -> RSAPrivateKey:
    return private_from_primes(p, q)
