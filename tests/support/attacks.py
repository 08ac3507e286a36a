"""Attacks on the election of `log_builder`, each with the level and the name under which an audit must catch it.

`FILE` attacks change records, as anyone can who holds the export. `INSIDER` attacks change what the log says and seal
it anew, as a majority of the nodes together could; then only what others signed, or what can be computed, tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from ballot.ledger import rsa
from ballot.ledger.frame import frame, parse_frame, u64
from ballot.ledger.membership import Membership, membership_of
from ballot.replay.export import CheckpointRecord, EndRecord, EntryRecord, Record
from ballot.voting import document
from ballot.voting.ballot import cast_frame, parse_ballot
from ballot.voting.choice import encode_choice
from tests.support.log_builder import (
    ANSWERS,
    ELECTION,
    VOTERS,
    Draft,
    ElectionLog,
    attestation,
    claim,
    key,
    make_body,
    make_credential,
    modulus,
    seal_drafts,
    sign_cast,
    sign_issue,
    sign_note,
)

Drafts = list[Draft]


@dataclass(frozen=True)
class Attack:
    """`make(log)` gives the records; `index` is the entry that must be named, 0 where any may."""

    level: str
    name: str
    make: Callable[[ElectionLog], list[Record]]
    index: int = 0


def flipped(data: bytes, place: int = -1) -> bytes:
    """One bit is another one."""
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def entries_in(records: list[Record]) -> list[int]:
    return [place for place, record in enumerate(records) if isinstance(record, EntryRecord)]


def notes_in(records: list[Record]) -> list[int]:
    return [place for place, record in enumerate(records) if isinstance(record, CheckpointRecord)]


# -- by anyone who holds the file


def dropped(log: ElectionLog) -> list[Record]:
    records = log.records()
    del records[entries_in(records)[9]]
    return records


def doubled(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = entries_in(records)[9]
    return [*records[: place + 1], records[place], *records[place + 1 :]]


def reordered(log: ElectionLog) -> list[Record]:
    records = log.records()
    one, two = entries_in(records)[8:10]
    records[one], records[two] = records[two], records[one]
    return records


def altered_public(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = entries_in(records)[9]
    record = records[place]
    assert isinstance(record, EntryRecord)
    records[place] = replace(record, public=flipped(record.public))
    return records


def altered_time(log: ElectionLog) -> list[Record]:
    """The header's time is a microsecond later: everything still parses."""
    records = log.records()
    place = entries_in(records)[9]
    record = records[place]
    assert isinstance(record, EntryRecord)
    fields = parse_frame("entry", record.header, 7)
    fields[2] = u64(int.from_bytes(fields[2], "big") + 1)
    records[place] = replace(record, header=frame("entry", *fields))
    return records


def garbled_header(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = entries_in(records)[9]
    record = records[place]
    assert isinstance(record, EntryRecord)
    records[place] = replace(record, header=record.header + b"\0")
    return records


def tail_cut(log: ElectionLog) -> list[Record]:
    """The last entries are left out, and the end says so."""
    records = log.records()
    last = entries_in(records)[-1]
    kept = records[:last]
    return [*kept, EndRecord(len(entries_in(kept)), len(entries_in(kept)))]


def no_end(log: ElectionLog) -> list[Record]:
    return log.records()[:-1]


def wrong_end(log: ElectionLog) -> list[Record]:
    return [*log.records()[:-1], EndRecord(1000, 1000)]


def after_the_end(log: ElectionLog) -> list[Record]:
    records = log.records()
    return [*records, records[0]]


def checkpoint_rolled_back(log: ElectionLog) -> list[Record]:
    """The last checkpoint is replaced by an earlier one, rightly signed."""
    records = log.records()
    notes = notes_in(records)
    records[notes[-1]] = records[notes[-3]]
    return records


def checkpoint_elsewhere(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = notes_in(records)[3]
    records[place - 1], records[place] = records[place], records[place - 1]
    return records


def checkpoint_unsigned(log: ElectionLog) -> list[Record]:
    """Signed by one node of three."""
    records = log.records()
    records[-2] = CheckpointRecord(sign_note(log.sealer.tree, len(log.entries), cosigners=(0,)))
    return records


def checkpoint_signatures_swapped(log: ElectionLog) -> list[Record]:
    records = log.records()
    first, second = notes_in(records)[2:4]
    one, two = records[first], records[second]
    assert isinstance(one, CheckpointRecord) and isinstance(two, CheckpointRecord)
    body, lines = one.note.partition(b"\n\n")[0], two.note.partition(b"\n\n")[2]
    records[first] = CheckpointRecord(body + b"\n\n" + lines)
    return records


def checkpoint_garbled(log: ElectionLog) -> list[Record]:
    records = log.records()
    place = notes_in(records)[3]
    records[place] = CheckpointRecord(b"not a note")
    return records


def fork(log: ElectionLog) -> list[Record]:
    """Another history, in order by itself, under the checkpoints of the true one."""
    drafts = list(log.drafts)
    place = log.find("RoleGranted")
    drafts[place] = drafts[place].but(role="admin")
    forked = seal_drafts(drafts)
    notes = iter([record for record in log.records() if isinstance(record, CheckpointRecord)])
    return [next(notes) if isinstance(record, CheckpointRecord) else record for record in forked]


def checkpoint_by_strangers(log: ElectionLog) -> list[Record]:
    """A later genesis hands the ledger to the attacker's nodes."""
    drafts = list(log.drafts)
    drafts.insert(5, Draft("Genesis", Membership("ballot.example/other", _nodes(log).nodes).to_fields()))
    return seal_drafts(drafts)


def without_genesis(log: ElectionLog) -> list[Record]:
    return seal_drafts(log.drafts[1:])


def _nodes(log: ElectionLog) -> Membership:
    return membership_of(log.drafts[0].public)


FILE: dict[str, Attack] = {
    "an entry is dropped": Attack("chain", "ChainBroken", dropped, 10),
    "an entry is doubled": Attack("chain", "ChainBroken", doubled, 11),
    "two entries change places": Attack("chain", "ChainBroken", reordered, 9),
    "a payload is altered": Attack("structure", "MalformedEntry", altered_public, 10),
    "a header is altered": Attack("chain", "ChainBroken", altered_time, 11),
    "a header has a byte too many": Attack("structure", "MalformedEntry", garbled_header, 10),
    "the last entry is cut off": Attack("chain", "EndNotCovered", tail_cut),
    "the closing record is cut off": Attack("structure", "ExportBreaksOff", no_end),
    "the closing record is another": Attack("structure", "EndDiffers", wrong_end),
    "a record follows the end": Attack("structure", "ExportGoesOn", after_the_end),
    "the last checkpoint is rolled back": Attack("chain", "CheckpointRolledBack", checkpoint_rolled_back),
    "a checkpoint stands elsewhere": Attack("chain", "CheckpointMisplaced", checkpoint_elsewhere, 15),
    "a minority signed the checkpoint": Attack("signatures", "CheckpointSignature", checkpoint_unsigned),
    "the signatures are another checkpoint's": Attack(
        "signatures", "CheckpointSignature", checkpoint_signatures_swapped, 12
    ),
    "a checkpoint is garbled": Attack("structure", "MalformedCheckpoint", checkpoint_garbled, 16),
    "the log is a fork": Attack("chain", "RootDiffers", fork, 4),
    "a second genesis brings other nodes": Attack("chain", "GenesisRepeated", checkpoint_by_strangers, 6),
    "the genesis is gone": Attack("chain", "GenesisMissing", without_genesis, 1),
}


# -- by insiders: what the log says, sealed anew


def edit(kind: str, number: int = 0, **changes: object) -> Callable[[ElectionLog], list[Record]]:
    """One event says something else."""

    def make(log: ElectionLog) -> list[Record]:
        drafts = list(log.drafts)
        place = log.find(kind, number)
        drafts[place] = drafts[place].but(**changes)
        return seal_drafts(drafts)

    return make


def insert(after: str, make_draft: Callable[[ElectionLog], Draft]) -> Callable[[ElectionLog], list[Record]]:
    """One event more, behind the last one of a kind."""

    def make(log: ElectionLog) -> list[Record]:
        places = [place for place, draft in enumerate(log.drafts) if draft.kind == after]
        drafts = list(log.drafts)
        drafts.insert(places[-1] + 1, make_draft(log))
        return seal_drafts(drafts)

    return make


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


def with_board(log: ElectionLog, bodies: list[bytes], casts: int | None = None, in_order: bool = True) -> list[Record]:
    """The board holds these ballots; the log has as many casts, or `casts`, and the close says so."""
    count = len(bodies) if casts is None else casts
    ordered = sorted(bodies, key=lambda body: hashlib.sha256(body).digest()) if in_order else bodies
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
    return seal_drafts(drafts)


def reworked(log: ElectionLog, **changes: bytes) -> list[Record]:
    """The first voter's ballot with other fields, signed by its own key."""
    ballot = parse_ballot(log.bodies[0])
    fields = {"eid": ballot.eid, "bpk": ballot.bpk, "prefix": ballot.prefix}
    fields |= {"credential": ballot.credential, "envelope": ballot.envelope} | changes
    return with_board(log, [sign_cast(VOTERS[0], cast_frame(**fields)), *log.bodies[1:]])


def ballot_resigned(log: ElectionLog) -> list[Record]:
    """The first ballot is signed by another voter's key."""
    cast, _ = parse_frame("ballot", log.bodies[0], 2)
    return with_board(log, [sign_cast(VOTERS[1], cast), *log.bodies[1:]])


def envelope_copied(log: ElectionLog) -> list[Record]:
    """The first voter's ballot is a copy of the second's, under the first's own key: it does not open."""
    return reworked(log, envelope=parse_ballot(log.bodies[1]).envelope)


def minted(log: ElectionLog) -> list[Record]:
    """The registrar makes a credential for itself, and a ballot with it."""
    credential = make_credential(log.eid, VOTERS[4])[2]
    body = make_body(log.definition, log.eid, VOTERS[4], credential, encode_choice(ANSWERS[0]))
    return with_board(log, [*log.bodies, body])


def voted_twice(log: ElectionLog) -> list[Record]:
    """One ballot key signs two ballots."""
    second = make_body(log.definition, log.eid, VOTERS[0], log.credentials[0], encode_choice(ANSWERS[1]))
    return with_board(log, [*log.bodies, sign_cast(VOTERS[0], parse_frame("ballot", second, 2)[0])])


def issued_to_stranger(log: ElectionLog) -> list[Record]:
    return edit("CredentialIssued", 0, voter=bytes(16))(log)


def issued_again(log: ElectionLog) -> Draft:
    """A second credential for a voter, rightly asked for."""
    blinded, blind_sig, _ = make_credential(log.eid, VOTERS[4])
    first = log.drafts[log.find("CredentialIssued")]
    request = sign_issue(log.eid, VOTERS[0], blinded)
    return first.but(blinded=blinded, blind_sig=blind_sig, identity_sig=request)


def identity_replaced(log: ElectionLog) -> Draft:
    """After the issues began, a voter's key becomes one that the insiders hold."""
    n = modulus("identity1")
    signature = rsa.sign(key("identity1"), frame("identity-key", VOTERS[3].id, n))
    return Draft("IdentityKeyEnrolled", {"user": VOTERS[3].id, "n": n, "signature": signature})


def other_tally(log: ElectionLog) -> list[Record]:
    """One vote moves, and every node attests it."""
    value = document.decode(log.drafts[log.find("TallyPublished")].public["document"])
    votes = value["questions"][0]["rounds"][0]["votes"]
    votes["0"], votes["1"] = votes["1"], votes["0"]
    made = document.encode(value)
    drafts = list(log.drafts)
    place = log.find("TallyPublished")
    drafts[place] = drafts[place].but(document=made)
    for number in range(3):
        place = log.find("TallyAttested", number)
        digest, signature = attestation(log.eid, number + 1, made)
        drafts[place] = drafts[place].but(digest=digest, signature=signature)
    return seal_drafts(drafts)


def seed_kept_back(log: ElectionLog) -> list[Record]:
    """A valid ballot is called invalid, its seed left empty, and it is not counted."""
    place = log.find("TallySeeds")
    seeds = log.drafts[place].public["seeds"]
    valid = next(number for number, seed in enumerate(seeds) if seed)
    drafts = list(log.drafts)
    drafts[place] = drafts[place].but(seeds=[b"" if number == valid else seed for number, seed in enumerate(seeds)])
    tally = log.find("TallyPublished")
    value = document.decode(drafts[tally].public["document"])
    value["ballots"] |= {"valid": 1, "invalid": 2}
    drafts[tally] = drafts[tally].but(document=document.encode(value))
    return seal_drafts(drafts)


def seeds_swapped(log: ElectionLog) -> list[Record]:
    seeds = log.drafts[log.find("TallySeeds")].public["seeds"]
    return edit("TallySeeds", 0, seeds=[seed and flipped(seed) for seed in seeds])(log)


def released_wrong_primes(log: ElectionLog) -> list[Record]:
    numbers = key("registrar").private_numbers()
    p, q = (value.to_bytes(192, "big") for value in sorted((numbers.p, numbers.q), reverse=True))
    return edit("TrusteeKeyReleased", 0, p=p, q=q)(log)


def released_for(size: int | None, true_root: bool) -> Callable[[ElectionLog], list[Record]]:
    """The trustee signs for the tree of so many entries (None: all before), or for a root that is not its root."""

    def make(log: ElectionLog) -> list[Record]:
        place = log.find("TrusteeKeyReleased")
        count = size or place
        root = log.sealer.tree.root(count) if true_root else bytes(32)
        signature = rsa.sign(key("trustee"), frame("release", log.eid, u64(count), root))
        return edit("TrusteeKeyReleased", 0, size=count, root=root, signature=signature)(log)

    return make


def roll_swapped(log: ElectionLog) -> list[Record]:
    """A voter on the frozen roll is exchanged for another one."""
    leaves = log.drafts[log.find("RollFrozen")].public["leaves"]
    stranger = frame("roll", bytes(16), (1).to_bytes(4, "big"), bytes(32))
    return edit("RollFrozen", 0, leaves=sorted([stranger, *leaves[1:]]))(log)


def definition_changed(log: ElectionLog) -> list[Record]:
    return edit("ElectionOpened", 0, definition=log.document.replace(b"City", b"Town"))(log)


def key_with_two_purposes(log: ElectionLog) -> list[Record]:
    """A node signs checkpoints with what is also the registrar's key."""
    fields = dict(log.drafts[0].public)
    fields["nodes"] = [*fields["nodes"][:2], fields["nodes"][2] | {"rsa": modulus("registrar")}]
    return seal_drafts([replace(log.drafts[0], public=fields), *log.drafts[1:]])


def other_trustee(log: ElectionLog) -> Draft:
    """A trustee enrols rightly, and the definition then names another one."""
    n = modulus("trustee2")
    proof = rsa.sign(key("trustee2"), frame("trustee-key", ELECTION, b"Tess", n))
    public = {"election": ELECTION, "user": bytes(16), "number": 1, "name": "Tess", "n": n, "proof": proof}
    return Draft("TrusteeEnrolled", public)


def claim_of_a_cast(log: ElectionLog) -> Draft:
    return claim(log.eid, VOTERS[0], log.credentials[0])


def cast_draft(log: ElectionLog) -> Draft:
    return Draft("BallotCast", {"election": ELECTION, "eid": log.eid}, b"late")


INSIDER: dict[str, Attack] = {
    "an identity key is enrolled without its holder": Attack(
        "signatures", "IdentityKeySignature", forge("IdentityKeyEnrolled", "signature")
    ),
    "two identity keys are exchanged": Attack("signatures", "IdentityKeySignature", swap("IdentityKeyEnrolled", "n")),
    "a request is forged": Attack("signatures", "IssueSignature", forge("CredentialIssued", "identity_sig")),
    "a request is another voter's": Attack("signatures", "IssueSignature", swap("CredentialIssued", "identity_sig")),
    "a blind signature is forged": Attack("signatures", "BlindSignature", forge("CredentialIssued", "blind_sig")),
    "a blind signature is another's": Attack("signatures", "BlindSignature", swap("CredentialIssued", "blind_sig")),
    "a credential is stuffed": Attack(
        "signatures", "BadCredential", lambda log: reworked(log, credential=flipped(log.credentials[0]))
    ),
    "a credential is copied": Attack(
        "signatures", "BadCredential", lambda log: reworked(log, credential=log.credentials[1])
    ),
    "a ballot is signed by another key": Attack("signatures", "BallotSignature", ballot_resigned),
    "a ballot is altered": Attack(
        "signatures", "BallotSignature", lambda log: with_board(log, [flipped(log.bodies[0]), *log.bodies[1:]])
    ),
    "an attestation is forged": Attack("signatures", "AttestationSignature", forge("TallyAttested", "signature", 1)),
    "a claim is forged": Attack("signatures", "ClaimSignature", forge("CredentialUnused", "signature")),
    "a release is forged": Attack("signatures", "ReleaseSignature", forge("TrusteeKeyReleased", "signature")),
    "one key has two purposes": Attack("signatures", "KeyReused", key_with_two_purposes),
    "a voter is not on the roll": Attack("ballots", "NotOnRoll", issued_to_stranger),
    "a voter gets two credentials": Attack("ballots", "IssuedTwice", insert("CredentialIssued", issued_again)),
    "a credential is issued after the close": Attack(
        "ballots", "IssuedOutsideElection", insert("ElectionClosed", issued_again)
    ),
    "the identity key in force is another": Attack(
        "ballots", "WrongIdentityKey", insert("RollFrozen", identity_replaced)
    ),
    "the roll is exchanged": Attack("ballots", "RollRootDiffers", roll_swapped),
    "the definition is exchanged": Attack("ballots", "WrongElection", definition_changed),
    "the definition has another roll": Attack("ballots", "RollRootDiffers", edit("RollFrozen", 0, root=bytes(32))),
    "the trustees are exchanged": Attack("ballots", "TrusteesDiffer", insert("VotersAdded", other_trustee)),
    "a cast comes after the close": Attack("ballots", "CastOutsideElection", insert("ElectionClosed", cast_draft)),
    "the close miscounts": Attack("ballots", "CloseCountDiffers", edit("ElectionClosed", 0, casts=2)),
    "a ballot is left out": Attack(
        "ballots", "BoardCountDiffers", lambda log: with_board(log, log.bodies[:2], casts=3)
    ),
    "a ballot is on the board twice": Attack(
        "ballots", "BallotRepeated", lambda log: with_board(log, [*log.bodies, log.bodies[0]])
    ),
    "a ballot key votes twice": Attack("ballots", "BallotKeyReused", voted_twice),
    "the board is out of order": Attack(
        "ballots", "BoardUnsorted", lambda log: with_board(log, log.board[::-1], in_order=False)
    ),
    "the board's chunks are out of order": Attack("ballots", "ChunkOutOfOrder", edit("BallotsPublished", 1, chunk=7)),
    "a ballot is garbage": Attack(
        "ballots", "MalformedBallot", lambda log: with_board(log, [b"garbage", *log.bodies[1:]])
    ),
    "an envelope is of another size": Attack(
        "ballots", "BadEnvelope", lambda log: reworked(log, envelope=frame("envelope", b"", b""))
    ),
    "the registrar mints a credential": Attack("ballots", "CredentialsMinted", minted),
    "a cast credential is claimed as unused": Attack(
        "ballots", "ClaimedButCast", insert("CredentialUnused", claim_of_a_cast)
    ),
    "an envelope is copied and counted": Attack("count", "TallyDiffers", envelope_copied),
    "another key is released": Attack("count", "BadTrusteeKey", released_wrong_primes),
    "a key is released before the board": Attack("count", "ReleasedTooEarly", released_for(4, true_root=True)),
    "a key is released for another log": Attack("count", "ReleaseRootDiffers", released_for(None, true_root=False)),
    "the count is changed": Attack("count", "TallyDiffers", other_tally),
    "a valid ballot is called invalid": Attack("count", "TallyDiffers", seed_kept_back),
    "a seed is wrong": Attack("count", "BadSeed", seeds_swapped),
    "an attestation hides its dissent": Attack(
        "count",
        "AttestationMisstated",
        lambda log: edit("TallyAttested", 0, **_dissent(log), agrees=True)(log),
    ),
    "a kind is made up": Attack("structure", "UnknownKind", insert("TermOpened", lambda log: Draft("VotesMoved", {}))),
    "a payload lacks a field": Attack(
        "structure", "MalformedEvent", insert("TermOpened", lambda log: Draft("RoleGranted", {"user": bytes(16)}))
    ),
}


def _dissent(log: ElectionLog) -> dict[str, bytes]:
    digest, signature = attestation(log.eid, 1, b"another count")
    return {"digest": digest, "signature": signature}


def dissent(log: ElectionLog) -> list[Record]:
    """No attack: a node counts differently and says so."""
    return edit("TallyAttested", 0, **_dissent(log), agrees=False)(log)
