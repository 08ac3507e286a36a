"""From a letter to a message that can be sent."""

from __future__ import annotations

from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from .letter import Letter

DOMAIN = "ballot.invalid"


def compose(sender: str, address: str, letter: Letter, message_id: str = "") -> EmailMessage:
    """`message_id` is the part before the @, made up when empty. Raises ValueError for what no header can hold."""
    message = EmailMessage(policy.default)
    try:
        message["From"], message["To"], message["Subject"] = sender, address, letter.subject
    except MessageError as error:
        raise ValueError("an address or subject cannot be put into a message") from error
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{message_id}@{DOMAIN}>" if message_id else make_msgid(domain=DOMAIN)
    message["Auto-Submitted"] = "auto-generated"
    # Every server takes seven bits.
    message.set_content(letter.text, cte="quoted-printable")
    return message
