"""The public payload of every kind of entry, typed and with exact lengths: what an auditor takes an entry to say.

Fields that are not listed are passed over, so that a kind may gain some; those listed must be there. Ids of people and
elections have 16 bytes, hashes 32, RSA-3072 moduli and signatures 384, RSA-2048 ones 256, released primes 192.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ..ledger.entry import Entry
from ..ledger.membership import ANNOUNCED, CONF_KINDS

Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Prime = Annotated[bytes, Meta(min_length=192, max_length=192)]
Rsa2048 = Annotated[bytes, Meta(min_length=256, max_length=256)]
Rsa3072 = Annotated[bytes, Meta(min_length=384, max_length=384)]
Count = Annotated[int, Meta(ge=0)]
Epoch = Annotated[int, Meta(ge=0, lt=2**32)]
Weight = Annotated[int, Meta(ge=1, lt=2**32)]


class EventError(ValueError):
    """A payload that is not what its kind says; the message says where."""


class UnknownKind(ValueError):
    """A kind this version knows nothing about."""


class Event(msgspec.Struct, frozen=True):
    """Base of all events."""


class TermOpened(Event, frozen=True):
    node: int


class UserRegistered(Event, frozen=True):
    user: Id


class PasswordChanged(Event, frozen=True):
    user: Id


class IdentityKeyEnrolled(Event, frozen=True):
    user: Id
    n: Rsa3072
    signature: Rsa3072


class RoleGranted(Event, frozen=True):
    user: Id
    role: str
    by: bytes


class RoleWithdrawn(Event, frozen=True):
    user: Id
    role: str
    by: bytes


class ElectionDrafted(Event, frozen=True):
    election: Id
    organiser: Id
    draft: bytes


class ElectionAmended(Event, frozen=True):
    election: Id
    draft: bytes


class ElectionCancelled(Event, frozen=True):
    election: Id
    by: bytes


class VotersAdded(Event, frozen=True):
    election: Id
    voters: list[tuple[Id, Weight]]


class VotersKept(Event, frozen=True):
    """The addresses of `voters`, taken over from the private part of entry `source`; that of `without` was erased."""

    election: Id
    source: Count
    voters: list[Id]
    without: Id


class RollFrozen(Event, frozen=True):
    election: Id
    leaves: list[bytes]
    root: Hash
    size: Count


class TrusteeInvited(Event, frozen=True):
    election: Id
    user: Id
    name: str


class TrusteeWithdrawn(Event, frozen=True):
    election: Id
    user: Id
    enrolled: bool


class TrusteeEnrolled(Event, frozen=True):
    election: Id
    user: Id
    number: int
    name: str
    n: Rsa3072
    proof: Rsa3072


class ElectionOpened(Event, frozen=True):
    election: Id
    eid: Hash
    definition: bytes


class ElectionStarted(Event, frozen=True):
    election: Id
    eid: Hash


class CredentialIssued(Event, frozen=True):
    election: Id
    eid: Hash
    voter: Id
    identity: Hash
    blinded: Rsa3072
    identity_sig: Rsa3072
    blind_sig: Rsa3072


class BallotCast(Event, frozen=True):
    election: Id
    eid: Hash


class ElectionClosed(Event, frozen=True):
    election: Id
    eid: Hash
    casts: Count
    by: bytes
    claims_until_us: Count = 0


class EpochEnded(Event, frozen=True):
    election: Id
    eid: Hash
    epoch: Epoch
    casts: Count


class BallotsPublished(Event, frozen=True):
    """`end` with the last chunk of its epoch, `last` with that of the board."""

    election: Id
    eid: Hash
    chunk: Count
    last: bool
    ballots: list[bytes]
    epoch: Epoch = 0
    end: bool = False


class PrivateErased(Event, frozen=True):
    """A range of one kind; or, with `user`, the single `parts` that named a person."""

    kind: str
    reason: str
    first: Count
    last: Count
    election: bytes = b""
    user: bytes = b""
    parts: list[tuple[Count, str]] = []


class TrusteeKeyReleased(Event, frozen=True):
    election: Id
    eid: Hash
    number: int
    p: Prime
    q: Prime
    size: Count
    root: Hash
    signature: Rsa3072


class CredentialUnused(Event, frozen=True):
    election: Id
    eid: Hash
    bpk: Rsa2048
    prefix: Hash
    credential: Rsa3072
    signature: Rsa2048


class TallySeeds(Event, frozen=True):
    election: Id
    eid: Hash
    chunk: Count
    last: bool
    seeds: list[bytes]


class TallyPublished(Event, frozen=True):
    election: Id
    eid: Hash
    document: bytes


class TallyAttested(Event, frozen=True):
    election: Id
    eid: Hash
    node: Annotated[int, Meta(ge=1, lt=2**32)]
    agrees: bool
    digest: Hash
    signature: Rsa3072


class MailOrdered(Event, frozen=True):
    election: Id
    kind: str
    round: Count


class MailClaimed(Event, frozen=True):
    election: Id
    kind: str
    round: Count
    count: Count


class MailReported(Event, frozen=True):
    election: Id
    kind: str
    claim: Id
    sent: Count
    bounced: Count
    deferred: Count
    unknown: Count


class MailBounced(Event, frozen=True):
    election: Id
    kind: str


class Membership(Event, frozen=True):
    """Genesis and its kin, and what announces them; what is in them is read by `ledger.membership`."""

    origin: str


KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        *(TermOpened, UserRegistered, PasswordChanged, IdentityKeyEnrolled, RoleGranted, RoleWithdrawn),
        *(ElectionDrafted, ElectionAmended, ElectionCancelled, VotersAdded, RollFrozen, TrusteeEnrolled),
        *(ElectionOpened, CredentialIssued, BallotCast, ElectionClosed, BallotsPublished, PrivateErased),
        *(TrusteeKeyReleased, CredentialUnused, TallySeeds, TallyPublished, TallyAttested),
        *(TrusteeInvited, TrusteeWithdrawn, EpochEnded, VotersKept),
        *(ElectionStarted, MailOrdered, MailClaimed, MailReported, MailBounced),
    )
} | dict.fromkeys((*CONF_KINDS, ANNOUNCED), Membership)

_DECODERS = {kind: msgspec.msgpack.Decoder(type_) for kind, type_ in KINDS.items()}


def read_event(entry: Entry) -> Event:
    """What `entry` says publicly. Raises EventError, UnknownKind."""
    decoder = _DECODERS.get(entry.kind)
    if decoder is None:
        raise UnknownKind(f"the kind {entry.kind!r} is not known")
    try:
        return decoder.decode(entry.public)
    except msgspec.MsgspecError as error:
        raise EventError(f"{entry.kind}: {error}") from error
