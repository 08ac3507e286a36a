"""The leader's mail duty on real tables and a real SMTP server: claimed before it is sent, sent at most once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any, cast

import pytest
from psycopg import AsyncConnection

from ballot.ledger.desk import Verdict
from ballot.ledger.entry import Entry
from ballot.ledger.node import Node
from ballot.ledger.raft.core import FOLLOWER, LEADER
from ballot.ledger.submit import Unavailable
from ballot.ledger.vault import Vault
from ballot.mail.bounce import message_name
from ballot.mail.transport import MailDown, Mailer, Outcome, Session
from ballot.projections import mail_views, mailing
from ballot.projections.mailing import Mailing, Post
from ballot.projections.projector import apply_changes
from ballot.voting import commands as c
from tests.support.chain import START_US
from tests.support.life import VOTING_US, Ledger, Life, stuff

pytestmark = pytest.mark.cluster

LIFE = Life(voters=7)
DRAFT = b'{"closes_us":1800003600000000,"language":"de","opens_us":0,"questions":[],"title":"Budget"}'
VAULT = Vault(bytes(32))


class Box:
    """A mailer that keeps what it sends; `outcomes` is what is said of each address, `down` that there is no line."""

    def __init__(self) -> None:
        self.sent: list[EmailMessage] = []
        self.outcomes: dict[str, Outcome] = {}
        self.down = False
        self.before: Callable[[], None] = lambda: None

    @contextmanager
    def session(self) -> Iterator[Session]:
        if self.down:
            raise MailDown("down")
        yield self

    def send(self, message: EmailMessage) -> Outcome:
        self.before()
        outcome = self.outcomes.get(str(message["To"]), Outcome("sent"))
        if outcome.state in ("sent", "unknown"):
            self.sent.append(message)
        return outcome

    @property
    def got(self) -> Counter[str]:
        return Counter(str(message["To"]) for message in self.sent)


class FakeNode:
    """Decides on a ledger in dictionaries and applies to the real tables at once; `lost` answers never come."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.model = Ledger()
        self.core = SimpleNamespace(role=LEADER)
        self.now_us = VOTING_US
        self.clock = SimpleNamespace(now_us=lambda: self.now_us)
        self.settings = SimpleNamespace(vault=VAULT)
        self.submitter = self.table = self
        self.lost = 0
        self.kinds: list[str] = []

    async def submit(self, command: bytes, *, receipt: bool, timeout_s: float) -> Verdict:
        verdict = await self.record(c.decode_command(command))
        if self.lost:
            self.lost -= 1
            raise Unavailable("the answer was lost")
        return verdict

    async def record(self, command: c.AnyCommand) -> Verdict:
        before = len(self.model.entries)
        decision = self.model.submit(command, self.now_us)
        new = self.model.entries[before:]
        self.kinds += [entry.kind for entry in new]
        async with await AsyncConnection.connect(self.dsn) as connection:
            await apply_changes(connection, new)
        refusal = getattr(decision, "name", "")
        return Verdict(1, len(self.model.entries), bool(new), refusal, getattr(decision, "detail", ""))

    async def read_some(self, indexes: Sequence[int]) -> list[Entry]:
        return [self.model.entries[index - 1] for index in indexes]


def address(who: str) -> str:
    return f"{who.replace(' ', '')}@example.org"


EVERYBODY = [address(who) for who in LIFE.voters]


class Duty:
    connection: AsyncConnection[Any]

    def __init__(self, dsn: str, mailer: Mailer | None = None) -> None:
        self.node, self.box = FakeNode(dsn), Box()
        self.mailer = mailer or self.box
        self.restart()

    def restart(self) -> None:
        """Another process, which knows nothing of what this one was about to do."""
        post = Post(self.mailer, "ballot@example.org", "https://vote.example")
        self.mailing = Mailing(cast(Node, self.node), self.node.dsn, post)

    async def begin(self) -> None:
        voters = [
            c.NewVoter(LIFE.user(who), LIFE.tag(who), address(who), stuff(32, "salt", who), 1) for who in LIFE.voters
        ]
        opening: list[c.AnyCommand] = [
            c.DraftElection(LIFE.election, LIFE.organiser, DRAFT),
            c.AddVoters(LIFE.command("add"), LIFE.election, LIFE.organiser, voters[:4]),
            c.AddVoters(LIFE.command("more"), LIFE.election, LIFE.organiser, voters[4:]),
            *LIFE.trusting(),
            LIFE.open(draft=DRAFT),
            LIFE.start(),
        ]
        for command in [*LIFE.people(), *opening]:
            verdict = await self.node.record(command)
            assert not verdict.refusal, verdict

    async def work(self, times: int = 1) -> None:
        for _ in range(times):
            self.mailing._noted_at = float("-inf")
            await self.mailing._work(self.connection)

    async def counts(self) -> dict[tuple[str, str], int]:
        return {
            (found.kind, found.state): found.count for found in await mail_views.counts(self.connection, LIFE.election)
        }


def on(dsn: str, work: Callable[[Duty], Awaitable[None]], mailer: Mailer | None = None) -> None:
    async def run() -> None:
        duty = Duty(dsn, mailer)
        await duty.begin()
        async with await AsyncConnection.connect(dsn, autocommit=True) as duty.connection:
            await work(duty)

    asyncio.run(run())


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailing, "BATCH", 3)


def test_everybody_on_the_roll_is_invited_once_in_batches(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.work()
        assert duty.box.got == Counter(), "nobody ordered it"
        await duty.node.record(LIFE.order_mail())
        assert await duty.counts() == {("invitation", "queued"): 7}
        await duty.work()
        assert await duty.counts() == {("invitation", "queued"): 4, ("invitation", "sent"): 3}
        await duty.work(5)
        assert duty.box.got == Counter(EVERYBODY)
        assert await duty.counts() == {("invitation", "sent"): 7}
        assert duty.node.kinds.count("MailClaimed") == duty.node.kinds.count("MailReported") == 3
        message = duty.box.sent[0]
        assert message["Subject"] == "Sie sind wahlberechtigt: Budget"
        assert "https://vote.example" in message.get_content() and "2027-01-15 09:00 UTC" in message.get_content()

    on(dsn, work)


def test_only_those_without_a_credential_are_reminded(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        for who in LIFE.voters[:5]:
            await duty.node.record(LIFE.issue(who))
        await duty.node.record(LIFE.order_mail("reminder"))
        assert (await duty.counts())["reminder", "queued"] == 2
        await duty.work()
        reminded = [message for message in duty.box.sent if message["Subject"].startswith("Die Abstimmung")]
        assert sorted(str(message["To"]) for message in reminded) == EVERYBODY[5:]

    on(dsn, work)


def test_whoever_is_issued_a_credential_is_told_once(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        for who in LIFE.voters[:5]:
            await duty.node.record(LIFE.issue(who))
        assert await duty.counts() == {("issued", "queued"): 5}
        await duty.work(3)
        await duty.node.record(LIFE.issue(LIFE.voters[5]))
        await duty.work(3)
        assert duty.box.got == Counter(EVERYBODY[:6])
        assert await duty.counts() == {("issued", "sent"): 6}

    on(dsn, work)


def test_a_follower_mails_nobody(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())
        duty.node.core.role = FOLLOWER
        await duty.work(3)
        assert duty.box.sent == []

    on(dsn, work)


def test_nothing_is_claimed_while_no_mail_can_go_out(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())
        duty.box.down = True
        await duty.work(3)
        assert await duty.counts() == {("invitation", "queued"): 7}
        duty.box.down = False
        await duty.work(3)
        assert duty.box.got == Counter(EVERYBODY)

    on(dsn, work)


def test_a_claim_whose_answer_was_lost_is_asked_for_again_and_sent_once(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())
        duty.node.lost = 1
        await duty.work()
        assert duty.box.sent == [], "a claim that may not be recorded is not sent"
        await duty.work()
        assert len(duty.box.sent) >= 3
        await duty.work(5)
        assert duty.box.got == Counter(EVERYBODY)
        assert await duty.counts() == {("invitation", "sent"): 7}

    on(dsn, work)


def test_a_report_whose_answer_was_lost_is_made_again(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())

        def lose() -> None:
            duty.node.lost = 1

        duty.box.before = lose
        await duty.work()
        duty.box.before = lambda: None
        assert duty.mailing._reports
        await duty.work()
        assert not duty.mailing._reports
        await duty.work(5)
        assert duty.box.got == Counter(EVERYBODY)

    on(dsn, work)


def test_what_a_process_that_died_had_claimed_is_unknown_and_not_sent_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Entries of this log bear the time at which it began.
    monkeypatch.setattr(mailing, "LOST_AFTER_US", VOTING_US - START_US + 1_000_000)

    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())
        await duty.node.record(LIFE.claim_mail(*LIFE.voters[:2]))
        duty.restart()
        await duty.work(4)
        assert duty.box.got == Counter(EVERYBODY[2:])
        assert (await duty.counts())["invitation", "sending"] == 2
        duty.node.now_us += mailing.LOST_AFTER_US + 1
        await duty.work(4)
        assert (await duty.counts())["invitation", "unknown"] == 2
        assert duty.box.got == Counter(EVERYBODY[2:])
        reports = duty.node.kinds.count("MailReported")
        await duty.work(4)
        assert duty.node.kinds.count("MailReported") == reports, "said once"

    on(dsn, work)


def test_refused_mail_is_shown_per_voter_and_only_what_was_not_sent_is_tried_again(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        no_user, busy, lost = EVERYBODY[0], EVERYBODY[1], EVERYBODY[2]
        duty.box.outcomes = {
            no_user: Outcome("bounced", "550 no such user"),
            busy: Outcome("deferred", "451 later"),
            lost: Outcome("unknown", "the line broke"),
        }
        await duty.node.record(LIFE.order_mail())
        await duty.work(4)
        states = {"bounced": 1, "deferred": 1, "unknown": 1, "sent": 4}
        assert await duty.counts() == {("invitation", state): count for state, count in states.items()}
        page = await mail_views.page(duty.connection, LIFE.election, None, "bounced", (b"", ""), 10)
        assert [(mail.voter, mail.reason) for mail in page] == [(LIFE.user(LIFE.voters[0]), "550 no such user")]
        duty.box.outcomes = {}
        await duty.work(4)
        assert busy not in duty.box.got, "not before its time"
        duty.node.now_us += 301_000_000
        await duty.work(4)
        assert duty.box.got == Counter(EVERYBODY[1:])

    on(dsn, work)


def test_a_node_that_is_stopped_gives_back_what_it_has_not_sent(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())

        def stop() -> None:
            duty.mailing._stopping = True

        duty.box.before = stop
        await duty.work()
        assert len(duty.box.sent) == 1
        assert await duty.counts() == {
            ("invitation", "sent"): 1,
            ("invitation", "deferred"): 2,
            ("invitation", "queued"): 4,
        }
        duty.box.before = lambda: None
        duty.restart()
        duty.node.now_us += 301_000_000
        await duty.work(5)
        assert duty.box.got == Counter(EVERYBODY)

    on(dsn, work)


def test_an_order_ends_with_its_election(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail("reminder"))
        await duty.node.record(LIFE.close())
        await duty.work(3)
        assert duty.box.sent == [] and await duty.counts() == {}

    on(dsn, work)


def test_an_error_of_ours_ends_neither_the_node_nor_the_duty(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())

        def fail() -> None:
            raise RuntimeError("our bug")

        duty.box.before = fail
        await duty.work()
        assert "mail failed" in caplog.text
        assert (await duty.counts())["invitation", "sending"] == 3, "how far it came is not known"
        duty.box.before = lambda: None
        await duty.work(5)
        assert sum(duty.box.got.values()) == 4 and max(duty.box.got.values()) == 1

    on(dsn, work)


def test_every_mail_can_be_told_by_its_message_id(dsn: str) -> None:
    async def work(duty: Duty) -> None:
        await duty.node.record(LIFE.order_mail())
        await duty.work()
        claimed = next(entry for entry in duty.node.model.entries if entry.kind == "MailClaimed")
        claim, voters = claimed.fields["command"], [voter for voter, _ in claimed.private_fields["voters"]]
        names = {f"<{message_name(claim, voter, VAULT.mail_tag(claim, voter))}@ballot.invalid>" for voter in voters}
        assert {str(message["Message-ID"]) for message in duty.box.sent} == names

    on(dsn, work)


def test_the_log_of_mail_names_nobody(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def work(duty: Duty) -> None:
        duty.box.outcomes = {EVERYBODY[0]: Outcome("bounced", f"550 <{EVERYBODY[0]}> no such user")}
        await duty.node.record(LIFE.order_mail())
        await duty.work(4)

    on(dsn, work)
    lines: list[Any] = [vars(record) for record in caplog.records if record.name == "ballot.mail"]
    assert {"kind": "invitation", "outcomes": {"bounced": 1, "sent": 2}}.items() <= lines[0].items() or len(lines) > 1
    assert "example.org" not in repr(lines)
