"""What may be asked of the ledger. A command is an imperative; carried out, it becomes events.

Every command can be sent again safely: `command` (16 bytes, chosen by whoever asks first) or the content itself is its
natural key. All ids are raw bytes; `election` is the 16-byte id of a draft, `eid` the 32-byte hash of its definition.
"""

from __future__ import annotations

import msgspec

from ..ledger.frame import frame_hash
from .command import Command, Number, Text, Weight
from .mail_commands import ClaimMail as ClaimMail
from .mail_commands import MailOutcome as MailOutcome
from .mail_commands import OrderMail as OrderMail
from .mail_commands import RecordBounce as RecordBounce
from .mail_commands import ReportMail as ReportMail


class RegisterUser(Command, frozen=True):
    """The e-mailed code was confirmed. `user` is used only if `tag` (keyed hash of the address) has no id yet."""

    command: bytes
    user: bytes
    tag: bytes
    address: str
    password_hash: bytes


class ChangePassword(Command, frozen=True):
    command: bytes
    user: bytes
    tag: bytes
    password_hash: bytes


class EnrolIdentityKey(Command, frozen=True):
    """`signature` is PSS(identity, F(identity-key, user, n))."""

    user: bytes
    n: bytes
    signature: bytes


class GrantRole(Command, frozen=True):
    """`by` is empty when the operator grants it at the node itself."""

    command: bytes
    user: bytes
    role: Text
    by: bytes


class WithdrawRole(Command, frozen=True):
    """`by` is empty when the operator takes it away at the node itself."""

    command: bytes
    user: bytes
    role: Text
    by: bytes


class DraftElection(Command, frozen=True):
    election: bytes
    organiser: bytes
    draft: bytes


class AmendElection(Command, frozen=True):
    command: bytes
    election: bytes
    organiser: bytes
    draft: bytes


class NewVoter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """`voter` is used only if the address has no id yet; `salt` (32 bytes) hides the address in the roll's leaf."""

    voter: bytes
    tag: bytes
    address: str
    salt: bytes
    weight: Weight


class AddVoters(Command, frozen=True):
    command: bytes
    election: bytes
    organiser: bytes
    voters: list[NewVoter]


class InviteTrustee(Command, frozen=True):
    """`user` is the id of the address with this `tag` (its keyed hash), or one for it if it has none yet.

    `name` is what the definition will say.
    """

    command: bytes
    election: bytes
    organiser: bytes
    user: bytes
    tag: bytes
    address: str
    name: Text


class WithdrawTrustee(Command, frozen=True):
    """Takes an invitation back, and the key with it if one was enrolled."""

    command: bytes
    election: bytes
    organiser: bytes
    user: bytes


class EnrolTrustee(Command, frozen=True):
    """`user` was invited. `proof` is PSS(trustee, F(trustee-key, election, name, n))."""

    election: bytes
    user: bytes
    name: Text
    n: bytes
    proof: bytes


class OpenElection(Command, frozen=True):
    """Freezes roll and definition, made from `draft` and from the trustees after their first `trustee_changes` changes.

    `trustee_key` is the cluster's own (PKCS #8 PEM) or empty.
    """

    election: bytes
    organiser: bytes
    draft: bytes
    definition: bytes
    leaves: list[bytes]
    root: bytes
    registrar_keys: list[bytes]
    trustee_key: bytes
    trustee_changes: Number = 0


class StartElection(Command, frozen=True):
    """The opening time of an election that was opened ahead of it has come."""

    election: bytes


class CloseElection(Command, frozen=True):
    """`by` is empty when the schedule closes it."""

    election: bytes
    by: bytes


class CancelElection(Command, frozen=True):
    election: bytes
    by: bytes


class IssueCredential(Command, frozen=True):
    """`identity` is H(rsa-key, n) of the voter's identity key."""

    election: bytes
    eid: bytes
    voter: bytes
    identity: bytes
    blinded: bytes
    identity_sig: bytes
    blind_sig: bytes


class CastBallot(Command, frozen=True):
    """`body` is exactly F(ballot, cast, sig), its signatures checked by whoever submits it."""

    election: bytes
    body: bytes


class EndEpoch(Command, frozen=True):
    """The casts so far that are not published yet are the epoch with this number, from 0."""

    election: bytes
    epoch: Number


class PublishBallots(Command, frozen=True):
    """One chunk of the board: ballots of one epoch in the order of their names, the SHA-256 of each.

    Chunks are counted through all epochs; `last` ends the board.
    """

    election: bytes
    chunk: Number
    last: bool
    ballots: list[bytes]
    epoch: Number = 0


class EraseCasts(Command, frozen=True):
    """`first` to `last`: a run of casts that all belong to `election`."""

    election: bytes
    first: Number
    last: Number
    final: bool


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The private part of one entry."""

    index: Number
    kind: Text


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    voter: bytes
    tag: bytes
    address: str
    salt: bytes


class KeptRoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The addresses that the private part of entry `source` holds beside that of the one who is erased."""

    source: Number
    election: bytes
    others: list[Kept]


class EraseUser(Command, frozen=True):
    """Every private part that names the user is erased, after what those say of others was kept.

    `elections` are all those whose rolls the user is on, `organises` and `trustee_of` all that the user organises, and
    is invited to as a trustee: every one must be over. What became of the mail of `elections` is erased whole, for
    everybody: it is over, and servers may have said anything about anyone.
    """

    command: bytes
    user: bytes
    by: bytes
    tag: bytes
    elections: list[bytes]
    rolls: list[KeptRoll]
    parts: list[Part]
    organises: list[bytes] = msgspec.field(default_factory=list)
    trustee_of: list[bytes] = msgspec.field(default_factory=list)


class ReleaseTrusteeKey(Command, frozen=True):
    """`signature` is PSS(trustee, F(release, eid, u64 size, root)) for a checkpoint that covers the whole board."""

    election: bytes
    number: Number
    p: bytes
    q: bytes
    size: Number
    root: bytes
    signature: bytes


class PublishSeeds(Command, frozen=True):
    """Seeds of the board's ballots in board order, 32 bytes each, empty for an invalid ballot."""

    election: bytes
    chunk: Number
    last: bool
    seeds: list[bytes]


class PublishTally(Command, frozen=True):
    """The count document (RFC 8785)."""

    election: bytes
    document: bytes


class AttestTally(Command, frozen=True):
    """A node's own count. `digest` is SHA-256 of its count document; `signature` is PSS(node, F(attest, ...))."""

    election: bytes
    node: Number
    digest: bytes
    signature: bytes


class ClaimUnused(Command, frozen=True):
    """A holder says that a credential was never cast."""

    election: bytes
    eid: bytes
    bpk: bytes
    prefix: bytes
    credential: bytes
    signature: bytes


AnyCommand = (
    RegisterUser
    | ChangePassword
    | EnrolIdentityKey
    | GrantRole
    | WithdrawRole
    | DraftElection
    | AmendElection
    | AddVoters
    | InviteTrustee
    | WithdrawTrustee
    | EnrolTrustee
    | OpenElection
    | StartElection
    | CloseElection
    | CancelElection
    | IssueCredential
    | OrderMail
    | ClaimMail
    | ReportMail
    | RecordBounce
    | CastBallot
    | EndEpoch
    | PublishBallots
    | EraseCasts
    | EraseUser
    | ReleaseTrusteeKey
    | PublishSeeds
    | PublishTally
    | AttestTally
    | ClaimUnused
)

_decoder = msgspec.msgpack.Decoder(AnyCommand)
_encoder = msgspec.msgpack.Encoder()


class CommandError(ValueError):
    """Bytes that are not a command."""


def natural_key(command: AnyCommand) -> bytes | None:
    """What a command is known by when it comes again; none for those that the rows they make are known by.

    Its own `command`; the whole content for what the cluster does itself, and in parts, and for a cancellation, whose
    row the erasure of casts changes once more.
    """
    match command:
        case EndEpoch() | PublishBallots() | EraseCasts() | PublishSeeds() | CancelElection():
            return frame_hash("command", encode_command(command))
        case _:
            return getattr(command, "command", None)


def encode_command(command: AnyCommand) -> bytes:
    encoded: bytes = _encoder.encode(command)
    return encoded


def decode_command(data: bytes) -> AnyCommand:
    """Raises CommandError."""
    try:
        command: AnyCommand = _decoder.decode(data)
        return command
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CommandError(f"not a command: {error}") from error
