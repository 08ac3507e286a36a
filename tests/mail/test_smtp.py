"""Real SMTP against a real server: STARTTLS, a login, and what is certain after every way a delivery can end."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as ServerSession

from ballot.mail.letter import letter
from ballot.mail.message import compose
from ballot.mail.transport import MailDown, Outcome, SmtpMailer
from ballot.ports import free_port
from tests.support.certificate import self_signed

MESSAGE = compose("ballot@example.org", "voter@example.org", letter("taken", "fr"), "name")


class Server:
    """What it answers, what it received."""

    def __init__(self, rcpt: str = "250 ok", data: str = "250 ok", mail: str = "250 ok", drop: str = "") -> None:
        self.rcpt, self.data, self.mail, self.drop = rcpt, data, mail, drop
        self.received: list[bytes] = []

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: ServerSession, envelope: Envelope, address: str, o: Any
    ) -> str:
        envelope.mail_from = address
        return self._say(server, "mail")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: ServerSession, envelope: Envelope, address: str, o: Any
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self._say(server, "rcpt")

    async def handle_DATA(self, server: SMTP, session: ServerSession, envelope: Envelope) -> str:  # noqa: N802
        self.received.append(cast(bytes, envelope.content))
        return self._say(server, "data")

    def _say(self, server: SMTP, step: str) -> str:
        if self.drop == step:
            cast(asyncio.Transport, server.transport).abort()
        return str(getattr(self, step))


@contextmanager
def serving(handler: Server, **options: Any) -> Iterator[int]:
    controller = Controller(handler, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def send(port: int, **options: Any) -> Outcome:
    with SmtpMailer("127.0.0.1", port, **{"starttls": False, **options}).session() as session:
        return session.send(MESSAGE)


def test_a_message_arrives_as_it_was_written() -> None:
    with serving(server := Server()) as port:
        assert send(port) == Outcome("sent")
    (received,) = server.received
    assert b"Message-ID: <name@ballot.invalid>" in received
    assert b"Content-Transfer-Encoding: quoted-printable" in received
    assert received.isascii()


def test_many_messages_share_a_session_and_a_refused_one_spoils_no_other() -> None:
    with (
        serving(server := Server(rcpt="550 5.1.1 no such user")) as port,
        SmtpMailer("127.0.0.1", port, starttls=False).session() as session,
    ):
        assert session.send(MESSAGE) == Outcome("bounced", "550 5.1.1 no such user")
        server.rcpt = "250 ok"
        assert session.send(MESSAGE).state == "sent"
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("server", "state"),
    [
        (Server(rcpt="550 no such user"), "bounced"),
        (Server(rcpt="451 greylisted"), "deferred"),
        (Server(data="554 spam"), "bounced"),
        (Server(data="452 disk full"), "deferred"),
        # About us, not about the voter.
        (Server(mail="550 sender refused"), "deferred"),
        (Server(drop="rcpt"), "deferred"),
        (Server(drop="data"), "unknown"),
    ],
    ids=["no user", "greylist", "spam", "full", "sender", "lost before", "lost after"],
)
def test_how_a_delivery_ended_is_told_apart(server: Server, state: str) -> None:
    with serving(server) as port:
        outcome = send(port)
    assert outcome.state == state
    assert outcome.reason.isprintable()


def test_a_server_that_is_not_there_takes_nothing() -> None:
    with pytest.raises(MailDown, match="cannot be reached"):
        send(free_port())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def test_a_message_goes_over_starttls_and_a_login(certificate: Path) -> None:
    logins: list[LoginPassword] = []

    def authenticate(server: SMTP, session: ServerSession, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        logins.append(data)
        return AuthResult(success=data.password == b"right")

    options: dict[str, Any] = {
        "tls_context": server_tls(certificate),
        "require_starttls": True,
        "authenticator": authenticate,
        "auth_required": True,
    }
    good, bad = {"user": "me", "password": "right"}, "wrong-secret"
    trusting = ssl.create_default_context(cafile=str(certificate))
    with serving(server := Server(), **options) as port:
        assert send(port, starttls=True, context=trusting, **good).state == "sent"
        with pytest.raises(MailDown) as refused:
            send(port, starttls=True, context=trusting, user="me", password=bad)
        assert bad not in str(refused.value)
        # Without TLS, and with a certificate that nobody vouches for, not even the password is said.
        with pytest.raises(MailDown):
            send(port, **good)
        with pytest.raises(MailDown):
            send(port, starttls=True, **good)
    assert len(server.received) == 1
    assert [login.password for login in logins][:2] == [b"right", bad.encode()]


def test_a_server_without_starttls_is_not_trusted_with_anything() -> None:
    with serving(server := Server()) as port, pytest.raises(MailDown, match="turned us away"):
        send(port, starttls=True)
    assert server.received == []
