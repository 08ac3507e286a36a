"""Attacks on a board that is published in epochs: an election of forty voters, twenty ballots an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa as keys
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import UNSET

from ballot.ledger import rsa
from ballot.ledger.frame import frame
from ballot.replay.export import Record
from ballot.voting import commands as c
from ballot.voting.choice import encode_choice
from ballot.voting.definition import ElectionDefinition, Epochs
from tests.support.attacks.base import Attack, Drafts, Make, by_name, insert, recounted, sealed_oddly
from tests.support.attacks.voters import event
from tests.support.log_builder import (
    ANSWERS,
    ELECTION,
    ORGANISER,
    VOTERS,
    Draft,
    ElectionLog,
    Log,
    Voter,
    key,
    make_body,
)

EPOCH, INTERVAL_US = 20, 600_000_000
BOARD, ENDED = "BallotsPublished", "EpochEnded"


@cache
def ballot_keys() -> list[RSAPrivateKey]:
    """Forty-five keys out of ten primes: two of them share a prime at times, which no election minds."""
    numbers = [key(f"ballot{number}").private_numbers() for number in range(5)]
    primes = [prime for one in numbers for prime in (one.p, one.q)]
    return [from_primes(p, q) for p, q in combinations(primes, 2)]


def from_primes(p: int, q: int) -> RSAPrivateKey:
    d = pow(rsa.PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))
    public = keys.RSAPublicNumbers(rsa.PUBLIC_EXPONENT, p * q)
    parts = keys.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), keys.rsa_crt_iqmp(p, q), public)
    return parts.private_key(unsafe_skip_rsa_key_validation=True)


@dataclass(frozen=True)
class OneOfMany(Voter):
    @property
    def identity(self) -> RSAPrivateKey:
        return key("identity1")

    @property
    def ballot_key(self) -> RSAPrivateKey:
        return ballot_keys()[self.number]


class EpochLog(ElectionLog):
    """`bodies` in the order of the casts. `drafts` are the whole election; time passes before entry `jump`."""

    def __init__(self) -> None:
        Log.__init__(self)
        self.voters: Sequence[Voter] = [OneOfMany(number) for number in range(2 * EPOCH)]
        self.claims_s, self.trustees = UNSET, range(1, 1)
        self.credentials: dict[int, bytes] = {}
        self.bodies: list[bytes] = []
        for voter in self.voters:
            self.add(Draft("UserRegistered", {"user": voter.id}))
            n = rsa.modulus(voter.identity)
            signature = rsa.sign(voter.identity, frame("identity-key", voter.id, n))
            self.submit(c.EnrolIdentityKey(voter.id, n, signature))
        self._open()
        for voter in self.voters:
            self._issue(voter)
            choice = encode_choice(ANSWERS[voter.number % 2])
            self.bodies.append(make_body(self.definition, self.eid, voter, self.credentials[voter.number], choice))
        self.jump = len(self.drafts) + EPOCH + 1
        self.drafts = self._whole()

    def _definition(self, root: bytes) -> ElectionDefinition:
        return msgspec.structs.replace(super()._definition(root), epochs=Epochs(INTERVAL_US, EPOCH))

    @property
    def board(self) -> list[bytes]:
        return [*by_name(self.bodies[:EPOCH]), *by_name(self.bodies[EPOCH:])]

    def _whole(self) -> Drafts:
        casts = [self.said("BallotCast") for _ in self.bodies]
        first, second = self.board[:EPOCH], self.board[EPOCH:]
        drafts = [
            *self.drafts,
            *casts[:EPOCH],
            self.said(ENDED, epoch=0, casts=EPOCH),
            *casts[EPOCH:],
            self.said(BOARD, chunk=0, epoch=0, end=False, last=False, ballots=first[:5]),
            self.said(BOARD, chunk=1, epoch=0, end=True, last=False, ballots=first[5:]),
            self.said("ElectionClosed", casts=2 * EPOCH, by=ORGANISER),
            self.said(BOARD, chunk=2, epoch=1, end=True, last=True, ballots=second),
        ]
        return recounted(self, [*drafts, *self._counted()], self.bodies, self.board)

    def _counted(self) -> Drafts:
        numbers = key("trustee").private_numbers()
        p, q = (value.to_bytes(192, "big") for value in sorted((numbers.p, numbers.q), reverse=True))
        return [
            self.said("TrusteeKeyReleased", number=1, p=p, q=q),
            self.said("TallySeeds", chunk=0, last=True, seeds=[]),
            self.said("TallyPublished", document=b""),
            *(self.said("TallyAttested", node=node, agrees=True) for node in (1, 2, 3)),
        ]

    def said(self, kind: str, **fields: Any) -> Draft:
        return Draft(kind, {"election": ELECTION, "eid": self.eid} | fields)


@cache
def epoch_log() -> EpochLog:
    return EpochLog()


def sealed(log: EpochLog, drafts: Drafts, start: int | None = None) -> list[Record]:
    """Ten minutes pass before entry `start`, by default before the end of the epoch."""
    return sealed_oddly(drafts, log.jump if start is None else start, (1, INTERVAL_US))


def whole() -> list[Record]:
    return sealed(epoch_log(), epoch_log().drafts)


def changed(change: Callable[[EpochLog, Drafts], object], start: int | None = None) -> Make:
    """The drafts are changed in place."""

    def make(_: ElectionLog) -> list[Record]:
        log, drafts = epoch_log(), list(epoch_log().drafts)
        change(log, drafts)
        return sealed(log, drafts, start)

    return make


def edited(kind: str, number: int, **fields: Any) -> Make:
    def change(log: EpochLog, drafts: Drafts) -> None:
        place = log.find(kind, number)
        drafts[place] = drafts[place].but(**fields)

    return changed(change)


def too_small(log: EpochLog, drafts: Drafts) -> None:
    """An epoch ends with nineteen ballots."""
    place = log.find(ENDED)
    drafts[place - 1], drafts[place] = drafts[place].but(casts=EPOCH - 1), drafts[place - 1]


def not_held_back(log: EpochLog, drafts: Drafts) -> None:
    """The board of an epoch is published while fewer than twenty ballots came after it."""
    place = log.find(BOARD)
    drafts[place - 1], drafts[place] = drafts[place], drafts[place - 1]


def ended_twice(log: EpochLog, drafts: Drafts) -> None:
    place = log.find(ENDED)
    drafts.insert(place + EPOCH + 1, drafts[place].but(epoch=1, casts=2 * EPOCH))


def never_ended(log: EpochLog, drafts: Drafts) -> None:
    del drafts[log.find(ENDED)]


def kept_wrongly(log: ElectionLog) -> Draft:
    """Addresses of somebody who is not on the roll are kept."""
    return Draft("VotersKept", {"election": ELECTION, "source": 3, "voters": [bytes(16)], "without": VOTERS[0].id})


EPOCH_ATTACKS: dict[str, Attack] = {
    "an epoch ends too early": Attack(
        "ballots", "EpochTooEarly", changed(lambda log, drafts: None, start=10_000), at=ENDED
    ),
    "an epoch has too few ballots": Attack("ballots", "EpochTooSmall", changed(too_small), at=ENDED),
    "an epoch miscounts": Attack("ballots", "EpochCountDiffers", edited(ENDED, 0, casts=EPOCH + 1), at=ENDED),
    "an epoch is skipped": Attack("ballots", "EpochOutOfOrder", edited(ENDED, 0, epoch=1), at=ENDED),
    "an epoch ends before the last one is on the board": Attack(
        "ballots", "EpochOutOfOrder", changed(ended_twice), at=ENDED
    ),
    "an epoch ends where there are none": Attack(
        "ballots", "EpochWrongly", insert("BallotCast", event(ENDED, epoch=0, casts=3)), at=ENDED
    ),
    "an epoch is published too soon after its end": Attack(
        "ballots", "EpochNotHeldBack", changed(not_held_back), at=BOARD
    ),
    "an epoch is published that never ended": Attack("ballots", "PublishedWrongly", changed(never_ended), at=BOARD),
    "a ballot stands in another epoch": Attack("ballots", "ChunkOutOfOrder", edited(BOARD, 1, epoch=1), at=BOARD),
    "an epoch is called the last before the close": Attack(
        "ballots", "PublishedWrongly", edited(BOARD, 1, last=True), at=BOARD
    ),
    "addresses are kept of whoever is not on the roll": Attack(
        "ballots", "KeptWrongly", insert("VotersAdded", kept_wrongly), at="VotersKept"
    ),
}
