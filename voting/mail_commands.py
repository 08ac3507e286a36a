"""Commands about mail to the roll, see `commands`."""

from __future__ import annotations

import msgspec

from .command import Command, Number, Text


class OrderMail(Command, frozen=True):
    """`kind` is invitation (everybody on the roll who had none yet) or reminder (those without a credential)."""

    command: bytes
    election: bytes
    organiser: bytes
    kind: Text


class ClaimMail(Command, frozen=True):
    """Whoever has this recorded, and nobody else, mails these voters. `last`: nobody is left for this round."""

    command: bytes
    election: bytes
    kind: Text
    round: Number
    voters: list[bytes]
    last: bool


class MailOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """`state` is sent, bounced, deferred (certainly not sent) or unknown (perhaps sent)."""

    voter: bytes
    state: Text
    reason: Text


class ReportMail(Command, frozen=True):
    """What became of a claim. `final` when the one who sent says so, not somebody who waited for that in vain."""

    claim: bytes
    election: bytes
    kind: Text
    final: bool
    outcomes: list[MailOutcome]


class RecordBounce(Command, frozen=True):
    """A mail that was sent came back."""

    claim: bytes
    election: bytes
    kind: Text
    voter: bytes
    reason: Text
