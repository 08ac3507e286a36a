"""Attacks by insiders on casts, close, board and claims."""

from __future__ import annotations

from ballot.ledger.frame import frame, parse_frame
from ballot.replay.export import Record
from ballot.voting.choice import encode_choice
from ballot.voting.definition import decode_definition, election_id
from tests.support.attacks.base import (
    Attack,
    again,
    boarded,
    edit,
    flipped,
    forge,
    insert,
    inserted,
    reworked,
    with_board,
)
from tests.support.attacks.voters import (
    event,
    foreign_credential,
    second_document,
    second_election,
)
from tests.support.log_builder import (
    ANSWERS,
    VOTERS,
    Draft,
    ElectionLog,
    claim,
    make_body,
    make_credential,
    seal_drafts,
    sign_cast,
)

BOARD = "BallotsPublished"


def ballot_resigned(log: ElectionLog) -> list[Record]:
    """The first ballot is signed by another voter's key."""
    cast, _ = parse_frame("ballot", log.bodies[0], 2)
    return with_board(log, [sign_cast(VOTERS[1], cast), *log.bodies[1:]])


def signature_replayed(log: ElectionLog) -> list[Record]:
    """The first ballot's signature stands under another choice of the same voter."""
    other = make_body(log.definition, log.eid, VOTERS[0], log.credentials[0], encode_choice(ANSWERS[1]))
    signature = parse_frame("ballot", log.bodies[0], 2)[1]
    return with_board(log, [frame("ballot", parse_frame("ballot", other, 2)[0], signature), *log.bodies[1:]])


def minted(log: ElectionLog) -> list[Record]:
    """The registrar makes a credential for itself, and a ballot with it."""
    credential = make_credential(log.eid, VOTERS[4])[2]
    body = make_body(log.definition, log.eid, VOTERS[4], credential, encode_choice(ANSWERS[0]))
    return with_board(log, [*log.bodies, body])


def voted_twice(log: ElectionLog) -> list[Record]:
    """One ballot key signs two ballots."""
    second = make_body(log.definition, log.eid, VOTERS[0], log.credentials[0], encode_choice(ANSWERS[1]))
    return with_board(log, [*log.bodies, sign_cast(VOTERS[0], parse_frame("ballot", second, 2)[0])])


def from_another_election(log: ElectionLog) -> list[Record]:
    """A voter's ballot in the second election is counted in the first one, too."""
    made = second_document(log.document, "registrar9")
    eid = election_id(made)
    voter = VOTERS[0]
    credential = foreign_credential(voter, eid)
    body = make_body(decode_definition(made), eid, voter, credential, encode_choice(ANSWERS[0]))
    drafts = boarded(log, [body, *log.bodies[1:]])
    place = next(place for place, draft in enumerate(drafts) if draft.kind == "ElectionOpened")
    return seal_drafts(inserted(drafts, place + 1, second_election(log)))


def by_other_registrar(log: ElectionLog) -> list[Record]:
    """A ballot has a credential of the second election's registrar."""
    return reworked(log, credential=foreign_credential(VOTERS[0], log.eid))


def claim_of_a_cast(log: ElectionLog) -> Draft:
    return claim(log.eid, VOTERS[0], log.credentials[0])


def claim_of_another(log: ElectionLog) -> Draft:
    """A claim with a credential that was issued for another ballot key."""
    return claim(log.eid, VOTERS[4], log.credentials[3])


def claimed_late(log: ElectionLog) -> list[Record]:
    """A claim is taken although the definition gave a second for it."""
    return ElectionLog(claims_s=1).records()


def closed_early(log: ElectionLog) -> list[Record]:
    """Nobody closes the election, and its time has not come."""
    return edit("ElectionClosed", 0, by=b"")(log)


BALLOT_ATTACKS: dict[str, Attack] = {
    "a credential is stuffed": Attack(
        "signatures", "BadCredential", lambda log: reworked(log, credential=flipped(log.credentials[0])), at=BOARD
    ),
    "a credential is copied from another voter": Attack(
        "signatures", "BadCredential", lambda log: reworked(log, credential=log.credentials[1]), at=BOARD
    ),
    "a credential's prefix is altered": Attack(
        "signatures", "BadCredential", lambda log: reworked(log, prefix=bytes(32)), at=BOARD
    ),
    "a credential is of another election's registrar": Attack(
        "signatures", "BadCredential", by_other_registrar, at=BOARD
    ),
    "a ballot is copied from another election": Attack("signatures", "BadCredential", from_another_election, at=BOARD),
    "a ballot names another election": Attack(
        "ballots", "WrongElection", lambda log: reworked(log, eid=bytes(32)), at=BOARD
    ),
    "a ballot is signed by another key": Attack("signatures", "BallotSignature", ballot_resigned, at=BOARD),
    "a ballot's signature is replayed": Attack("signatures", "BallotSignature", signature_replayed, at=BOARD),
    "a ballot is altered": Attack(
        "signatures",
        "BallotSignature",
        lambda log: with_board(log, [flipped(log.bodies[0]), *log.bodies[1:]]),
        at=BOARD,
    ),
    "a ballot is garbage": Attack(
        "ballots", "MalformedBallot", lambda log: with_board(log, [b"garbage", *log.bodies[1:]]), at=BOARD
    ),
    "an envelope is of another size": Attack(
        "ballots", "BadEnvelope", lambda log: reworked(log, envelope=frame("envelope", b"", b"")), at=BOARD
    ),
    "a cast comes after the close": Attack(
        "ballots", "CastOutsideElection", insert("ElectionClosed", event("BallotCast")), at="BallotCast"
    ),
    "the close miscounts": Attack(
        "ballots", "CloseCountDiffers", edit("ElectionClosed", 0, casts=2), at="ElectionClosed"
    ),
    "an election is closed twice": Attack(
        "ballots", "ClosedWrongly", insert("ElectionClosed", again("ElectionClosed")), at="ElectionClosed"
    ),
    "an election closes by itself before its time": Attack(
        "ballots", "ClosedTooEarly", closed_early, at="ElectionClosed"
    ),
    "an election is cancelled after the close": Attack(
        "ballots",
        "CancelledAfterClose",
        insert("ElectionClosed", event("ElectionCancelled", by=b"")),
        at="ElectionCancelled",
    ),
    "a ballot is left out": Attack(
        "ballots", "BoardCountDiffers", lambda log: with_board(log, log.bodies[:2], casts=3), at=BOARD
    ),
    "a ballot is added to the board": Attack(
        "ballots", "BoardCountDiffers", lambda log: with_board(log, log.bodies, casts=2), at=BOARD
    ),
    "a ballot is on the board twice": Attack(
        "ballots", "BallotRepeated", lambda log: with_board(log, [*log.bodies, log.bodies[0]]), at=BOARD
    ),
    "a ballot key votes twice": Attack("ballots", "BallotKeyReused", voted_twice, at=BOARD),
    "the board is out of order": Attack(
        "ballots", "BoardUnsorted", lambda log: with_board(log, log.board[::-1], in_order=False), at=BOARD
    ),
    "the board's chunks are out of order": Attack("ballots", "ChunkOutOfOrder", edit(BOARD, 1, chunk=7), at=BOARD),
    "the board is published before the close": Attack(
        "ballots", "PublishedWrongly", insert("BallotCast", again(BOARD, 0)), at=BOARD
    ),
    "casts are erased before the board": Attack(
        "ballots", "ErasedTooEarly", insert("ElectionClosed", again("PrivateErased")), at="PrivateErased"
    ),
    "the registrar mints a credential": Attack("ballots", "CredentialsMinted", minted, at="CredentialUnused"),
    "a claim is forged": Attack(
        "signatures", "ClaimSignature", forge("CredentialUnused", "signature"), at="CredentialUnused"
    ),
    "a claim has another voter's credential": Attack(
        "signatures", "BadCredential", insert("CredentialUnused", claim_of_another), at="CredentialUnused"
    ),
    "a credential is claimed twice": Attack(
        "ballots", "ClaimedTwice", insert("CredentialUnused", again("CredentialUnused")), at="CredentialUnused"
    ),
    "a credential is claimed before the close": Attack(
        "ballots", "ClaimedTooEarly", insert("CredentialIssued", again("CredentialUnused")), at="CredentialUnused"
    ),
    "a credential is claimed too late": Attack("ballots", "ClaimedTooLate", claimed_late, at="CredentialUnused"),
    "the close gives other time for claims": Attack(
        "ballots", "ClaimsEndDiffers", edit("ElectionClosed", 0, claims_until_us=5), at="ElectionClosed"
    ),
    "a cast credential is claimed as unused": Attack(
        "ballots", "ClaimedButCast", insert("CredentialUnused", claim_of_a_cast), at="CredentialUnused"
    ),
}
