"""Decisions on mail to the roll: who may be mailed, that no two nodes ever mail the same voter, what became of it.

Claimed before it is sent: the claim is an entry, so it holds across restarts and leaders. A claim whose sender went
away is never sent again, because nobody can know how far it came; the organiser is shown whom it concerns.
"""

from __future__ import annotations

from ...ledger.decision import Decision, Known, Refusal
from .. import commands as c
from ..tables import Row
from .base import View, event

INVITATION, REMINDER, ISSUED = "invitation", "reminder", "issued"
ORDERED = {INVITATION: ("draft", "frozen", "scheduled", "open"), REMINDER: ("open",)}
REMIND_EVERY_US = 3_600_000_000
MOST_ATTEMPTS = 5
FIRST_RETRY_US, RETRY_FACTOR = 300_000_000, 3


def order(view: View, cmd: c.OrderMail, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if election is None:
        return Refusal("UnknownElection", "there is no such election")
    if election["organiser"] != cmd.organiser:
        return Refusal("NotOrganiser", "only the election's organiser may do this")
    if cmd.kind not in ORDERED:
        return Refusal("UnknownMail", f"mail is one of {', '.join(ORDERED)}")
    if election["status"] not in ORDERED[cmd.kind]:
        return Refusal("NotOpen", f"the election is {election['status']}")
    if not election.get("roll_size"):
        return Refusal("RollEmpty", "there is nobody on the roll")
    before = view.get("mail_orders", cmd.election, cmd.kind)
    if before is not None and before["round"] > (before.get("claimed_round") or 0):
        return Refusal("MailInProgress", "the last mail of this kind is still going out")
    if cmd.kind == REMINDER and before is not None and now_us < before["ordered_us"] + REMIND_EVERY_US:
        return Refusal("TooSoon", "voters are reminded at most once an hour")
    number = 1 if before is None else before["round"] + 1
    return event("MailOrdered", {"command": cmd.command, "election": cmd.election, "kind": cmd.kind, "round": number})


def claim(view: View, cmd: c.ClaimMail, now_us: int) -> Decision:
    ordered = view.get("mail_orders", cmd.election, cmd.kind)
    if cmd.kind != ISSUED and (ordered is None or ordered["round"] != cmd.round):
        return Refusal("UnknownMail", "this mail was not ordered, or a newer one was")
    claimed: list[list[bytes | int]] = []
    for voter in cmd.voters:
        row = view.get("mail", cmd.election, cmd.kind, voter)
        if row is not None and not _may_claim(row, cmd):
            return Refusal("AlreadyClaimed", "one of these voters is being mailed already, or was")
        again = row is not None and row["round"] == cmd.round
        claimed.append([voter, row["attempt"] + 1 if again and row is not None else 1])
    if len(set(cmd.voters)) != len(cmd.voters):
        return Refusal("AlreadyClaimed", "a voter is named twice")
    first = sum(attempt == 1 for _, attempt in claimed)
    public = {"command": cmd.command, "election": cmd.election, "kind": cmd.kind, "round": cmd.round}
    return event("MailClaimed", public | {"first": first, "count": len(claimed), "last": cmd.last}, {"voters": claimed})


def _may_claim(row: Row, cmd: c.ClaimMail) -> bool:
    if row["state"] == "deferred":
        return True
    return cmd.kind == REMINDER and bool(row["round"] < cmd.round)


def report(view: View, cmd: c.ReportMail, now_us: int) -> Decision:
    claimed = view.get("mail_claims", cmd.claim)
    if claimed is None or (claimed["election"], claimed["kind"]) != (cmd.election, cmd.kind):
        return Refusal("UnknownMail", "there is no such claim")
    if claimed["settled"]:
        return Known(claimed["at"])
    outcomes = []
    for outcome in cmd.outcomes:
        row = view.get("mail", cmd.election, cmd.kind, outcome.voter)
        if row is not None and row["claim"] == cmd.claim and row["state"] in ("claimed", "unknown"):
            outcomes.append(_settle(outcome, row["attempt"], now_us))
    if not outcomes and not cmd.final:
        return Known(claimed["at"])
    states = [state for _, state, _, _ in outcomes]
    counts = {state: states.count(state) for state in ("sent", "bounced", "deferred", "unknown")}
    public = {"election": cmd.election, "kind": cmd.kind, "claim": cmd.claim, "final": cmd.final} | counts
    return event("MailReported", public, {"outcomes": outcomes})


def _settle(outcome: c.MailOutcome, attempt: int, now_us: int) -> tuple[bytes, str, str, int]:
    """(voter, state, reason, when to try again)"""
    if outcome.state != "deferred":
        return outcome.voter, outcome.state, outcome.reason, 0
    if attempt >= MOST_ATTEMPTS:
        return outcome.voter, "bounced", f"given up: {outcome.reason}", 0
    return outcome.voter, "deferred", outcome.reason, now_us + FIRST_RETRY_US * RETRY_FACTOR ** (attempt - 1)


def bounce(view: View, cmd: c.RecordBounce, now_us: int) -> Decision:
    row = view.get("mail", cmd.election, cmd.kind, cmd.voter)
    if row is None or row["claim"] != cmd.claim:
        return Refusal("UnknownMail", "there is no such mail, or a newer one was sent")
    if row["state"] not in ("sent", "unknown", "claimed"):
        return Known(row["at"])
    return event(
        "MailBounced", {"election": cmd.election, "kind": cmd.kind}, {"voter": cmd.voter, "reason": cmd.reason}
    )
