"""Decisions on credentials and ballots: who may vote, and only once."""

from __future__ import annotations

import hashlib

from ...ledger.decision import Decision, Known, Refusal
from .. import commands as c
from ..ballot import BallotError, parse_ballot
from ..envelope import ballot_id
from ..tables import Row
from .base import View, event


def _refuse_voting(election: Row | None, now_us: int) -> Refusal | None:
    if election is None:
        return Refusal("UnknownElection", "there is no such election")
    if election["status"] in ("draft", "frozen", "scheduled"):
        return Refusal("ElectionNotOpen", "the election has not opened yet")
    if election["status"] == "cancelled":
        return Refusal("ElectionCancelled", "the election was cancelled")
    if election["status"] != "open" or 0 < election["closes_us"] <= now_us:
        return Refusal("ElectionClosed", "the election is closed")
    return None


def issue(view: View, cmd: c.IssueCredential, now_us: int) -> Decision:
    issued = view.get("credentials", cmd.eid, cmd.voter)
    if issued is not None and issued["blinded"] == hashlib.sha256(cmd.blinded).digest():
        return Known(issued["issued_at"])
    election = view.get("elections", cmd.election)
    if refusal := _refuse_voting(election, now_us):
        return refusal
    assert election is not None
    if election["eid"] != cmd.eid:
        return Refusal("WrongElection", "the request names another election")
    if view.get("roll", cmd.election, cmd.voter) is None:
        return Refusal("NotOnRoll", "the voter is not on the roll of this election")
    user = view.get("users", cmd.voter)
    if user is None or user.get("identity") != cmd.identity:
        return Refusal("WrongIdentityKey", "the request is not signed with the identity key in force")
    if issued is not None:
        return Refusal("AlreadyIssued", "a credential was issued for another ballot key")
    public = {
        "election": cmd.election,
        "eid": cmd.eid,
        "voter": cmd.voter,
        "identity": cmd.identity,
        "blinded": cmd.blinded,
        "identity_sig": cmd.identity_sig,
        "blind_sig": cmd.blind_sig,
    }
    return event("CredentialIssued", public)


def cast(view: View, cmd: c.CastBallot, now_us: int) -> Decision:
    try:
        ballot = parse_ballot(cmd.body)
    except BallotError as error:
        return Refusal(error.name, str(error))
    election = view.get("elections", cmd.election)
    if election is not None and election.get("eid") not in (None, ballot.eid):
        return Refusal("WrongElection", "the ballot is for another election")
    spent = view.get("casts", ballot.eid, ballot.bid)
    if spent is not None and spent["name"] == ballot.name:
        return Known(spent["cast_at"])
    # Casts are forgotten once all are published; then the board is what is left to show.
    published = view.get("spent", ballot.eid, ballot.bid)
    if published is not None and spent is None:
        return Refusal("AlreadyPublished", f"the ballot of this credential is on the board, by entry {published['at']}")
    if refusal := _refuse_voting(election, now_us):
        return refusal
    if spent is not None:
        return Refusal("AlreadyCast", "this credential was spent on another ballot")
    return event("BallotCast", {"election": cmd.election, "eid": ballot.eid}, cmd.body)


def claim_unused(view: View, cmd: c.ClaimUnused, now_us: int) -> Decision:
    bid = ballot_id(cmd.bpk)
    election = view.get("elections", cmd.election)
    if election is None or not election.get("closed_at"):
        return Refusal("NotClosed", "claims are taken after the close")
    if election["eid"] != cmd.eid:
        return Refusal("WrongElection", "the claim is for another election")
    claimed = view.get("unused_claims", cmd.eid, bid)
    if claimed is not None:
        return Known(claimed["claimed_at"])
    window = view.get("claim_windows", cmd.eid)
    if window is not None and now_us >= window["until_us"]:
        return Refusal("ClaimsClosed", "the time for claims is over")
    # Casts are forgotten once the board is public; from then on the board tells.
    if view.get("casts", cmd.eid, bid) is not None or view.get("spent", cmd.eid, bid) is not None:
        return Refusal("AlreadyCast", "this credential was spent on a ballot")
    public = {
        "election": cmd.election,
        "eid": cmd.eid,
        "bpk": cmd.bpk,
        "prefix": cmd.prefix,
        "credential": cmd.credential,
        "signature": cmd.signature,
    }
    return event("CredentialUnused", public)
