"""Folds an entry into changes of the state. Pure, and blind: it reads no state, so any two folds of a log agree.

Changes to public tables follow from header and public payload alone, changes to private ones also from the private
part, where it is still there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from ..ledger.entry import Entry
from ..ledger.membership import CONF_KINDS
from .ballot import BallotError, parse_ballot
from .definition import decode_definition
from .envelope import ballot_id
from .tables import IN_FORCE, Change, Clear, Put
from .trustee import product


def fold(entry: Entry) -> list[Change]:
    """The changes that `entry` makes, none for kinds that only concern the ledger itself, changes of members aside."""
    handler = _FOLD.get(entry.kind)
    if handler is None:
        return []
    changes = handler(entry, entry.fields)
    if "command" in entry.fields:
        changes.append(Put("commands", (entry.fields["command"],)))
    return changes


def key_hash(modulus: bytes) -> bytes:
    """H(rsa-key, modulus): how a key is named."""
    return ballot_id(modulus)


def _members_changed(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("cluster_members", (IN_FORCE,), {"listed": entry.public})]


def _user_registered(entry: Entry, public: dict[str, Any]) -> list[Change]:
    changes: list[Change] = [Put("users", (public["user"],))]
    if entry.private is not None:
        values = {"user_id": public["user"], "address_at": entry.index, "password_at": entry.index}
        changes.append(Put("accounts", (entry.private_fields["tag"],), values))
    return changes


def _password_changed(entry: Entry, public: dict[str, Any]) -> list[Change]:
    if entry.private is None:
        return []
    return [Put("accounts", (entry.private_fields["tag"],), {"password_at": entry.index})]


def _identity_key_enrolled(entry: Entry, public: dict[str, Any]) -> list[Change]:
    user, n, identity = public["user"], public["n"], key_hash(public["n"])
    return [
        Put("users", (user,), {"identity_n": n, "identity": identity}),
        Put("identity_keys", (user, identity), {"n": n, "enrolled_at": entry.index}),
    ]


def _role_granted(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("roles", (public["user"], public["role"]), {"withdrawn_at": None})]


def _role_withdrawn(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("roles", (public["user"], public["role"]), {"withdrawn_at": entry.index})]


def _election_drafted(entry: Entry, public: dict[str, Any]) -> list[Change]:
    values = {
        "organiser": public["organiser"],
        "draft": public["draft"],
        "status": "draft",
        "drafted_at": entry.index,
        "disputed": False,
    }
    return [
        Put("elections", (public["election"],), values),
        Put("memberships", (public["organiser"],), add={"organised": 1}),
    ]


def _election_amended(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("elections", (public["election"],), {"draft": public["draft"]})]


def _election_cancelled(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("elections", (public["election"],), {"status": "cancelled"})]


def _voters_added(entry: Entry, public: dict[str, Any]) -> list[Change]:
    election = public["election"]
    changes: list[Change] = [
        Put("roll", (election, voter), {"weight": weight, "added_at": entry.index})
        for voter, weight in public["voters"]
    ]
    changes.append(Put("elections", (election,), add={"roll_size": len(public["voters"])}))
    changes += [Put("memberships", (voter,), add={"rolls": 1}) for voter, _weight in public["voters"]]
    return changes + _addresses(entry, election)


def _addresses(entry: Entry, election: bytes) -> list[Change]:
    changes: list[Change] = []
    for voter, tag, _address, _salt in entry.private_fields.get("addresses", []):
        changes.append(Put("accounts", (tag,), {"user_id": voter, "address_at": entry.index}))
        changes.append(Put("roll_tags", (election, tag), {"voter": voter}))
    return changes


def _voters_kept(entry: Entry, public: dict[str, Any]) -> list[Change]:
    """The addresses of some voters are here now, that of another nowhere any more."""
    election = public["election"]
    changes: list[Change] = [Put("roll", (election, voter), {"added_at": entry.index}) for voter in public["voters"]]
    changes.append(Put("roll", (election, public["without"]), {"added_at": None}))
    return changes + _addresses(entry, election)


def _roll_frozen(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("elections", (public["election"],), {"status": "frozen", "roll_root": public["root"]})]


def _trustee_invited(entry: Entry, public: dict[str, Any]) -> list[Change]:
    values = {"name": public["name"], "invited_at": entry.index}
    changes: list[Change] = [
        Put("invited_trustees", (public["election"], public["user"]), values),
        Put("elections", (public["election"],), add={"trustee_changes": 1, "invited_count": 1}),
        Put("memberships", (public["user"],), add={"invited": 1}),
    ]
    if entry.private is not None:
        known = {"user_id": public["user"], "address_at": entry.index}
        changes.append(Put("accounts", (entry.private_fields["tag"],), known))
    return changes


def _trustee_withdrawn(entry: Entry, public: dict[str, Any]) -> list[Change]:
    gone = dict.fromkeys(("n", "number", "invited_at", "enrolled_at"))
    fewer = {"trustee_changes": 1, "invited_count": -1, "trustee_count": -int(public["enrolled"])}
    return [
        Put("invited_trustees", (public["election"], public["user"]), gone),
        Put("elections", (public["election"],), add=fewer),
        Put("memberships", (public["user"],), add={"invited": -1}),
    ]


def _trustee_enrolled(entry: Entry, public: dict[str, Any]) -> list[Change]:
    election, user, n = public["election"], public["user"], public["n"]
    values = {"n": n, "number": public["number"], "enrolled_at": entry.index}
    return [
        Put("invited_trustees", (election, user), values),
        Put("trustee_keys", (key_hash(n),), {"election": election, "user_id": user}),
        Put("elections", (election,), add={"trustee_changes": 1, "trustee_count": 1, "enrolments": 1}),
    ]


def _election_opened(entry: Entry, public: dict[str, Any]) -> list[Change]:
    definition = decode_definition(public["definition"])
    ahead = entry.time_us < definition.opens_us
    values = {
        "status": "scheduled" if ahead else "open",
        "eid": public["eid"],
        "definition": public["definition"],
        "opens_us": definition.opens_us,
        "closes_us": definition.closes_us,
        "opened_at": entry.index,
        "started_at": None if ahead else entry.index,
    }
    changes: list[Change] = [Put("elections", (public["election"],), values)]
    if definition.epochs is not UNSET:
        pace = {"interval_us": definition.epochs.interval_us, "ballots": definition.epochs.ballots}
        since_us = max(entry.time_us, definition.opens_us)
        changes.append(Put("epochs", (public["election"],), pace | {"since_us": since_us}))
    for number, trustee in enumerate(definition.trustees, 1):
        named = {"name": trustee.name, "n": bytes.fromhex(trustee.n)}
        changes.append(Put("trustees", (public["election"], number), named))
    return changes


def _election_started(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("elections", (public["election"],), {"status": "open", "started_at": entry.index})]


def _credential_issued(entry: Entry, public: dict[str, Any]) -> list[Change]:
    blinded = hashlib.sha256(public["blinded"]).digest()
    return [
        Put("credentials", (public["eid"], public["voter"]), {"blinded": blinded, "issued_at": entry.index}),
        Put("elections", (public["election"],), add={"issued": 1}),
    ]


def _ballot_cast(entry: Entry, public: dict[str, Any]) -> list[Change]:
    changes: list[Change] = [Put("elections", (public["election"],), add={"cast_count": 1})]
    if entry.private is not None:
        ballot = parse_ballot(entry.private)
        changes.append(Put("casts", (ballot.eid, ballot.bid), {"name": ballot.name, "cast_at": entry.index}))
    return changes


def _election_closed(entry: Entry, public: dict[str, Any]) -> list[Change]:
    values = {"status": "closed", "closed_at": entry.index, "closed_count": public["casts"]}
    changes: list[Change] = [Put("elections", (public["election"],), values)]
    if "claims_until_us" in public:
        changes.append(Put("claim_windows", (public["eid"],), {"until_us": public["claims_until_us"]}))
    return changes


def _epoch_ended(entry: Entry, public: dict[str, Any]) -> list[Change]:
    values = {"ended_at": entry.index, "casts": public["casts"], "since_us": entry.time_us}
    return [Put("epochs", (public["election"],), values)]


def _ballots_published(entry: Entry, public: dict[str, Any]) -> list[Change]:
    eid = public["eid"]
    changes: list[Change] = []
    for position, body in enumerate(public["ballots"]):
        name = hashlib.sha256(body).digest()
        changes.append(Put("board", (eid, name), {"published_at": entry.index, "position": position}))
        changes += _spent(eid, body)
    values = {"status": "published", "published_at": entry.index} if public["last"] else {}
    counted = {"chunks": 1, "published": len(public["ballots"])}
    changes.append(Put("elections", (public["election"],), values, counted))
    if "epoch" in public:
        changes.append(_epoch_published(public))
    return changes


def _epoch_published(public: dict[str, Any]) -> Put:
    """How far the epoch is published. Its end makes room for the next: no epoch is pending then."""
    if public["end"]:
        ended = {"begun": False, "ended_at": None, "last_name": None}
        return Put("epochs", (public["election"],), ended, {"number": 1})
    last_name = hashlib.sha256(public["ballots"][-1]).digest()
    return Put("epochs", (public["election"],), {"begun": True, "last_name": last_name})


def _spent(eid: bytes, body: bytes) -> list[Change]:
    """The ballot key of a published ballot; bytes that are no ballot count as an invalid one and spend none."""
    try:
        return [Put("spent", (eid, parse_ballot(body).bid))]
    except BallotError:
        return []


def _private_erased(entry: Entry, public: dict[str, Any]) -> list[Change]:
    if "user" in public:
        own: list[Change] = [Clear("accounts", "user_id", public["user"]), Clear("roll_tags", "voter", public["user"])]
        return own + [Clear("mail", "election", election) for election in public["elections"]]
    if not public.get("final"):
        return []
    return [
        Put("elections", (public["election"],), {"erased_at": entry.index}),
        Clear("casts", "eid", public["eid"]),
    ]


def _trustee_key_released(entry: Entry, public: dict[str, Any]) -> list[Change]:
    """Kept under the product of the factors, so that factors of some other number neither hide nor replace the key."""
    p, q = public["p"], public["q"]
    values = {"p": p, "q": q, "released_at": entry.index}
    return [Put("released_keys", (public["election"], public["number"], product(p, q)), values)]


def _tally_seeds(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [Put("elections", (public["election"],), add={"seed_chunks": 1})]


def _tally_published(entry: Entry, public: dict[str, Any]) -> list[Change]:
    values = {
        "status": "tallied",
        "tally_at": entry.index,
        "tally": public["document"],
        "tally_digest": hashlib.sha256(public["document"]).digest(),
    }
    return [Put("elections", (public["election"],), values)]


def _tally_attested(entry: Entry, public: dict[str, Any]) -> list[Change]:
    changes: list[Change] = [Put("attestations", (public["election"], public["node"]), {"digest": public["digest"]})]
    if not public["agrees"]:
        changes.append(Put("elections", (public["election"],), {"disputed": True}))
    return changes


def _credential_unused(entry: Entry, public: dict[str, Any]) -> list[Change]:
    return [
        Put("unused_claims", (public["eid"], ballot_id(public["bpk"])), {"claimed_at": entry.index}),
        Put("elections", (public["election"],), add={"unused": 1}),
    ]


def _mail_ordered(entry: Entry, public: dict[str, Any]) -> list[Change]:
    values = {"round": public["round"], "ordered_us": entry.time_us}
    return [Put("mail_orders", (public["election"], public["kind"]), values)]


def _mail_claimed(entry: Entry, public: dict[str, Any]) -> list[Change]:
    place = (public["election"], public["kind"])
    ended = {"claimed_round": public["round"]} if public["last"] else {}
    claim = {"election": place[0], "kind": place[1], "claimed_us": entry.time_us, "settled": not public["count"]}
    changes: list[Change] = [
        Put("mail_orders", place, ended, {"claimed": public["first"]}),
        Put("mail_claims", (public["command"],), claim),
    ]
    fixed = {"claim": public["command"], "round": public["round"], "state": "claimed", "reason": "", "retry_us": 0}
    for voter, attempt in entry.private_fields.get("voters", []):
        changes.append(Put("mail", (*place, voter), fixed | {"attempt": attempt}))
    return changes


def _mail_reported(entry: Entry, public: dict[str, Any]) -> list[Change]:
    changes: list[Change] = [Put("mail_claims", (public["claim"],), {"settled": public["final"]})]
    for voter, state, reason, retry_us in entry.private_fields.get("outcomes", []):
        values = {"state": state, "reason": reason, "retry_us": retry_us}
        changes.append(Put("mail", (public["election"], public["kind"], voter), values))
    return changes


def _mail_bounced(entry: Entry, public: dict[str, Any]) -> list[Change]:
    hidden = entry.private_fields
    if not hidden:
        return []
    place = (public["election"], public["kind"], hidden["voter"])
    return [Put("mail", place, {"state": "bounced", "reason": hidden["reason"]})]


_FOLD: dict[str, Callable[[Entry, dict[str, Any]], list[Change]]] = {
    **dict.fromkeys(CONF_KINDS, _members_changed),
    "UserRegistered": _user_registered,
    "PasswordChanged": _password_changed,
    "IdentityKeyEnrolled": _identity_key_enrolled,
    "RoleGranted": _role_granted,
    "RoleWithdrawn": _role_withdrawn,
    "ElectionDrafted": _election_drafted,
    "ElectionAmended": _election_amended,
    "ElectionCancelled": _election_cancelled,
    "VotersAdded": _voters_added,
    "VotersKept": _voters_kept,
    "RollFrozen": _roll_frozen,
    "TrusteeInvited": _trustee_invited,
    "TrusteeWithdrawn": _trustee_withdrawn,
    "TrusteeEnrolled": _trustee_enrolled,
    "ElectionOpened": _election_opened,
    "ElectionStarted": _election_started,
    "CredentialIssued": _credential_issued,
    "BallotCast": _ballot_cast,
    "ElectionClosed": _election_closed,
    "EpochEnded": _epoch_ended,
    "BallotsPublished": _ballots_published,
    "PrivateErased": _private_erased,
    "TrusteeKeyReleased": _trustee_key_released,
    "TallySeeds": _tally_seeds,
    "TallyPublished": _tally_published,
    "TallyAttested": _tally_attested,
    "CredentialUnused": _credential_unused,
    "MailOrdered": _mail_ordered,
    "MailClaimed": _mail_claimed,
    "MailReported": _mail_reported,
    "MailBounced": _mail_bounced,
}
