"""Decisions on the board: when an epoch ends, and which ballots are published with it, in which order.

An epoch is a position in the log: the casts before it that no earlier epoch has. It is held back until as many casts
again have come, so that whatever is left for the close is never fewer; an epoch still held back then comes with the
rest, as one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from ...ledger.decision import Decision, Refusal
from .. import commands as c
from ..ballot import BallotError, parse_ballot
from ..tables import Row
from .base import View, event


class _Batch(NamedTuple):
    """What is to be published now: casts before the entry `before`, up to `total` ballots on the board."""

    epoch: int
    total: int
    before: int
    final: bool


def end_epoch(view: View, cmd: c.EndEpoch, now_us: int) -> Decision:
    election, epochs = view.get("elections", cmd.election), view.get("epochs", cmd.election)
    if election is None or election["status"] != "open":
        return Refusal("NotOpen", "epochs end while the election is open")
    if epochs is None or not epochs.get("interval_us"):
        return Refusal("NoEpochs", "this election's ballots are published after the close")
    number = epochs.get("number") or 0
    if cmd.epoch != number:
        return Refusal("OutOfOrder", f"epoch {number} comes next")
    if epochs.get("ended_at"):
        return Refusal("OutOfOrder", f"epoch {number} has ended and is still to be published")
    if now_us < epochs["since_us"] + epochs["interval_us"]:
        return Refusal("EpochTooEarly", "the last epoch, or the opening, is not long enough ago")
    casts = election.get("cast_count") or 0
    if casts - (election.get("published") or 0) < epochs["ballots"]:
        return Refusal("EpochTooSmall", f"an epoch of this election has at least {epochs['ballots']} ballots")
    public = {"command": c.natural_key(cmd), "election": cmd.election, "eid": election["eid"]}
    return event("EpochEnded", public | {"epoch": number, "casts": casts})


def publish(view: View, cmd: c.PublishBallots, now_us: int) -> Decision:
    election, epochs = view.get("elections", cmd.election), view.get("epochs", cmd.election) or {}
    batch = _batch(election, epochs)
    if isinstance(batch, Refusal):
        return batch
    assert election is not None
    chunk = election.get("chunks") or 0
    if (cmd.epoch, cmd.chunk) != (batch.epoch, chunk):
        return Refusal("OutOfOrder", f"chunk {chunk}, of epoch {batch.epoch}, comes next")
    total = (election.get("published") or 0) + len(cmd.ballots)
    end = total == batch.total
    if total > batch.total or cmd.last != (end and batch.final):
        return Refusal("BoardIncomplete", f"{total} of {batch.total} ballots, last: {cmd.last}")
    if not cmd.ballots and not end:
        return Refusal("BoardIncomplete", "there are no ballots in this chunk")
    if refusal := _refuse_ballots(view, election["eid"], cmd.ballots, batch.before, epochs.get("last_name") or b""):
        return refusal
    public = {"command": c.natural_key(cmd), "election": cmd.election, "eid": election["eid"]}
    place = {"epoch": cmd.epoch, "chunk": cmd.chunk, "end": end, "last": cmd.last}
    return event("BallotsPublished", public | place | {"ballots": cmd.ballots})


def _batch(election: Row | None, epochs: Row) -> _Batch | Refusal:
    status = None if election is None else election["status"]
    if election is None or status not in ("open", "closed"):
        return Refusal("NotClosed", "ballots are published after the close, once")
    number, ended_at = epochs.get("number") or 0, epochs.get("ended_at")
    # What was begun is finished as it was begun, also when the close has come meanwhile.
    if ended_at and (status == "open" or epochs.get("begun")):
        behind = (election.get("cast_count") or 0) - epochs["casts"]
        if not epochs.get("begun") and behind < epochs["ballots"]:
            return Refusal("EpochHeldBack", f"{behind} ballots came after this epoch, {epochs['ballots']} must")
        return _Batch(number, epochs["casts"], ended_at, final=False)
    if status == "open":
        return Refusal("NotClosed", "no epoch has ended that is not published")
    return _Batch(number, election["closed_count"], election["closed_at"], final=True)


def _refuse_ballots(view: View, eid: bytes, bodies: Sequence[bytes], before: int, last_name: bytes) -> Refusal | None:
    """Every ballot was cast in this election before entry `before`, is not published yet, and comes in order."""
    for body in bodies:
        name = hashlib.sha256(body).digest()
        try:
            ballot = parse_ballot(body)
        except BallotError as error:
            return Refusal(error.name, str(error))
        if ballot.eid != eid:
            return Refusal("WrongElection", f"ballot {name.hex()} is for another election")
        if view.get("spent", eid, ballot.bid) is not None:
            return Refusal("AlreadyPublished", f"ballot {name.hex()}, or another with its key, is on the board")
        cast = view.get("casts", eid, ballot.bid)
        if cast is None or cast["name"] != name or cast["cast_at"] >= before:
            return Refusal("NotInEpoch", f"ballot {name.hex()} was not cast, or not before entry {before}")
        if name <= last_name:
            return Refusal("BoardUnsorted", f"ballot {name.hex()} is out of order, or there twice")
        last_name = name
    return None
