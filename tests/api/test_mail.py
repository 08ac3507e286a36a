"""Mail: which addresses, what is said, and that it never stands in the way."""

import asyncio
import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from ballot.http.diag import read_mailbox
from ballot.http.mail import MailboxMailer, Outbox, check_address, code_text, issued_text
from ballot.http.problems import Refused


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("voter1@example.org", "voter1@example.org"),
        ("  Ann.O'Hara+vote@Example.ORG\n", "ann.o'hara+vote@example.org"),
        ("a@localhost", "a@localhost"),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str) -> None:
    assert check_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "nobody", "@example.org", "a@", "a@@b", "a b@example.org", "a@b..c", "a@-b", "a@b-", "ä@example.org"),
        *("a@b\nBcc: c@d", '"a"@example.org', "a@exämple.org", "a" * 65 + "@example.org", "a@" + "b" * 254, "<a@b>"),
    ],
)
def test_what_mail_cannot_be_sent_to_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        check_address(text)
    assert caught.value.refusal == "BadAddress"


def test_a_message_lands_in_the_mailbox_and_can_be_shown(tmp_path: Path) -> None:
    async def run() -> None:
        outbox = Outbox(MailboxMailer(tmp_path / "box"), "ballot@example.org")
        outbox.post("voter@example.org", "Your code", code_text("012345", 10))
        await outbox.drain(5)

    asyncio.run(run())
    (mail,) = read_mailbox(tmp_path / "box")
    assert (mail.to, mail.subject) == ("voter@example.org", "Your code")
    assert "Your code: 012345" in mail.text.splitlines()


def test_the_code_stands_on_a_line_of_its_own_in_the_file(tmp_path: Path) -> None:
    async def run() -> None:
        outbox = Outbox(MailboxMailer(tmp_path / "box"), "ballot@example.org")
        outbox.post("voter@example.org", "Your code", code_text("987654", 10))
        await outbox.drain(5)

    asyncio.run(run())
    box = mailbox.Maildir(tmp_path / "box", create=False)
    (key,) = box.keys()
    assert b"\nYour code: 987654\n" in box.get_bytes(key)


def test_a_title_in_any_script_can_be_told(tmp_path: Path) -> None:
    async def run() -> None:
        outbox = Outbox(MailboxMailer(tmp_path / "box"), "ballot@example.org")
        outbox.post("voter@example.org", "Note", issued_text("Выборы 市長"))
        await outbox.drain(5)

    asyncio.run(run())
    assert "Выборы 市長" in read_mailbox(tmp_path / "box")[0].text


def test_an_empty_mailbox_shows_nothing(tmp_path: Path) -> None:
    assert read_mailbox(tmp_path / "none") == []


def test_mail_that_cannot_go_out_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Down:
        def send(self, message: EmailMessage) -> None:
            raise OSError("no route to host")

    async def run() -> None:
        outbox = Outbox(Down(), "ballot@example.org")
        outbox.post("voter@example.org", "Your code", code_text("123456", 10))
        await outbox.drain(5)

    asyncio.run(run())
    assert "mail not sent" in caplog.text
    assert "123456" not in caplog.text and "voter@example.org" not in caplog.text
