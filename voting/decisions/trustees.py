"""Decisions on trustees: who is invited, which key is whose, which was released."""

from __future__ import annotations

from ...ledger.decision import Decision, Known, Refusal
from .. import commands as c
from ..fold import key_hash
from ..trustee import product
from .base import View, event
from .elections import refuse_draft_change

MOST_TRUSTEES = 9
"""Every ballot carries a share for each: with nine it has some four kilobytes."""


def invite(view: View, cmd: c.InviteTrustee, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if refusal := refuse_draft_change(election, cmd.organiser):
        return refusal
    assert election is not None
    account = view.get("accounts", cmd.tag)
    if account is not None and account["user_id"] != cmd.user:
        return Refusal("AccountChanged", "the address got an id meanwhile: ask again")
    if account is None and (view.get("users", cmd.user) or view.get("memberships", cmd.user)):
        return Refusal("AccountChanged", "whoever had this id was erased meanwhile: ask again")
    known = view.get("invited_trustees", cmd.election, cmd.user)
    if known is not None and known.get("invited_at"):
        if known["name"] != cmd.name:
            return Refusal("AlreadyInvited", f"this address is invited as {known['name']}: withdraw that first")
        return Known(known["invited_at"])
    if (election.get("invited_count") or 0) >= MOST_TRUSTEES:
        return Refusal("TooManyTrustees", f"an election has at most {MOST_TRUSTEES} trustees")
    public = {"command": cmd.command, "election": cmd.election, "user": cmd.user, "name": cmd.name}
    return event("TrusteeInvited", public, {"tag": cmd.tag, "address": cmd.address})


def withdraw(view: View, cmd: c.WithdrawTrustee, now_us: int) -> Decision:
    if refusal := refuse_draft_change(view.get("elections", cmd.election), cmd.organiser):
        return refusal
    invited = view.get("invited_trustees", cmd.election, cmd.user)
    if invited is None or not invited.get("invited_at"):
        return Refusal("UnknownTrustee", "nobody with this id is invited")
    public = {"command": cmd.command, "election": cmd.election, "user": cmd.user}
    return event("TrusteeWithdrawn", public | {"enrolled": bool(invited.get("enrolled_at"))})


def enrol(view: View, cmd: c.EnrolTrustee, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if election is None:
        return Refusal("UnknownElection", "there is no such election")
    invited = view.get("invited_trustees", cmd.election, cmd.user)
    if invited is None or not invited.get("invited_at"):
        return Refusal("NotInvited", "this account is not invited as a trustee of this election")
    if invited.get("n") == cmd.n:
        return Known(invited["enrolled_at"])
    if election["status"] != "draft":
        return Refusal("NotADraft", f"the election is {election['status']}")
    if invited.get("n"):
        return Refusal("AlreadyEnrolled", "another key is enrolled: the organiser must withdraw it first")
    if invited["name"] != cmd.name:
        return Refusal("TrusteesChanged", "the invitation is under another name")
    used = view.get("trustee_keys", key_hash(cmd.n))
    if used is not None and (used["election"], used["user_id"]) != (cmd.election, cmd.user):
        return Refusal("KeyReused", "this key was enrolled by another trustee or for another election: make a new one")
    if view.get("identity_keys", cmd.user, key_hash(cmd.n)) is not None:
        return Refusal("KeyReused", "this key is the identity key of the account: make another one")
    public = {"election": cmd.election, "user": cmd.user, "number": (election.get("enrolments") or 0) + 1}
    return event("TrusteeEnrolled", public | {"name": cmd.name, "n": cmd.n, "proof": cmd.proof})


def release(view: View, cmd: c.ReleaseTrusteeKey, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if election is None or not election.get("published_at"):
        return Refusal("NotPublished", "keys are released after the board is published")
    if cmd.size < election["published_at"]:
        return Refusal("CheckpointTooEarly", "the checkpoint does not cover the whole board")
    trustee = view.get("trustees", cmd.election, cmd.number)
    if trustee is None:
        return Refusal("UnknownTrustee", f"the election has no trustee {cmd.number}")
    n = product(cmd.p, cmd.q)
    # Whatever else is wrong with the factors of this very number, no others would be better.
    if n != trustee["n"]:
        return Refusal("BadTrusteeKey", "p and q are not the factors of the modulus")
    released = view.get("released_keys", cmd.election, cmd.number, n)
    if released is not None:
        return Known(released["released_at"])
    public = {
        "election": cmd.election,
        "eid": election["eid"],
        "number": cmd.number,
        "p": cmd.p,
        "q": cmd.q,
        "size": cmd.size,
        "root": cmd.root,
        "signature": cmd.signature,
    }
    return event("TrusteeKeyReleased", public)
