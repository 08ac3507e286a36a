"""Decisions after the board: erasure, keys, seeds, the count and who attests it."""

from __future__ import annotations

from ...ledger.decision import Decision, Known, Refusal
from ...ledger.entry import decode_map
from ...ledger.membership import MembershipError, membership_of
from ...ledger.rsa import BadSignature, verify
from .. import commands as c
from ..attestation import attestation_message
from ..tables import IN_FORCE
from .base import View, event


def erase(view: View, cmd: c.EraseCasts, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    over = election is not None and election["status"] == "cancelled" and election.get("eid") is not None
    if election is None or not (over or election.get("published_at")):
        return Refusal("NotPublished", "casts are erased after they were published, or the election was cancelled")
    if election.get("erased_at"):
        return Known(election["erased_at"])
    public = {"command": c.natural_key(cmd), "election": cmd.election, "eid": election["eid"]}
    run = {"kind": "BallotCast", "first": cmd.first, "last": cmd.last, "final": cmd.final}
    return event("PrivateErased", public | run | {"reason": "cancelled" if over else "published"})


def seeds(view: View, cmd: c.PublishSeeds, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if election is None or election["status"] != "published":
        return Refusal("NotPublished", "seeds follow the board")
    if cmd.chunk != (election.get("seed_chunks") or 0):
        return Refusal("OutOfOrder", f"chunk {election.get('seed_chunks') or 0} comes next")
    public = {"command": c.natural_key(cmd), "election": cmd.election, "eid": election["eid"]}
    return event("TallySeeds", public | {"chunk": cmd.chunk, "last": cmd.last, "seeds": cmd.seeds})


def tally(view: View, cmd: c.PublishTally, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if election is None or not election.get("published_at"):
        return Refusal("NotPublished", "the count follows the board")
    if election.get("tally_at"):
        return Known(election["tally_at"])
    public = {"election": cmd.election, "eid": election["eid"], "document": cmd.document}
    return event("TallyPublished", public)


def attest(view: View, cmd: c.AttestTally, now_us: int) -> Decision:
    election = view.get("elections", cmd.election)
    if election is None or not election.get("tally_at"):
        return Refusal("NotTallied", "there is no count to attest")
    attested = view.get("attestations", cmd.election, cmd.node)
    if attested is not None:
        return Known(attested["at"])
    if refusal := _refuse_signature(view, cmd, election["eid"]):
        return refusal
    agrees = cmd.digest == election["tally_digest"]
    public = {"election": cmd.election, "eid": election["eid"], "node": cmd.node, "agrees": agrees}
    return event("TallyAttested", public | {"digest": cmd.digest, "signature": cmd.signature})


def _refuse_signature(view: View, cmd: c.AttestTally, eid: bytes) -> Refusal | None:
    """A node attests with the key that it has in the list of members in force."""
    row = view.get("cluster_members", IN_FORCE)
    assert row is not None, "a log without a genesis"
    try:
        modulus = membership_of(decode_map(row["listed"])).node(cmd.node).rsa
        verify(modulus, cmd.signature, attestation_message(eid, cmd.node, cmd.digest))
    except MembershipError as error:
        return Refusal("UnknownNode", str(error))
    except BadSignature as error:
        return Refusal("AttestationSignature", str(error))
    return None
