"""Decides on the erasure of a person: nobody who still has to vote, and nothing that others are known by."""

from __future__ import annotations

import base64

from ...ledger.decision import Decision, Draft, Refusal
from .. import commands as c
from .base import View, event

ERASABLE = frozenset(
    (
        *("UserRegistered", "PasswordChanged", "VotersAdded", "VotersKept", "TrusteeInvited"),
        *("MailClaimed", "MailReported", "MailBounced"),
    )
)
FINISHED = ("tallied", "cancelled")


def erase_user(view: View, cmd: c.EraseUser, now_us: int) -> Decision:
    account = view.get("accounts", cmd.tag)
    if account is None or account["user_id"] != cmd.user:
        return Refusal("UnknownUser", "there is no such user, or no longer")
    if refusal := _refuse_member(view, cmd) or _refuse_office(view, cmd):
        return refusal
    if any(part.kind not in ERASABLE for part in cmd.parts):
        return Refusal("MalformedCommand", "a part is not of a person")
    erased = {part.index for part in cmd.parts}
    # Whoever asked may have read older tables: a part that was left out would stay for good.
    if not {account.get("address_at"), account.get("password_at")} - {None} <= erased:
        return Refusal("AccountChanged", "the account changed meanwhile: ask again")
    if refusal := _refuse_rolls(view, cmd, erased):
        return refusal
    drafts = [draft for roll in cmd.rolls for draft in _keep(roll, cmd.user)]
    public = {"command": cmd.command, "user": cmd.user, "by": cmd.by, "reason": "person"}
    run = {"kind": "", "first": 0, "last": 0, "elections": cmd.elections}
    parts = {"parts": [[part.index, part.kind] for part in cmd.parts]}
    return [*drafts, *event("PrivateErased", public | run | parts)]


def _shown(name: bytes) -> str:
    """As every id is written in the API, from where an election that is in the way can be looked at."""
    return base64.urlsafe_b64encode(name).rstrip(b"=").decode()


def _refuse_member(view: View, cmd: c.EraseUser) -> Refusal | None:
    """An election is over for a voter once it is counted or cancelled."""
    if len(set(cmd.elections)) != _counted(view, cmd.user, "rolls"):
        return Refusal("RollChanged", "the user was put on another roll meanwhile: ask again")
    for name in cmd.elections:
        election = view.get("elections", name)
        if election is None or view.get("roll", name, cmd.user) is None:
            return Refusal("RollChanged", "the user is not on a roll that was named")
        if election["status"] not in FINISHED:
            return Refusal("OnActiveRoll", f"the user is on the roll of election {_shown(name)}, which is not over")
    return None


def _refuse_office(view: View, cmd: c.EraseUser) -> Refusal | None:
    """Nor may anybody go whom an election that is not over needs as its organiser or as a trustee."""
    for named, count in ((cmd.organises, "organised"), (cmd.trustee_of, "invited")):
        if len(set(named)) != _counted(view, cmd.user, count):
            return Refusal("AccountChanged", "the user became or ceased to be organiser or trustee: ask again")
    for name in cmd.organises:
        election = view.get("elections", name)
        if election is None or election["organiser"] != cmd.user:
            return Refusal("AccountChanged", "the user does not organise an election that was named")
        if election["status"] not in FINISHED:
            return Refusal("OnActiveRoll", f"the user organises election {_shown(name)}, which is not over")
    for name in cmd.trustee_of:
        election, invited = view.get("elections", name), view.get("invited_trustees", name, cmd.user)
        if election is None or invited is None or not invited.get("invited_at"):
            return Refusal("AccountChanged", "the user is no trustee of an election that was named")
        if election["status"] not in FINISHED:
            return Refusal("OnActiveRoll", f"the user is a trustee of election {_shown(name)}, which is not over")
    return None


def _counted(view: View, user: bytes, count: str) -> int:
    return (view.get("memberships", user) or {}).get(count) or 0


def _refuse_rolls(view: View, cmd: c.EraseUser, erased: set[int]) -> Refusal | None:
    """What is kept of a roll is what is there now: somebody else's erasure may have moved it."""
    sources = {(roll.election, roll.source) for roll in cmd.rolls}
    for name in cmd.elections:
        row = view.get("roll", name, cmd.user)
        if row is not None and row.get("added_at") and (name, row["added_at"]) not in sources:
            return Refusal("RollChanged", "the roll's addresses were moved meanwhile: ask again")
    for roll in cmd.rolls:
        rows = [view.get("roll", roll.election, voter) for voter in (cmd.user, *(one.voter for one in roll.others))]
        if roll.source not in erased or any(row is None or row.get("added_at") != roll.source for row in rows):
            return Refusal("RollChanged", "the roll's addresses were moved meanwhile: ask again")
    return None


def _keep(roll: c.KeptRoll, user: bytes) -> list[Draft]:
    public = {"election": roll.election, "source": roll.source, "without": user}
    hidden = [[one.voter, one.tag, one.address, one.salt] for one in roll.others]
    kept = {"voters": [one.voter for one in roll.others]}
    return event("VotersKept", public | kept, {"addresses": hidden} if hidden else None)
