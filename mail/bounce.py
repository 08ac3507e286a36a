"""Mail that came back: delivery status notifications (RFC 3464), and which of ours they are about."""

from __future__ import annotations

import re
from email import message_from_bytes, message_from_string, policy
from email.message import EmailMessage, Message
from typing import NamedTuple

from .message import DOMAIN
from .transport import printable

_OURS = re.compile(rf"<([0-9a-f]{{32}})\.([0-9a-f]{{32}})\.([0-9a-f]{{16}})@{re.escape(DOMAIN)}>")


class NoBounce(ValueError):
    """Not a notification that a mail to the roll failed for good; the message says why."""


class Bounce(NamedTuple):
    """`claim` and `voter` are what the mail's own Message-ID says, `tag` what proves that we made it."""

    claim: bytes
    voter: bytes
    tag: bytes
    reason: str


def message_name(claim: bytes, voter: bytes, tag: bytes) -> str:
    """The part of a Message-ID before the @."""
    return f"{claim.hex()}.{voter.hex()}.{tag.hex()}"


def read_bounce(data: bytes) -> Bounce:
    """Raises NoBounce, also for a delay that is only announced."""
    message = message_from_bytes(data, policy=policy.default)
    reason, original = "", ""
    for part in message.walk():
        kind = part.get_content_type()
        if kind == "message/delivery-status":
            reason = reason or _failure(part)
        elif kind in ("message/rfc822", "text/rfc822-headers"):
            original = original or _message_id(part)
    if not reason:
        raise NoBounce("no failed delivery is reported")
    found = _OURS.fullmatch(original.strip())
    if found is None:
        raise NoBounce("it is not about a mail to a roll")
    claim, voter, tag = map(bytes.fromhex, found.groups())
    return Bounce(claim, voter, tag, printable(reason))


def _failure(status: Message) -> str:
    """Why, from the fields of the first recipient whose delivery failed."""
    groups = status.get_payload()
    for fields in groups if isinstance(groups, list) else []:
        if isinstance(fields, Message) and str(fields.get("Action", "")).strip().lower() == "failed":
            told = (str(fields.get(name, "")).strip() for name in ("Status", "Diagnostic-Code"))
            return " ".join(filter(None, told)) or "failed"
    return ""


def _message_id(part: Message) -> str:
    payload = part.get_payload()
    if isinstance(payload, list) and payload and isinstance(payload[0], Message):
        return str(payload[0].get("Message-ID", ""))
    if isinstance(part, EmailMessage) and part.get_content_type() == "text/rfc822-headers":
        return str(message_from_string(str(part.get_content())).get("Message-ID", ""))
    return ""
