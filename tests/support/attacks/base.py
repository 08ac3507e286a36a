"""What an attack is, and the ways in which a log is changed: event by event, sealed anew, counted anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ballot.ledger.frame import parse_frame
from ballot.replay.export import EntryRecord, Record
from ballot.voting import document
from ballot.voting.ballot import cast_frame, parse_ballot
from ballot.voting.definition import election_id
from ballot.voting.tally import count_document, open_board, seeds_of
from tests.support.log_builder import (
    ELECTION,
    VOTERS,
    Draft,
    ElectionLog,
    Sealer,
    attestation,
    key,
    records_of,
    seal_drafts,
    sign_cast,
)

Drafts = list[Draft]
Export = list[Record] | bytes
Make = Callable[[ElectionLog], Export]


@dataclass(frozen=True)
class Attack:
    """`make(log)` gives the export, as records or as bytes.

    An audit finds `name` at `level`, at entry `index`, or at an entry of the kind `at`; whichever is given. With
    `pinned` the auditor knows the hash of the true genesis.
    """

    level: str
    name: str
    make: Make
    index: int = 0
    at: str = ""
    pinned: bool = False


def flipped(data: bytes, place: int = -1) -> bytes:
    """One bit is another one."""
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


# -- the log says something else


def edit(kind: str, number: int = 0, /, **changes: object) -> Callable[[ElectionLog], list[Record]]:
    """One event says something else."""

    def make(log: ElectionLog) -> list[Record]:
        drafts = list(log.drafts)
        place = log.find(kind, number)
        drafts[place] = drafts[place].but(**changes)
        return seal_drafts(drafts)

    return make


def insert(after: str, *make_drafts: Callable[[ElectionLog], Draft]) -> Callable[[ElectionLog], list[Record]]:
    """Events more, behind the last one of a kind."""

    def make(log: ElectionLog) -> list[Record]:
        places = [place for place, draft in enumerate(log.drafts) if draft.kind == after]
        return seal_drafts(inserted(log.drafts, places[-1] + 1, [make_draft(log) for make_draft in make_drafts]))

    return make


def inserted(drafts: Sequence[Draft], place: int, more: Iterable[Draft]) -> Drafts:
    return [*drafts[:place], *more, *drafts[place:]]


def again(kind: str, number: int = -1, /, **changes: object) -> Callable[[ElectionLog], Draft]:
    """What an event of a kind says, once more, with changes."""
    return lambda log: log.drafts[log.find(kind, number)].but(**changes)


def without(*kinds: str) -> Callable[[ElectionLog], list[Record]]:
    """No event of these kinds."""
    return lambda log: seal_drafts(draft for draft in log.drafts if draft.kind not in kinds)


def forge(kind: str, field: str, number: int = 0) -> Callable[[ElectionLog], list[Record]]:
    """A signature, or another field, has a bit flipped."""

    def make(log: ElectionLog) -> list[Record]:
        value = log.drafts[log.find(kind, number)].public[field]
        return edit(kind, number, **{field: flipped(value)})(log)

    return make


def swap(kind: str, field: str) -> Callable[[ElectionLog], list[Record]]:
    """The first two events of a kind exchange a field."""

    def make(log: ElectionLog) -> list[Record]:
        drafts = list(log.drafts)
        first, second = log.find(kind), log.find(kind, 1)
        one, two = drafts[first].public[field], drafts[second].public[field]
        drafts[first], drafts[second] = drafts[first].but(**{field: two}), drafts[second].but(**{field: one})
        return seal_drafts(drafts)

    return make


def redefined(log: ElectionLog, roll: Mapping[str, Any] | None = None, **changes: Any) -> Drafts:
    """The log up to the opening, with another definition whose hash is right, and perhaps another frozen roll."""
    last = log.find("ElectionOpened")
    drafts = list(log.drafts[: last + 1])
    value = document.decode(log.document) | changes
    if roll is not None:
        place = log.find("RollFrozen")
        drafts[place] = drafts[place].but(**roll)
        value["roll"] = {"size": len(roll["leaves"]), "root": roll["root"].hex()}
    made = document.encode(value)
    drafts[last] = drafts[last].but(definition=made, eid=election_id(made))
    return drafts


# -- the log is sealed in another way


@dataclass
class OddSealer(Sealer):
    """Gives entries from `start` on the term and the time that `odd` says (term, steps of time to add)."""

    start: int = 1
    odd: tuple[int, int] = (1, 0)

    def stamp(self, index: int) -> tuple[int, int]:
        term, time_us = super().stamp(index)
        return (term, time_us) if index < self.start else (self.odd[0], time_us + self.odd[1])


def sealed_oddly(drafts: Iterable[Draft], start: int, odd: tuple[int, int]) -> list[Record]:
    sealer = OddSealer(start=start, odd=odd)
    for draft in drafts:
        sealer.append(draft)
    return records_of(sealer.entries)


# -- other ballots


def with_board(log: ElectionLog, bodies: list[bytes], casts: int | None = None, in_order: bool = True) -> list[Record]:
    """The board holds these ballots; the log has as many casts, or `casts`, and the close says so."""
    return seal_drafts(boarded(log, bodies, casts, in_order))


def boarded(log: ElectionLog, bodies: list[bytes], casts: int | None = None, in_order: bool = True) -> Drafts:
    count = len(bodies) if casts is None else casts
    ordered = by_name(bodies) if in_order else bodies
    drafts: Drafts = []
    for draft in log.drafts:
        if draft.kind == "BallotCast":
            continue
        if draft.kind == "ElectionClosed":
            drafts += [Draft("BallotCast", {"election": ELECTION, "eid": log.eid}, b"")] * count
            draft = draft.but(casts=count)
        if draft.kind == "BallotsPublished":
            draft = draft.but(ballots=ordered[2:] if draft.public["last"] else ordered[:2])
        drafts.append(draft)
    return drafts


def by_name(bodies: Iterable[bytes]) -> list[bytes]:
    return sorted(bodies, key=lambda body: hashlib.sha256(body).digest())


def recounted(log: ElectionLog, drafts: Drafts, bodies: list[bytes], board: list[bytes] | None = None) -> Drafts:
    """Seeds, count and attestations as they follow from these ballots: insiders leave no loose ends."""
    votes = open_board(log.definition, log.eid, board or by_name(bodies), {1: key("trustee")})
    made = count_document(log.definition, log.eid, votes)
    said: dict[str, Callable[[Draft], dict[str, Any]]] = {
        "TallySeeds": lambda draft: {"seeds": seeds_of(votes)},
        "TallyPublished": lambda draft: {"document": made},
        "TallyAttested": lambda draft: attested_by(log, draft.public["node"], made),
    }
    return [draft.but(**said[draft.kind](draft)) if draft.kind in said else draft for draft in drafts]


def attested_by(log: ElectionLog, node: int, made: bytes) -> dict[str, Any]:
    digest, signature = attestation(log.eid, node, made)
    return {"digest": digest, "signature": signature}


def reworked(log: ElectionLog, **changes: bytes) -> list[Record]:
    """The first voter's ballot on the board has other fields."""
    return with_board(log, [recast(log, **changes), *log.bodies[1:]])


def recast(log: ElectionLog, **changes: bytes) -> bytes:
    """The first voter's ballot with other fields, signed by its own key."""
    ballot = parse_ballot(log.bodies[0])
    fields = {"eid": ballot.eid, "bpk": ballot.bpk, "prefix": ballot.prefix}
    fields |= {"credential": ballot.credential, "envelope": ballot.envelope} | changes
    return sign_cast(VOTERS[0], cast_frame(**fields))


def kind_at(export: Iterable[Record], index: int) -> str:
    """The kind of entry `index` of an export."""
    headers = [record.header for record in export if isinstance(record, EntryRecord)]
    return parse_frame("entry", headers[index - 1], 7)[3].decode()
