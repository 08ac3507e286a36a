"""Mail that came back: only real failures of mail to a roll are taken."""

import pytest

from ballot.mail.bounce import NoBounce, message_name, read_bounce

CLAIM, VOTER, TAG = b"c" * 16, b"v" * 16, b"t" * 8
NAME = message_name(CLAIM, VOTER, TAG)


def notice(message_id: str = f"<{NAME}@ballot.invalid>", action: str = "failed", part: str = "message/rfc822") -> bytes:
    return f"""From: MAILER-DAEMON@example.net
To: ballot@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I am sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.net

Final-Recipient: rfc822; voter@example.net
Action: {action}
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such
 user

--b
Content-Type: {part}

From: ballot@example.org
To: voter@example.net
Message-ID: {message_id}
Subject: You may vote

Text
--b--
""".replace("\n", "\r\n").encode()


@pytest.mark.parametrize("part", ["message/rfc822", "text/rfc822-headers"])
def test_a_failed_delivery_says_whose_and_why(part: str) -> None:
    bounce = read_bounce(notice(part=part))
    assert (bounce.claim, bounce.voter, bounce.tag) == (CLAIM, VOTER, TAG)
    assert bounce.reason.startswith("5.1.1 smtp; 550 5.1.1 no such")


@pytest.mark.parametrize(
    "data",
    [
        notice(action="delayed"),
        notice(action="delivered"),
        notice(message_id="<other@example.org>"),
        notice(message_id=f"<{NAME}@evil.example>"),
        notice(message_id=f"<{NAME[:-2]}@ballot.invalid>"),
        b"",
        b"Subject: holiday\r\n\r\nI am away until Monday.\r\n",
        b"\xff\xfe\0 not mail",
        notice()[:400],
    ],
)
def test_anything_else_is_passed_over(data: bytes) -> None:
    with pytest.raises(NoBounce):
        read_bounce(data)
