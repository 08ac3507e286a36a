"""How mail goes out, and what is certain afterwards about each message.

The difference that matters is between *not sent*, which may be tried again, and *unknown*, which may not: a voter
must not be mailed twice because a line broke at the wrong moment.
"""

from __future__ import annotations

import mailbox
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

State = Literal["sent", "bounced", "deferred", "unknown"]

SMTP_TIMEOUT_S = 15.0
_SHOWN = 200


class MailDown(Exception):
    """No mail can go out now; nothing was sent."""


class Outcome(NamedTuple):
    """`sent`: handed over for delivery. `bounced`: refused for good. `deferred`: certainly not sent, so it may be tried
    again. `unknown`: perhaps sent, so it may not.
    """

    state: State
    reason: str = ""


class Session(Protocol):
    def send(self, message: EmailMessage) -> Outcome: ...


class Mailer(Protocol):
    def session(self) -> AbstractContextManager[Session]:
        """A line for one message or many; blocking, so it is used in a thread. Raises MailDown."""


class MailboxMailer:
    """Puts every message into a Maildir, one file each: mail for a cluster on one machine, and for tests."""

    def __init__(self, folder: Path) -> None:
        # Made here, because Maildir makes its folders one by one and fails when another node does so just then.
        for part in ("tmp", "new", "cur"):
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    @contextmanager
    def session(self) -> Iterator[Session]:
        yield self

    def send(self, message: EmailMessage) -> Outcome:
        try:
            mailbox.Maildir(self._folder, create=False).add(message)
        except OSError as error:
            return Outcome("deferred", type(error).__name__)
        return Outcome("sent")


class SmtpMailer:
    """One connection a session, with STARTTLS and a verified certificate unless told otherwise."""

    def __init__(
        self,
        host: str,
        port: int = 587,
        *,
        user: str = "",
        password: str = "",
        starttls: bool = True,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._user, self._password = host, port, user, password
        self._tls = (context or ssl.create_default_context()) if starttls else None

    @contextmanager
    def session(self) -> Iterator[Session]:
        try:
            smtp = smtplib.SMTP(self._host, self._port, timeout=SMTP_TIMEOUT_S)
        except (OSError, smtplib.SMTPException) as error:
            raise MailDown(f"the mail server cannot be reached: {type(error).__name__}") from error
        self._greet(smtp)
        try:
            yield SmtpSession(smtp)
        finally:
            _leave(smtp)

    def _greet(self, smtp: smtplib.SMTP) -> None:
        try:
            if self._tls is not None:
                smtp.starttls(context=self._tls)
            if self._user:
                smtp.login(self._user, self._password)
            smtp.ehlo_or_helo_if_needed()
        except (OSError, smtplib.SMTPException) as error:
            smtp.close()
            # The error's own text may quote what was sent, the password among it.
            raise MailDown(f"the mail server turned us away: {type(error).__name__}") from error


def _leave(smtp: smtplib.SMTP) -> None:
    try:
        smtp.quit()
    except (OSError, smtplib.SMTPException):
        smtp.close()


class SmtpSession:
    """Step by step instead of `smtplib.send_message`, which does not say how far it came."""

    def __init__(self, smtp: smtplib.SMTP) -> None:
        self._smtp = smtp

    def send(self, message: EmailMessage) -> Outcome:
        octets = message.as_bytes(policy=policy.SMTP)
        try:
            code, reply = self._smtp.mail(message["From"].addresses[0].addr_spec)
            if code != 250:
                # About us, not about this voter: nobody is marked as unreachable for it.
                return self._not_sent("deferred", code, reply)
            code, reply = self._smtp.rcpt(message["To"].addresses[0].addr_spec)
            if code not in (250, 251):
                return self._not_sent("bounced" if code >= 500 else "deferred", code, reply)
        except (OSError, smtplib.SMTPException) as error:
            return Outcome("deferred", f"the line broke before the message: {type(error).__name__}")
        try:
            code, reply = self._smtp.data(octets)
        except smtplib.SMTPDataError as error:
            return self._not_sent(_refused(error.smtp_code), error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            return Outcome("unknown", f"the line broke after the message: {type(error).__name__}")
        return Outcome("sent") if code == 250 else Outcome(_refused(code), _shown(code, reply))

    def _not_sent(self, state: State, code: int, reply: bytes | str) -> Outcome:
        try:
            self._smtp.rset()
        except (OSError, smtplib.SMTPException):
            self._smtp.close()
        return Outcome(state, _shown(code, reply))


def _refused(code: int) -> State:
    return "bounced" if 500 <= code < 600 else "deferred"


def _shown(code: int, reply: bytes | str) -> str:
    text = reply if isinstance(reply, str) else reply.decode(errors="replace")
    return printable(f"{code} {text}")


def printable(text: str) -> str:
    """What somebody else's server said, short and on one line."""
    return "".join(char if char.isprintable() else " " for char in text)[:_SHOWN]
