"""Attacks by insiders on who may vote and on what: identity keys, the roll, definitions, credentials."""

from __future__ import annotations

from functools import cache
from typing import Any

from ballot.ledger import rsa
from ballot.ledger.frame import frame
from ballot.ledger.proof import root_of
from ballot.replay.export import Record
from ballot.voting import document
from ballot.voting.ballot import credential_message, roll_leaf
from ballot.voting.blind import BlindSigner, blind, finalize
from ballot.voting.definition import election_id
from tests.support.attacks.base import (
    Attack,
    Drafts,
    Make,
    again,
    edit,
    flipped,
    forge,
    insert,
    inserted,
    redefined,
    swap,
    without,
)
from tests.support.log_builder import (
    ELECTION,
    START_US,
    VOTERS,
    Draft,
    ElectionLog,
    Voter,
    key,
    make_credential,
    modulus,
    seal_drafts,
    sign_issue,
    trustee_election_log,
)

OTHER_ELECTION = b"f" * 16
TESS = b"t" * 16


# -- identity keys


def enrolment(voter: Voter, name: str) -> Draft:
    """A key is enrolled for a voter, with its own good signature."""
    n = modulus(name)
    signature = rsa.sign(key(name), frame("identity-key", voter.id, n))
    return Draft("IdentityKeyEnrolled", {"user": voter.id, "n": n, "signature": signature})


def identity_replaced(log: ElectionLog) -> Draft:
    """After the issues began, a voter's key becomes one that the insiders hold."""
    return enrolment(VOTERS[3], "identity1")


# -- rolls and definitions


def leaves_of(log: ElectionLog) -> list[bytes]:
    return list(log.drafts[log.find("RollFrozen")].public["leaves"])


def roll_swapped(log: ElectionLog) -> list[Record]:
    """A voter on the frozen roll is exchanged for another one."""
    stranger = roll_leaf(bytes(16), 1, bytes(32))
    return edit("RollFrozen", 0, leaves=sorted([stranger, *leaves_of(log)[1:]]))(log)


def frozen(log: ElectionLog, leaves: list[bytes]) -> list[Record]:
    """Another roll is frozen, and the definition names it: all is in order but for what it is made of."""
    roll = {"leaves": leaves, "root": root_of(leaves), "size": len(leaves)}
    return seal_drafts(redefined(log, roll))


def heavier(log: ElectionLog) -> list[Record]:
    """One voter's weight on the frozen roll is not the one that was put in."""
    others = [leaf for leaf in leaves_of(log) if leaf != VOTERS[0].leaf]
    return frozen(log, sorted([*others, roll_leaf(VOTERS[0].id, 9, bytes(32))]))


def definition_changed(log: ElectionLog) -> list[Record]:
    return edit("ElectionOpened", 0, definition=log.document.replace(b"City", b"Town"))(log)


def defined(**changes: Any) -> Make:
    return lambda log: seal_drafts(redefined(log, **changes))


def spelt_otherwise(log: ElectionLog) -> list[Record]:
    """The definition has a space too many: the same values, other bytes."""
    made = log.document.replace(b":", b": ", 1)
    return seal_drafts([*redefined(log)[:-1], redefined(log)[-1].but(definition=made, eid=election_id(made))])


def trustee_of(n: bytes) -> list[dict[str, str]]:
    return [{"name": "Cluster", "n": n.hex()}]


@cache
def close_primes() -> bytes:
    """A modulus whose primes are neighbours: whoever tries finds them."""
    import gmpy2

    p = gmpy2.next_prime((gmpy2.mpz(3) << 1534) + 12345)
    return int(p * gmpy2.next_prime(p)).to_bytes(384, "big")


@cache
def roca_modulus() -> bytes:
    """What the faulty chips made: a power of 65537 modulo the product of the first primes."""
    import gmpy2

    product = int(gmpy2.primorial(701))
    steps = ((3 << 3070) - 1) // product
    n = steps * product + pow(65537, 1234567, product)
    return n.to_bytes(384, "big")


def weak_registrar(log: ElectionLog) -> list[Record]:
    return defined(registrars=[{"weight": 1, "n": roca_modulus().hex()}])(log)  # type: ignore[return-value]


def key_twice(log: ElectionLog) -> list[Record]:
    return defined(trustees=trustee_of(modulus("registrar")))(log)  # type: ignore[return-value]


def another_start(log: ElectionLog) -> list[Record]:
    """An election that is to open in a year is started at once."""
    drafts = redefined(log, opens_us=START_US + 365 * 86_400_000_000)
    return seal_drafts([*drafts, Draft("ElectionStarted", {"election": ELECTION, "eid": drafts[-1].public["eid"]})])


def invited(user: bytes = TESS) -> Any:
    return lambda log: Draft("TrusteeInvited", {"election": ELECTION, "user": user, "name": "Tess"})


def other_trustee(number: int = 1, **changes: bytes) -> Any:
    """A trustee enrols rightly, and the definition then names another one."""

    def make(log: ElectionLog) -> Draft:
        n = modulus("trustee9")
        proof = rsa.sign(key("trustee9"), frame("trustee-key", ELECTION, b"Tess", n))
        fields = {"election": ELECTION, "user": TESS, "number": number, "name": "Tess", "n": n, "proof": proof}
        return Draft("TrusteeEnrolled", fields | changes)

    return make


def among_trustees(make: Make) -> Make:
    """The attack is made on an election with three trustees, two of whom open it."""
    return lambda log: make(trustee_election_log())


def drafted_with(k: int) -> Make:
    """The draft asks for so many trustees; the definition is as it was."""
    return lambda log: edit("ElectionDrafted", 0, draft=document.encode({"k": k}))(log)


def one_less(kind: str, number: int) -> Make:
    def make(log: ElectionLog) -> list[Record]:
        place = log.find(kind, number)
        return seal_drafts([*log.drafts[:place], *log.drafts[place + 1 :]])

    return make


def withdrawn(enrolled: bool) -> Any:
    """The first trustee's invitation is taken back."""
    return lambda log: Draft(
        "TrusteeWithdrawn",
        {
            "election": ELECTION,
            "user": log.drafts[log.find("TrusteeInvited")].public["user"],
            "enrolled": enrolled,
        },
    )


# -- a second election


@cache
def second_document(document_: bytes, registrar: str) -> bytes:
    changes = {"title": "Second election", "trustees": trustee_of(modulus("trustee9"))}
    return document.encode(
        document.decode(document_) | changes | {"registrars": [{"weight": 1, "n": modulus(registrar).hex()}]}
    )


def second_election(log: ElectionLog, registrar: str = "registrar9") -> Drafts:
    """Another election of the same voters, open at the same time."""
    made = second_document(log.document, registrar)
    opened = {"election": OTHER_ELECTION, "eid": election_id(made), "definition": made}
    kinds = ("ElectionDrafted", "VotersAdded", "RollFrozen")
    same = [log.drafts[log.find(kind)].but(election=OTHER_ELECTION) for kind in kinds]
    return [*same, log.drafts[log.find("ElectionOpened")].but(**opened)]


def beside(log: ElectionLog, *more: Draft, registrar: str = "registrar9") -> list[Record]:
    """The log with the second election behind the opening of the first, and more events behind that."""
    place = log.find("ElectionOpened") + 1
    return seal_drafts(inserted(log.drafts, place, [*second_election(log, registrar), *more]))


def request_replayed(log: ElectionLog) -> list[Record]:
    """A voter asked for a credential in one election; the request is used in another, under its registrar's key."""
    issued = log.drafts[log.find("CredentialIssued")]
    eid = election_id(second_document(log.document, "registrar9"))
    blind_sig = BlindSigner(key("registrar9")).sign(shortened(issued.public["blinded"]))
    fields = {"election": OTHER_ELECTION, "eid": eid, "blinded": shortened(issued.public["blinded"])}
    return beside(log, issued.but(**fields, blind_sig=blind_sig))


def shortened(blinded: bytes) -> bytes:
    """A blinded message that is below any modulus of its length."""
    return bytes(1) + blinded[1:]


def foreign_credential(voter: Voter, eid: bytes) -> bytes:
    """A credential for this voter's ballot key in election `eid`, by the second election's registrar."""
    message = voter.prefix + credential_message(eid, voter.bpk)
    blinded = blind(modulus("registrar9"), message)
    answer = BlindSigner(key("registrar9")).sign(blinded.message)
    return finalize(modulus("registrar9"), message, answer, blinded.inverse)


# -- credentials


def issued_again(log: ElectionLog) -> Draft:
    """A second credential for a voter, rightly asked for."""
    blinded, blind_sig, _ = make_credential(log.eid, VOTERS[4])
    first = log.drafts[log.find("CredentialIssued")]
    request = sign_issue(log.eid, VOTERS[0], blinded)
    return first.but(blinded=blinded, blind_sig=blind_sig, identity_sig=request)


def unknown_weight(log: ElectionLog) -> list[Record]:
    """A voter of a weight for which there is no key gets a credential."""
    place, last = log.find("VotersAdded"), log.find("ElectionOpened")
    leaves = sorted([roll_leaf(VOTERS[0].id, 2, bytes(32)), *(voter.leaf for voter in VOTERS[1:])])
    roll = {"leaves": leaves, "root": root_of(leaves), "size": len(leaves)}
    drafts = redefined(log, roll)
    added = [[voter.id, 2 if voter == VOTERS[0] else 1] for voter in VOTERS]
    drafts[place] = drafts[place].but(voters=added)
    eid = drafts[last].public["eid"]
    blinded, blind_sig, _ = make_credential(eid, VOTERS[0])
    request = sign_issue(eid, VOTERS[0], blinded)
    fields = {"eid": eid, "blinded": blinded, "blind_sig": blind_sig, "identity_sig": request}
    return seal_drafts([*drafts, log.drafts[log.find("CredentialIssued")].but(**fields)])


def event(kind: str, **fields: Any) -> Any:
    return lambda log: Draft(kind, {"election": ELECTION, "eid": log.eid} | fields)


VOTER_ATTACKS: dict[str, Attack] = {
    "an identity key is enrolled without its holder": Attack(
        "signatures", "IdentityKeySignature", forge("IdentityKeyEnrolled", "signature"), at="IdentityKeyEnrolled"
    ),
    "two identity keys are exchanged": Attack(
        "signatures", "IdentityKeySignature", swap("IdentityKeyEnrolled", "n"), at="IdentityKeyEnrolled"
    ),
    "an identity key that was replaced comes back": Attack(
        "signatures",
        "KeySuperseded",
        insert(
            "UserRegistered",
            lambda log: enrolment(VOTERS[3], "identity3"),
            identity_replaced,
            lambda log: enrolment(VOTERS[3], "identity3"),
        ),
        at="IdentityKeyEnrolled",
    ),
    "the registrar's key is enrolled as a voter's": Attack(
        "signatures",
        "KeyReused",
        insert("RollFrozen", lambda log: enrolment(VOTERS[4], "registrar")),
        at="ElectionOpened",
    ),
    "a trustee's key is enrolled as a voter's": Attack(
        "signatures",
        "KeyReused",
        insert("ElectionClosed", lambda log: enrolment(VOTERS[4], "trustee")),
        at="IdentityKeyEnrolled",
    ),
    "a registrar's key serves a second election": Attack(
        "signatures", "KeyReused", lambda log: beside(log, registrar="registrar"), at="ElectionOpened"
    ),
    "a registrar's key has the ROCA fingerprint": Attack("signatures", "WeakKey", weak_registrar, at="ElectionOpened"),
    "a trustee's primes are neighbours": Attack(
        "signatures", "WeakKey", lambda log: defined(trustees=trustee_of(close_primes()))(log), at="ElectionOpened"
    ),
    "a definition uses one key for two purposes": Attack(
        "structure", "MalformedDefinition", key_twice, at="ElectionOpened"
    ),
    "a definition is spelt otherwise": Attack("structure", "MalformedDefinition", spelt_otherwise, at="ElectionOpened"),
    "a definition is for another ledger": Attack(
        "ballots", "WrongLedger", defined(genesis="00" * 32), at="ElectionOpened"
    ),
    "a definition is exchanged": Attack("ballots", "WrongElection", definition_changed, at="ElectionOpened"),
    "a definition has another roll": Attack(
        "ballots", "RollRootDiffers", edit("RollFrozen", 0, root=bytes(32)), at="RollFrozen"
    ),
    "the roll is exchanged": Attack("ballots", "RollRootDiffers", roll_swapped, at="RollFrozen"),
    "a voter is left off the frozen roll": Attack(
        "ballots", "RollDiffers", lambda log: frozen(log, leaves_of(log)[1:]), at="RollFrozen"
    ),
    "a stranger is put on the frozen roll": Attack(
        "ballots",
        "RollDiffers",
        lambda log: frozen(log, sorted([*leaves_of(log), roll_leaf(bytes(16), 1, bytes(32))])),
        at="RollFrozen",
    ),
    "a voter's weight is raised": Attack("ballots", "RollDiffers", heavier, at="RollFrozen"),
    "a voter is on the roll twice": Attack(
        "ballots",
        "VoterTwiceOnRoll",
        lambda log: frozen(log, sorted([*leaves_of(log), roll_leaf(VOTERS[0].id, 1, bytes(32))])),
        at="RollFrozen",
    ),
    "the roll is out of order": Attack(
        "ballots", "RollUnsorted", lambda log: frozen(log, leaves_of(log)[::-1]), at="RollFrozen"
    ),
    "a leaf of the roll is malformed": Attack(
        "structure", "MalformedEvent", lambda log: frozen(log, sorted([*leaves_of(log), b"leaf"])), at="RollFrozen"
    ),
    "the roll grows after it was frozen": Attack(
        "ballots", "ChangedAfterFreeze", insert("RollFrozen", again("VotersAdded")), at="VotersAdded"
    ),
    "the trustees are exchanged": Attack(
        "ballots", "TrusteesDiffer", insert("VotersAdded", invited(), other_trustee()), at="ElectionOpened"
    ),
    "a trustee is skipped": Attack(
        "ballots", "TrusteeMisnumbered", insert("VotersAdded", invited(), other_trustee(2)), at="TrusteeEnrolled"
    ),
    "a trustee's key is enrolled without its holder": Attack(
        "signatures",
        "TrusteeKeyProof",
        insert("VotersAdded", invited(), other_trustee(proof=bytes(384))),
        at="TrusteeEnrolled",
    ),
    "a trustee is not invited": Attack(
        "ballots", "TrusteeNotInvited", among_trustees(one_less("TrusteeInvited", 0)), at="TrusteeEnrolled"
    ),
    "a trustee enrols in another's place": Attack(
        "ballots",
        "TrusteeNotInvited",
        among_trustees(edit("TrusteeInvited", 0, name="Another")),
        at="TrusteeEnrolled",
    ),
    "a trustee is left out": Attack(
        "ballots", "TrusteeMissing", among_trustees(one_less("TrusteeEnrolled", 2)), at="ElectionOpened"
    ),
    "a trustee who withdrew is in the definition": Attack(
        "ballots", "TrusteesDiffer", among_trustees(insert("TrusteeEnrolled", withdrawn(True))), at="ElectionOpened"
    ),
    "a trustee is withdrawn wrongly": Attack(
        "ballots",
        "TrusteeWithdrawnWrongly",
        among_trustees(insert("TrusteeEnrolled", withdrawn(False))),
        at="TrusteeWithdrawn",
    ),
    "fewer trustees are needed than more than half": Attack(
        "ballots", "ThresholdDiffers", among_trustees(lambda log: seal_drafts(redefined(log, k=1))), at="ElectionOpened"
    ),
    "fewer trustees are needed than the draft says": Attack(
        "ballots", "ThresholdDiffers", among_trustees(drafted_with(3)), at="ElectionOpened"
    ),
    "one key is enrolled for two trustees": Attack(
        "signatures",
        "KeyReused",
        among_trustees(edit("TrusteeEnrolled", 1, n=modulus("trustee"))),
        at="TrusteeEnrolled",
    ),
    "an election is drafted twice": Attack(
        "ballots", "DraftedTwice", insert("ElectionDrafted", again("ElectionDrafted")), at="ElectionDrafted"
    ),
    "an election is opened twice": Attack(
        "ballots", "OpenedWrongly", insert("ElectionOpened", again("ElectionOpened")), at="ElectionOpened"
    ),
    "an open election is started": Attack(
        "ballots", "StartedWrongly", insert("ElectionOpened", event("ElectionStarted")), at="ElectionStarted"
    ),
    "an election is started before its time": Attack("ballots", "StartedTooEarly", another_start, at="ElectionStarted"),
    "an election comes from nowhere": Attack(
        "ballots", "UnknownElection", without("ElectionDrafted"), at="VotersAdded"
    ),
    "a request is forged": Attack(
        "signatures", "IssueSignature", forge("CredentialIssued", "identity_sig"), at="CredentialIssued"
    ),
    "a request is another voter's": Attack(
        "signatures", "IssueSignature", swap("CredentialIssued", "identity_sig"), at="CredentialIssued"
    ),
    "a request is replayed in another election": Attack(
        "signatures", "IssueSignature", request_replayed, at="CredentialIssued"
    ),
    "a request is for another election's id": Attack(
        "ballots", "WrongElection", edit("CredentialIssued", 0, eid=bytes(32)), at="CredentialIssued"
    ),
    "a blind signature is forged": Attack(
        "signatures", "BlindSignature", forge("CredentialIssued", "blind_sig"), at="CredentialIssued"
    ),
    "a blind signature is another's": Attack(
        "signatures", "BlindSignature", swap("CredentialIssued", "blind_sig"), at="CredentialIssued"
    ),
    "a voter is not on the roll": Attack(
        "ballots", "NotOnRoll", edit("CredentialIssued", 0, voter=bytes(16)), at="CredentialIssued"
    ),
    "a voter has a weight without a key": Attack("ballots", "NoRegistrar", unknown_weight, at="CredentialIssued"),
    "a voter gets two credentials": Attack(
        "ballots", "IssuedTwice", insert("CredentialIssued", issued_again), at="CredentialIssued"
    ),
    "a credential is issued after the close": Attack(
        "ballots", "IssuedOutsideElection", insert("ElectionClosed", issued_again), at="CredentialIssued"
    ),
    "the identity key in force is another": Attack(
        "ballots", "WrongIdentityKey", insert("RollFrozen", identity_replaced), at="CredentialIssued"
    ),
    "a kind is made up": Attack(
        "structure", "UnknownKind", insert("TermOpened", lambda log: Draft("VotesMoved", {})), at="VotesMoved"
    ),
    "a payload lacks a field": Attack(
        "structure",
        "MalformedEvent",
        insert("TermOpened", lambda log: Draft("RoleGranted", {"user": bytes(16)})),
        at="RoleGranted",
    ),
    "a field has the wrong length": Attack(
        "structure",
        "MalformedEvent",
        lambda log: edit("IdentityKeyEnrolled", 0, n=flipped(bytes(383)))(log),
        at="IdentityKeyEnrolled",
    ),
}
