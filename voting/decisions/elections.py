"""Decisions on the life of an election, from draft to close."""

from __future__ import annotations

from typing import Any

from msgspec import UnsetType

from ...ledger.decision import Decision, Draft, Known, Refusal
from .. import commands as c
from ..definition import DefinitionError, decode_definition, election_id
from ..tables import Row
from ..trustee import asked_threshold, threshold
from .base import View, event


def refuse_organiser(election: Row | None, by: bytes) -> Refusal | None:
    if election is None:
        return Refusal("UnknownElection", "there is no such election")
    if election["organiser"] != by:
        return Refusal("NotOrganiser", "only the election's organiser may do this")
    return None


def refuse_draft_change(election: Row | None, by: bytes) -> Refusal | None:
    if refusal := refuse_organiser(election, by):
        return refusal
    if election is not None and election["status"] != "draft":
        return Refusal("NotADraft", f"the election is {election['status']}")
    return None


def draft(view: View, cmd: c.DraftElection, now_us: int) -> Decision:
    known = view.get("elections", cmd.election)
    if known is not None:
        return Known(known["drafted_at"])
    return event("ElectionDrafted", {"election": cmd.election, "organiser": cmd.organiser, "draft": cmd.draft})


def amend(view: View, cmd: c.AmendElection, now_us: int) -> Decision:
    if refusal := refuse_draft_change(view.get("elections", cmd.election), cmd.organiser):
        return refusal
    return event("ElectionAmended", {"command": cmd.command, "election": cmd.election, "draft": cmd.draft})


def add_voters(view: View, cmd: c.AddVoters, now_us: int) -> Decision:
    if refusal := refuse_draft_change(view.get("elections", cmd.election), cmd.organiser):
        return refusal
    voters: list[list[Any]] = []
    hidden: list[list[Any]] = []
    seen: set[bytes] = set()
    for new in cmd.voters:
        account = view.get("accounts", new.tag)
        voter = new.voter if account is None else account["user_id"]
        if seen & {new.tag, voter} or view.get("roll_tags", cmd.election, new.tag) is not None:
            continue
        seen |= {new.tag, voter}
        voters.append([voter, new.weight])
        hidden.append([voter, new.tag, new.address, new.salt])
    public = {"command": cmd.command, "election": cmd.election, "voters": voters}
    return event("VotersAdded", public, {"addresses": hidden})


def open(view: View, cmd: c.OpenElection, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if refusal := refuse_organiser(election, cmd.organiser):
        return refusal
    assert election is not None
    eid = election_id(cmd.definition)
    if election.get("eid") == eid:
        return Known(election["opened_at"])
    if election.get("eid") is not None:
        return Refusal("AlreadyOpened", "the election was opened before")
    if refusal := _refuse_opening(election, cmd, now_us):
        return refusal
    frozen: list[Draft] = []
    if election["status"] == "draft":
        roll = {"election": cmd.election, "leaves": cmd.leaves, "root": cmd.root, "size": len(cmd.leaves)}
        frozen = event("RollFrozen", roll)
    public = {"election": cmd.election, "eid": eid, "definition": cmd.definition}
    private = {"registrars": cmd.registrar_keys, "trustee": cmd.trustee_key}
    return frozen + event("ElectionOpened", public, private)


def _refuse_opening(election: Row, cmd: c.OpenElection, now_us: int) -> Refusal | None:
    """Draft, roll and trustees may have changed since the definition was made."""
    if election["status"] not in ("draft", "frozen"):
        return Refusal("NotADraft", f"the election is {election['status']}")
    if election["draft"] != cmd.draft:
        return Refusal("DraftChanged", "the draft was amended meanwhile: look at it and open again")
    if (election.get("roll_size") or 0) != len(cmd.leaves) or not cmd.leaves:
        return Refusal("RollChanged", "the roll changed meanwhile, or nobody is on it: look at it and open again")
    if election["status"] == "frozen" and election["roll_root"] != cmd.root:
        return Refusal("RollChanged", "the roll is frozen with another root")
    try:
        definition = decode_definition(cmd.definition)
    except DefinitionError as error:
        return Refusal("BadDefinition", str(error))
    if 0 < definition.closes_us <= now_us:
        return Refusal("BadDefinition", "the election would close before it opens")
    if (election.get("trustee_changes") or 0) != cmd.trustee_changes:
        return Refusal("TrusteesChanged", "the trustees changed meanwhile: look at them and open again")
    invited, enrolled = election.get("invited_count") or 0, election.get("trustee_count") or 0
    if enrolled < invited:
        return Refusal("TrusteeMissing", f"{invited - enrolled} of {invited} trustees have not enrolled a key yet")
    if len(definition.trustees) != (enrolled or 1) or (cmd.trustee_key and enrolled):
        return Refusal("TrusteesChanged", "the definition has other trustees than those that enrolled")
    if definition.k != (needed := threshold(asked_threshold(cmd.draft), enrolled)):
        return Refusal("BadDefinition", f"by the draft {needed} trustees are needed, not {definition.k}")
    return None


def start(view: View, cmd: c.StartElection, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if election is None:
        return Refusal("UnknownElection", "there is no such election")
    if election.get("started_at"):
        return Known(election["started_at"])
    if election["status"] != "scheduled":
        return Refusal("NotOpen", f"the election is {election['status']}")
    # As with the close, only the leader's own clock counts.
    if now_us < election["opens_us"]:
        return Refusal("NotDue", "the election's opening time has not come")
    return event("ElectionStarted", {"election": cmd.election, "eid": election["eid"]})


def close(view: View, cmd: c.CloseElection, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if cmd.by and (refusal := refuse_organiser(election, cmd.by)):
        return refusal
    if election is None:
        return Refusal("UnknownElection", "there is no such election")
    if election.get("closed_at"):
        return Known(election["closed_at"])
    if election["status"] != "open":
        return Refusal("NotOpen", f"the election is {election['status']}")
    # Whoever found it due may have read a wrong clock; the leader's, which the quorum agreed to, is what counts.
    if not cmd.by and not 0 < election["closes_us"] <= now_us:
        return Refusal("NotDue", "the election's closing time has not come")
    public = {"election": cmd.election, "eid": election["eid"], "casts": election.get("cast_count") or 0, "by": cmd.by}
    return event("ElectionClosed", public | claims_until(election["definition"], now_us))


def claims_until(definition: bytes, closed_us: int) -> dict[str, int]:
    """When the last claim of an unused credential is taken, as the close states it; nothing where there is no end."""
    claims_s = decode_definition(definition).claims_s
    return {} if isinstance(claims_s, UnsetType) else {"claims_until_us": closed_us + claims_s * 1_000_000}


def cancel(view: View, cmd: c.CancelElection, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if refusal := refuse_organiser(election, cmd.by):
        return refusal
    assert election is not None
    if election["status"] == "cancelled":
        return Known(election["at"])  # Of an earlier version, whose cancellations had no natural key.
    if election["status"] not in ("draft", "frozen", "scheduled", "open"):
        return Refusal("TooLate", f"the election is {election['status']}")
    return event("ElectionCancelled", {"command": c.natural_key(cmd), "election": cmd.election, "by": cmd.by})
