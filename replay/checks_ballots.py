"""Who voted how often, and whether the board holds exactly what was cast."""

from __future__ import annotations

import hashlib

from msgspec import UNSET

from ..voting.ballot import BallotError, parse_ballot
from ..voting.definition import Epochs
from ..voting.envelope import ballot_id
from ..voting.tally import weight_of
from . import events as e
from .accounting import check_minted
from .checks_keys import check_published
from .report import Level
from .scene import Election, Handlers, Scene
from .verify import check_issue, check_unused


def issued(scene: Scene, index: int, event: e.CredentialIssued) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if election.status != "open":
        scene.find(Level.BALLOTS, "IssuedOutsideElection", index, f"the election is {election.status}")
    weight = election.roll.get(event.voter)
    if election.issued.add(event.voter):
        election.issued_for[weight or 0] += 1
    else:
        scene.find(Level.BALLOTS, "IssuedTwice", index, f"voter {event.voter.hex()} had a credential already")
    election.span("CredentialIssued", index)
    n, registrar = _requester(scene, index, event), _registrar(scene, index, election, event.voter, weight)
    request = (event.eid, event.voter, event.identity, event.blinded, event.identity_sig)
    scene.check(index, check_issue, n, registrar, *request, event.blind_sig)


def _requester(scene: Scene, index: int, event: e.CredentialIssued) -> bytes:
    """The voter's identity key in force, with which it must be asked for; empty, with a finding, if it was not."""
    identity, n = scene.identity(event.voter) or (b"", b"")
    if identity != event.identity:
        scene.find(Level.BALLOTS, "WrongIdentityKey", index, "it was not asked for with the voter's identity key")
        return b""
    return n


def _registrar(scene: Scene, index: int, election: Election, voter: bytes, weight: int | None) -> bytes:
    """The key that signs for the voter's weight; empty, with a finding, when there is none."""
    if weight is None:
        scene.find(Level.BALLOTS, "NotOnRoll", index, f"voter {voter.hex()} is not on the roll")
        return b""
    if weight not in election.registrars:
        scene.find(Level.BALLOTS, "NoRegistrar", index, f"no registrar key for weight {weight}")
    return election.registrars.get(weight, b"")


def cast(scene: Scene, index: int, event: e.BallotCast) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if election.status == "open":
        election.casts += 1
        election.span("BallotCast", index)
        check_minted(scene, index, election)
    else:
        scene.find(Level.BALLOTS, "CastOutsideElection", index, f"the election is {election.status}")


def closed(scene: Scene, index: int, event: e.ElectionClosed) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if election.status != "open":
        scene.find(Level.BALLOTS, "ClosedWrongly", index, f"the election is {election.status}")
    if not event.by and election.definition and not 0 < election.definition.closes_us <= scene.time_us:
        scene.find(Level.BALLOTS, "ClosedTooEarly", index, "the closing time had not come, and nobody closed it")
    if event.casts != election.casts:
        detail = f"{event.casts} casts are stated, {election.casts} are in the log"
        scene.find(Level.BALLOTS, "CloseCountDiffers", index, detail)
    election.status = "closed"
    _check_claims_end(scene, index, election, event)


def _check_claims_end(scene: Scene, index: int, election: Election, event: e.ElectionClosed) -> None:
    """The close states until when claims are taken: so long after it as the definition says."""
    claims_s = election.definition.claims_s if election.definition else UNSET
    if claims_s is not UNSET:
        election.claims_until_us = scene.time_us + claims_s * 1_000_000
    if event.claims_until_us != election.claims_until_us:
        detail = f"{event.claims_until_us} is stated, by the definition it is {election.claims_until_us}"
        scene.find(Level.BALLOTS, "ClaimsEndDiffers", index, detail)


def epoch_ended(scene: Scene, index: int, event: e.EpochEnded) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if election.status != "open" or _rules(election) is None:
        scene.find(Level.BALLOTS, "EpochWrongly", index, f"the election is {election.status}, or has no epochs")
    elif event.epoch != election.epoch or election.epoch_at:
        scene.find(Level.BALLOTS, "EpochOutOfOrder", index, f"epoch {election.epoch} is still to be published")
    if event.casts != election.casts:
        detail = f"{event.casts} casts are stated, {election.casts} are in the log"
        scene.find(Level.BALLOTS, "EpochCountDiffers", index, detail)
    _check_pace(scene, index, election)
    election.epoch_at, election.epoch_casts, election.epoch_since_us = index, election.casts, scene.time_us


def _rules(election: Election) -> Epochs | None:
    epochs = UNSET if election.definition is None else election.definition.epochs
    return None if epochs is UNSET else epochs


def _check_pace(scene: Scene, index: int, election: Election) -> None:
    rules, size = _rules(election), election.casts - election.board.count
    if rules is not None and scene.time_us < election.epoch_since_us + rules.interval_us:
        scene.find(Level.BALLOTS, "EpochTooEarly", index, "the epoch before, or the opening, is not long enough ago")
    if rules is not None and size < rules.ballots:
        scene.find(Level.BALLOTS, "EpochTooSmall", index, f"the epoch has {size} ballots, {rules.ballots} are needed")


def published(scene: Scene, index: int, event: e.BallotsPublished) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    # An epoch that was begun before the close is finished as it was; one that was held back comes with all the rest.
    of_epoch = bool(election.epoch_at) and (election.status == "open" or election.epoch_begun)
    if election.status != "closed" and not of_epoch:
        scene.find(Level.BALLOTS, "PublishedWrongly", index, f"the election is {election.status}")
    if event.chunk != election.chunks or event.epoch != election.epoch:
        detail = f"chunk {election.chunks}, of epoch {election.epoch}, comes next"
        scene.find(Level.BALLOTS, "ChunkOutOfOrder", index, f"chunk {event.chunk} of epoch {event.epoch}: {detail}")
    if of_epoch and not election.epoch_begun:
        _check_held_back(scene, index, election)
    election.chunks = event.chunk + 1
    election.span("BallotsPublished", index)
    for body in event.ballots:
        _put_on_board(scene, index, election, body)
    election.epoch_begun = True
    if event.end or event.last:
        _end_batch(scene, index, election, election.epoch_casts if of_epoch else election.casts)
    if event.last:
        if of_epoch:
            scene.find(Level.BALLOTS, "PublishedWrongly", index, "an epoch that ended before the close is not the last")
        election.status, election.published_at = "published", index
        election.unspent = sum(bid not in election.spent for bid, _ in election.claimants())
        check_minted(scene, index, election)


def _check_held_back(scene: Scene, index: int, election: Election) -> None:
    rules, behind = _rules(election), election.casts - election.epoch_casts
    if rules is not None and behind < rules.ballots:
        scene.find(Level.BALLOTS, "EpochNotHeldBack", index, f"{behind} ballots came after it, {rules.ballots} must")


def _end_batch(scene: Scene, index: int, election: Election, casts: int) -> None:
    if election.board.count != casts:
        detail = f"{election.board.count} ballots are on the board, {casts} were cast"
        scene.find(Level.BALLOTS, "BoardCountDiffers", index, detail)
    election.epoch, election.epoch_at, election.epoch_begun, election.last_name = election.epoch + 1, 0, False, b""


def _put_on_board(scene: Scene, index: int, election: Election, body: bytes) -> None:
    name = hashlib.sha256(body).digest()
    if name == election.last_name:
        scene.find(Level.BALLOTS, "BallotRepeated", index, f"ballot {name.hex()} is on the board twice")
    elif name < election.last_name:
        scene.find(Level.BALLOTS, "BoardUnsorted", index, f"ballot {name.hex()} is out of order")
    election.last_name = name
    election.board.append(body)
    try:
        ballot = parse_ballot(body)
    except BallotError as error:
        scene.find(Level.BALLOTS, error.name, index, f"ballot {name.hex()}: {error}")
        return
    if ballot.eid != election.eid:
        scene.find(Level.BALLOTS, "WrongElection", index, f"ballot {name.hex()} is for another election")
    if not election.spent.add(ballot.bid):
        scene.find(Level.BALLOTS, "BallotKeyReused", index, f"ballot {name.hex()} has the key of another")
    scene.check(index, check_published, election.document, election.eid, body, ballot.bpk)


def erased(scene: Scene, index: int, event: e.PrivateErased) -> None:
    if event.kind != "BallotCast":
        return
    election = scene.election(index, event.election)
    if election is not None and not election.published_at and election.status != "cancelled":
        scene.find(Level.BALLOTS, "ErasedTooEarly", index, "casts are erased that were neither published nor cancelled")


def unused(scene: Scene, index: int, event: e.CredentialUnused) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if not election.closed:
        scene.find(Level.BALLOTS, "ClaimedTooEarly", index, f"the election is {election.status}")
    bid = ballot_id(event.bpk)
    is_new = election.claim(bid, index)
    if not is_new:
        scene.find(Level.BALLOTS, "ClaimedTwice", index, "the credential was claimed already")
    if 0 < election.claims_until_us <= scene.time_us:
        scene.find(Level.BALLOTS, "ClaimedTooLate", index, "the time for claims was over")
    values = (event.bpk, event.prefix, event.credential, event.signature)
    scene.check(index, check_unused, election.document, election.eid, *values)
    election.span("CredentialUnused", index)
    if is_new:
        election.unspent += bid not in election.spent
        _note_weight(election, event)
    check_minted(scene, index, election)


def _note_weight(election: Election, event: e.CredentialUnused) -> None:
    registrars = election.definition.registrars if election.definition else []
    keys = [(registrar.weight, bytes.fromhex(registrar.n)) for registrar in registrars]
    weight = weight_of(keys, event.eid, event.bpk, event.prefix, event.credential)
    if weight is not None:
        election.claimed_weights[weight] += 1


def finish(scene: Scene, election: Election) -> None:
    """At the end of the log: no credential both cast and claimed."""
    for bid, index in election.claimants():
        if bid in election.spent:
            scene.find(Level.BALLOTS, "ClaimedButCast", index, "a ballot with the credential is on the board")


HANDLERS: Handlers = {
    e.CredentialIssued: issued,
    e.BallotCast: cast,
    e.ElectionClosed: closed,
    e.EpochEnded: epoch_ended,
    e.BallotsPublished: published,
    e.PrivateErased: erased,
    e.CredentialUnused: unused,
}
