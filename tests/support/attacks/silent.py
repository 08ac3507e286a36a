"""What leaves no trace in the public record. Each is said in docs/protocol.md, and tested to pass the audit.

Where an attack becomes detectable, its test here fails: then it moves to the others, and the page is corrected.
"""

from __future__ import annotations

from typing import Any

from ballot.replay.export import Record
from ballot.voting.ballot import roll_leaf
from ballot.voting.choice import encode_choice
from ballot.voting.envelope import ballot_id
from tests.support.attacks.base import (
    Make,
    boarded,
    edit,
    insert,
    inserted,
    recounted,
    sealed_oddly,
)
from tests.support.attacks.file import made_up
from tests.support.attacks.voters import enrolment, frozen, leaves_of
from tests.support.log_builder import (
    ANSWERS,
    ELECTION,
    VOTERS,
    Draft,
    ElectionLog,
    make_body,
    make_credential,
    modulus,
    seal_drafts,
    sign_issue,
)


def ballot_of(log: ElectionLog, number: int) -> bytes:
    """A ballot with a credential that the registrar makes for this voter's ballot key."""
    credential = make_credential(log.eid, VOTERS[number])[2]
    return make_body(log.definition, log.eid, VOTERS[number], credential, encode_choice(ANSWERS[1]))


def enrolled_for_silent(log: ElectionLog) -> list[Record]:
    """Voter 4 never came. Insiders enrol a key for them, ask for a credential with it, and cast."""
    voter = VOTERS[4]
    blinded, blind_sig, _ = make_credential(log.eid, voter)
    identity = ballot_id(modulus("identity4"))
    said = {"voter": voter.id, "identity": identity, "blinded": blinded, "blind_sig": blind_sig}
    issue = log.drafts[log.find("CredentialIssued")].but(**said, identity_sig=sign_issue(log.eid, voter, blinded))
    bodies = [*log.bodies, ballot_of(log, 4)]
    drafts = recounted(log, boarded(log, bodies), bodies)
    place = next(place for place, draft in enumerate(drafts) if draft.kind == "CredentialIssued")
    more = [Draft("UserRegistered", {"user": voter.id}), enrolment(voter, "identity4"), issue]
    return seal_drafts(inserted(drafts, place, more))


def voted_for_silent(log: ElectionLog) -> list[Record]:
    """Voter 3 asked for a credential and was never heard of again: the registrar votes with one of its own making."""
    bodies = [*log.bodies, ballot_of(log, 4)]
    drafts = recounted(log, boarded(log, bodies), bodies)
    return seal_drafts(draft for draft in drafts if draft.kind != "CredentialUnused")


def cast_dropped(log: ElectionLog) -> list[Record]:
    """A node takes a cast and never submits it."""
    bodies = log.bodies[:2]
    return seal_drafts(recounted(log, boarded(log, bodies), bodies))


def claim_dropped(log: ElectionLog) -> list[Record]:
    return seal_drafts(draft for draft in log.drafts if draft.kind != "CredentialUnused")


def shortened(log: ElectionLog) -> list[Record]:
    """The log as it was before the close."""
    return seal_drafts(log.drafts[: log.find("ElectionClosed")])


def dissent_dropped(log: ElectionLog) -> list[Record]:
    place = log.find("TallyAttested", 2)
    return seal_drafts([*log.drafts[:place], *log.drafts[place + 1 :]])


def other_address(log: ElectionLog) -> list[Record]:
    """The roll's leaf of a voter is of an address of the insiders."""
    others = [leaf for leaf in leaves_of(log) if leaf != VOTERS[0].leaf]
    return frozen(log, sorted([*others, roll_leaf(VOTERS[0].id, 1, bytes(32))]))


def other_times(log: ElectionLog) -> list[Record]:
    """The leader's clock is an hour ahead from entry 20 on."""
    return sealed_oddly(log.drafts, 20, (1, 3_600_000_000))


def role_granted(log: ElectionLog) -> list[Record]:
    draft = Draft("RoleGranted", {"user": VOTERS[0].id, "role": "organiser", "by": VOTERS[1].id})
    return insert("RoleGranted", lambda _: draft)(log)


def mail_reported(log: ElectionLog) -> list[Record]:
    """Mails are said to be sent that never were."""
    said: dict[str, Any] = {"election": ELECTION, "kind": "invitation", "claim": bytes(16), "final": True}
    numbers: dict[str, Any] = {"sent": 5, "bounced": 0, "deferred": 0, "unknown": 0, "command": b"m" * 16}
    claimed = {"election": ELECTION, "kind": "invitation", "round": 1, "count": 5, "first": 0, "last": True}
    orders = [
        Draft("MailOrdered", {"election": ELECTION, "kind": "invitation", "round": 1}),
        Draft("MailClaimed", claimed | {"command": bytes(16)}),
        Draft("MailReported", said | numbers),
    ]
    return seal_drafts(inserted(log.drafts, log.find("ElectionOpened") + 1, orders))


def closed_by_organiser(log: ElectionLog) -> list[Record]:
    """The organiser closes when it suits them: no closing time was set."""
    return edit("ElectionClosed", 0, by=VOTERS[0].id)(log)


SILENT: dict[str, Make] = {
    "an identity key is enrolled for a silent voter": enrolled_for_silent,
    "the registrar votes for a silent credential holder": voted_for_silent,
    "a cast is swallowed before it is recorded": cast_dropped,
    "a claim is swallowed before it is recorded": claim_dropped,
    "an older state of the log is shown": shortened,
    "a dissenting attestation is swallowed": dissent_dropped,
    "the roll names an address of the insiders": other_address,
    "the leader's clock is wrong": other_times,
    "a role is granted to a friend": role_granted,
    "mails are reported that were not sent": mail_reported,
    "the organiser closes when it suits them": closed_by_organiser,
    "the whole ledger is made up, and no genesis is pinned": made_up,
}
