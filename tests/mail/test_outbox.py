"""Single mails: they never stand in the way of a request, and no secret of theirs gets into a log."""

import asyncio
import mailbox
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from ballot.http.diag import read_mailbox
from ballot.mail.outbox import Outbox
from ballot.mail.transport import MailboxMailer, MailDown, Outcome, Session


def test_a_message_lands_in_the_mailbox_and_can_be_shown(tmp_path: Path) -> None:
    async def run() -> None:
        outbox = Outbox(MailboxMailer(tmp_path / "box"), "ballot@example.org")
        outbox.post("voter@example.org", "code", "en", code="012345", minutes="10")
        await outbox.drain(5)

    asyncio.run(run())
    (mail,) = read_mailbox(tmp_path / "box")
    assert (mail.to, mail.subject) == ("voter@example.org", "Your code")
    assert "Your code: 012345" in mail.text.splitlines()


def test_the_code_stands_on_a_line_of_its_own_in_the_file(tmp_path: Path) -> None:
    async def run() -> None:
        outbox = Outbox(MailboxMailer(tmp_path / "box"), "ballot@example.org")
        outbox.post("voter@example.org", "code", "en", code="987654321012", minutes="10")
        await outbox.drain(5)

    asyncio.run(run())
    box = mailbox.Maildir(tmp_path / "box", create=False)
    (key,) = box.keys()
    assert b"\nYour code: 987654321012\n" in box.get_bytes(key)


def test_an_empty_mailbox_shows_nothing(tmp_path: Path) -> None:
    assert read_mailbox(tmp_path / "none") == []


def test_mail_that_cannot_go_out_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Down:
        @contextmanager
        def session(self) -> Iterator[Session]:
            raise MailDown("no route to host")
            yield

    async def run() -> None:
        outbox = Outbox(Down(), "ballot@example.org")
        outbox.post("voter@example.org", "code", "en", code="123456", minutes="10")
        await outbox.drain(5)

    asyncio.run(run())
    (line,) = caplog.records
    assert (line.levelname, vars(line)["outcome"]) == ("ERROR", "deferred")
    assert "123456" not in repr(vars(line)) and "voter@example.org" not in repr(vars(line))


def test_pretending_does_all_but_sends_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Counting:
        sessions = 0

        @contextmanager
        def session(self) -> Iterator[Session]:
            self.sessions += 1
            yield Nothing()

    class Nothing:
        def send(self, message: EmailMessage) -> Outcome:
            raise AssertionError("sent")

    caplog.set_level("DEBUG", "ballot")
    mailer = Counting()

    async def run() -> None:
        outbox = Outbox(mailer, "ballot@example.org")
        outbox.pretend("voter@example.org", "code", "en", code="123456", minutes="10")
        await outbox.drain(5)

    asyncio.run(run())
    assert mailer.sessions == 1
    assert not [record for record in caplog.records if record.name.startswith("ballot")]
