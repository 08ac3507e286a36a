"""Mail to the roll: ordered by the organiser, claimed once, reported once, and never sent twice."""

from __future__ import annotations

from typing import cast

from ballot.ledger.decision import Decision, Draft, Known, Refusal
from ballot.ledger.entry import decode_map
from ballot.voting import commands as c
from ballot.voting.decisions.mailing import MOST_ATTEMPTS, REMIND_EVERY_US
from tests.support.life import VOTING_US, Ledger, Life

LIFE = Life(voters=4)
ONE, TWO, THREE, FOUR = LIFE.voters


def ledger(*commands: c.AnyCommand) -> Ledger:
    made = Ledger()
    made.record_all([*LIFE.people(), *LIFE.drafting(), *commands])
    return made


def opened(*commands: c.AnyCommand) -> Ledger:
    return ledger(*LIFE.opening(), *commands)


def refused(made: Ledger, command: c.AnyCommand, name: str, now_us: int = VOTING_US) -> None:
    decision = made.submit(command, now_us)
    assert isinstance(decision, Refusal), decision
    assert decision.name == name


def accepted(made: Ledger, command: c.AnyCommand, now_us: int = VOTING_US) -> Draft:
    decision: Decision = made.submit(command, now_us)
    assert isinstance(decision, list), decision
    (draft,) = decision
    return cast(Draft, draft)


def state_of(made: Ledger, who: str, kind: str = "invitation") -> str:
    row = made.state.get("mail", LIFE.election, kind, LIFE.user(who))
    return "" if row is None else row["state"]


# -- orders


def test_an_organiser_invites_whoever_is_on_the_roll() -> None:
    made = Ledger()
    made.record_all([*LIFE.people(), LIFE.draft()])
    refused(Ledger(), LIFE.order_mail(), "UnknownElection")
    refused(made, LIFE.order_mail(), "RollEmpty")
    made.record_all([LIFE.add(*LIFE.voters)])
    refused(made, c.OrderMail(b"x" * 16, LIFE.election, b"s" * 16, "invitation"), "NotOrganiser")
    refused(made, LIFE.order_mail("birthday"), "UnknownMail")
    assert decode_map(accepted(made, LIFE.order_mail()).public)["round"] == 1


def test_voters_are_reminded_only_while_they_can_vote_and_not_all_the_time() -> None:
    refused(ledger(), LIFE.order_mail("reminder"), "NotOpen")
    made = opened()
    accepted(made, LIFE.order_mail("reminder"))
    refused(made, LIFE.order_mail("reminder", 2), "MailInProgress")
    accepted(made, LIFE.claim_mail(ONE, kind="reminder", last=True))
    refused(made, LIFE.order_mail("reminder", 2), "TooSoon", made.entries[-2].time_us + REMIND_EVERY_US - 1)
    accepted(made, LIFE.order_mail("reminder", 2), made.entries[-2].time_us + REMIND_EVERY_US)
    made.record_all([LIFE.close()])
    refused(made, LIFE.order_mail("reminder", 3), "NotOpen")
    refused(made, LIFE.order_mail("invitation", 3), "NotOpen")


# -- claims


def test_a_voter_is_claimed_once() -> None:
    made = opened(LIFE.order_mail())
    accepted(made, LIFE.claim_mail(ONE, TWO))
    again = made.submit(LIFE.claim_mail(ONE, TWO))
    assert isinstance(again, Known), "the same claim, asked for again after a lost answer"
    refused(made, LIFE.claim_mail(TWO, THREE), "AlreadyClaimed")
    refused(made, LIFE.claim_mail(THREE, THREE), "AlreadyClaimed")
    assert [state_of(made, who) for who in LIFE.voters] == ["claimed", "claimed", "", ""]
    accepted(made, LIFE.claim_mail(THREE, FOUR, last=True))


def test_nothing_is_claimed_that_was_not_ordered() -> None:
    made = opened()
    refused(made, LIFE.claim_mail(ONE), "UnknownMail")
    made.record_all([LIFE.order_mail()])
    refused(made, LIFE.claim_mail(ONE, number=2), "UnknownMail")
    refused(made, LIFE.claim_mail(ONE, kind="reminder"), "UnknownMail")


def test_a_note_of_a_credential_needs_no_order() -> None:
    made = opened(LIFE.issue(ONE), LIFE.claim_mail(ONE, kind="issued"))
    refused(made, LIFE.claim_mail(ONE, kind="issued", name="again"), "AlreadyClaimed")


def test_a_second_invitation_reaches_only_whoever_had_none() -> None:
    made = ledger(LIFE.order_mail(), LIFE.claim_mail(ONE, last=True), LIFE.order_mail(number=2))
    refused(made, LIFE.claim_mail(ONE, number=2), "AlreadyClaimed")
    accepted(made, LIFE.claim_mail(TWO, number=2))


def test_a_second_reminder_reaches_everybody_again() -> None:
    made = opened(LIFE.order_mail("reminder"), LIFE.claim_mail(ONE, kind="reminder", last=True))
    accepted(made, LIFE.order_mail("reminder", 2), VOTING_US + REMIND_EVERY_US)
    accepted(made, LIFE.claim_mail(ONE, kind="reminder", number=2))


# -- reports

CLAIM = LIFE.mail_claim(ONE, TWO)


def claimed() -> Ledger:
    return opened(LIFE.order_mail(), LIFE.claim_mail(ONE, TWO))


def test_a_report_settles_a_claim() -> None:
    made = claimed()
    report = accepted(made, LIFE.report_mail(CLAIM, {ONE: "sent", TWO: "bounced"}))
    public = decode_map(report.public)
    assert (public["sent"], public["bounced"], public["unknown"]) == (1, 1, 0)
    assert LIFE.user(ONE) not in report.public and b"said" not in report.public
    assert [state_of(made, who) for who in (ONE, TWO)] == ["sent", "bounced"]
    assert isinstance(made.submit(LIFE.report_mail(CLAIM, {ONE: "unknown"})), Known)
    refused(made, LIFE.report_mail(b"x" * 16, {ONE: "sent"}), "UnknownMail")


def test_what_nobody_reports_on_is_unknown_and_never_claimed_again() -> None:
    made = claimed()
    accepted(made, LIFE.report_mail(CLAIM, {ONE: "unknown", TWO: "unknown"}, final=False))
    refused(made, LIFE.claim_mail(ONE, name="again"), "AlreadyClaimed")
    assert state_of(made, ONE) == "unknown"


def test_a_slow_sender_still_has_its_say() -> None:
    made = claimed()
    accepted(made, LIFE.report_mail(CLAIM, {ONE: "unknown", TWO: "unknown"}, final=False))
    accepted(made, LIFE.report_mail(CLAIM, {ONE: "sent", TWO: "deferred"}))
    assert [state_of(made, who) for who in (ONE, TWO)] == ["sent", "deferred"]


def test_what_was_certainly_not_sent_is_claimed_again_a_few_times() -> None:
    made = opened(LIFE.order_mail())
    waits = []
    for attempt in range(1, MOST_ATTEMPTS + 1):
        made.record_all([LIFE.claim_mail(ONE, name=attempt)])
        made.record_all([LIFE.report_mail(LIFE.mail_claim(ONE, name=attempt), {ONE: "deferred"})])
        row = made.state.get("mail", LIFE.election, "invitation", LIFE.user(ONE))
        assert row is not None
        assert row["attempt"] == attempt
        waits.append(row["retry_us"] - VOTING_US)
    assert waits == [300_000_000, 900_000_000, 2_700_000_000, 8_100_000_000, -VOTING_US]
    assert row is not None
    assert row["state"] == "bounced" and row["reason"].startswith("given up")
    refused(made, LIFE.claim_mail(ONE, name="more"), "AlreadyClaimed")


def test_a_report_on_one_claim_says_nothing_of_another() -> None:
    made = claimed()
    made.record_all([LIFE.claim_mail(THREE)])
    accepted(made, LIFE.report_mail(CLAIM, {ONE: "sent", TWO: "sent", THREE: "bounced"}))
    assert state_of(made, THREE) == "claimed"


def test_mail_that_comes_back_later_is_noted() -> None:
    made = claimed()
    made.record_all([LIFE.report_mail(CLAIM, {ONE: "sent", TWO: "sent"})])
    bounced = accepted(made, LIFE.bounce(CLAIM, ONE))
    assert LIFE.user(ONE) not in bounced.public
    assert state_of(made, ONE) == "bounced"
    assert isinstance(made.submit(LIFE.bounce(CLAIM, ONE)), Known)
    refused(made, LIFE.bounce(b"x" * 16, TWO), "UnknownMail")
    refused(made, LIFE.bounce(CLAIM, THREE), "UnknownMail")
