"""E-mail: what is said, how it goes out, and never in the way of a request."""

from __future__ import annotations

import asyncio
import logging
import mailbox
import re
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Protocol

from ..ledger.vault import fold_address
from .problems import Refused

log = logging.getLogger("ballot.mail")

MAX_ADDRESS = 254
# The mailbox part without quoting or comments, the domain in its ASCII form (RFC 5321, section 4.1.2).
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
AT_ONCE = 4
SMTP_TIMEOUT_S = 15.0


def check_address(text: str) -> str:
    """The address in its one spelling. Raises Refused(BadAddress)."""
    address = fold_address(text)
    if len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address) or ".." in address:
        raise Refused("BadAddress", "not an e-mail address that mail can be sent to")
    return address


class Mailer(Protocol):
    def send(self, message: EmailMessage) -> None:
        """Sends, blocking: it is called in a thread. Raises OSError, smtplib.SMTPException."""


class MailboxMailer:
    """Puts every message into a Maildir, one file each: mail for a cluster on one machine, and for tests."""

    def __init__(self, folder: Path) -> None:
        # Made here, because Maildir makes its folders one by one and fails when another node does so just then.
        for part in ("tmp", "new", "cur"):
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def send(self, message: EmailMessage) -> None:
        mailbox.Maildir(self._folder, create=False).add(message)


class SmtpMailer:
    """One connection a message, with STARTTLS and a verified certificate unless told otherwise."""

    def __init__(
        self, host: str, port: int = 587, *, user: str = "", password: str = "", starttls: bool = True
    ) -> None:
        self._host, self._port, self._user, self._password = host, port, user, password
        self._tls = ssl.create_default_context() if starttls else None

    def send(self, message: EmailMessage) -> None:
        with smtplib.SMTP(self._host, self._port, timeout=SMTP_TIMEOUT_S) as smtp:
            if self._tls is not None:
                smtp.starttls(context=self._tls)
            if self._user:
                smtp.login(self._user, self._password)
            smtp.send_message(message)


class Outbox:
    """Sends in the background, so that how long a request takes says nothing about whether mail went out."""

    def __init__(self, mailer: Mailer, sender: str) -> None:
        self._mailer, self._sender = mailer, sender
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._sending: set[asyncio.Task[None]] = set()

    def post(self, address: str, subject: str, text: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, address, subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="ballot.invalid")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        task = asyncio.ensure_future(self._send(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, message: EmailMessage) -> None:
        async with self._turn:
            try:
                await asyncio.to_thread(self._mailer.send, message)
            except (OSError, smtplib.SMTPException, ValueError) as error:
                log.error("mail not sent", extra={"subject": message["Subject"], "reason": type(error).__name__})
            else:
                log.info("mail sent", extra={"subject": message["Subject"]})

    async def drain(self, timeout_s: float) -> None:
        """Waits for what is being sent."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=timeout_s)


def code_text(code: str, minutes: int) -> str:
    return (
        f"Your code: {code}\n\nIt is valid for {minutes} minutes and for one use. "
        "If you did not ask for it, somebody else typed your address: you need do nothing.\n"
    )


TAKEN_TEXT = (
    "Somebody, perhaps you, tried to register this address. You already have an account here: log in, "
    "or ask for a new password. If it was not you, you need do nothing.\n"
)

CHANGED_TEXT = (
    "The password of your account was changed, and you were logged out everywhere. "
    "If it was not you, ask for a new password at once and tell the organiser of your election.\n"
)


def issued_text(title: str) -> str:
    return (
        f"A voting credential was issued to you for: {title}\n\nWith it one ballot can be cast, by whoever holds it. "
        "If it was not you who asked for it, tell the organiser of the election now.\n"
    )
