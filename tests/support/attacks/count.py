"""Attacks by insiders and trustees on released keys, seeds, count and attestations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ballot.ledger import rsa
from ballot.ledger.frame import frame, u32, u64
from ballot.replay.export import Record
from ballot.voting import document
from ballot.voting.ballot import parse_ballot
from tests.support.attacks.base import (
    Attack,
    Drafts,
    Make,
    again,
    attested_by,
    boarded,
    by_name,
    edit,
    flipped,
    forge,
    insert,
    recast,
    recounted,
    without,
)
from tests.support.log_builder import Draft, ElectionLog, key, seal_drafts

RELEASED, SEEDS, TALLY, ATTESTED = "TrusteeKeyReleased", "TallySeeds", "TallyPublished", "TallyAttested"


def envelope_copied(log: ElectionLog) -> list[Record]:
    """The first voter's ballot is a copy of the second's, under the first's own key, and comes with the second's seed:
    it does not open.
    """
    copy = recast(log, envelope=parse_ballot(log.bodies[1]).envelope)
    bodies = [copy, *log.bodies[1:]]
    drafts = recounted(log, boarded(log, bodies), bodies)
    place = next(place for place, draft in enumerate(drafts) if draft.kind == SEEDS)
    seeds = list(drafts[place].public["seeds"])
    seeds[by_name(bodies).index(copy)] = hashlib.sha256(b"seed 1").digest()
    drafts[place] = drafts[place].but(seeds=seeds)
    return seal_drafts(drafts)


# -- keys


def primes_of(name: str) -> tuple[bytes, bytes]:
    numbers = key(name).private_numbers()
    larger, smaller = sorted((numbers.p, numbers.q), reverse=True)
    return larger.to_bytes(192, "big"), smaller.to_bytes(192, "big")


def released_wrong_primes(log: ElectionLog) -> list[Record]:
    p, q = primes_of("registrar")
    return edit(RELEASED, 0, p=p, q=q)(log)


def released_in_other_order(log: ElectionLog) -> list[Record]:
    p, q = primes_of("trustee")
    return edit(RELEASED, 0, p=q, q=p)(log)


def released_for(size: int | None, true_root: bool) -> Callable[[ElectionLog], list[Record]]:
    """The trustee signs for the tree of so many entries (None: all before), or for a root that is not its root."""

    def make(log: ElectionLog) -> list[Record]:
        place = log.find(RELEASED)
        count = size or place
        root = log.sealer.tree.root(count) if true_root else bytes(32)
        signature = rsa.sign(key("trustee"), frame("release", log.eid, u64(count), root))
        return edit(RELEASED, 0, size=count, root=root, signature=signature)(log)

    return make


def release_replayed(log: ElectionLog) -> list[Record]:
    """The trustee released its key in another election."""
    said = log.drafts[log.find(RELEASED)].public
    signature = rsa.sign(key("trustee"), frame("release", bytes(32), u64(said["size"]), said["root"]))
    return edit(RELEASED, 0, signature=signature)(log)


# -- seeds


def seeds_of(log: ElectionLog) -> list[bytes]:
    return list(log.drafts[log.find(SEEDS)].public["seeds"])


def seeds_swapped(log: ElectionLog) -> list[Record]:
    return edit(SEEDS, 0, seeds=[seed and flipped(seed) for seed in seeds_of(log)])(log)


def one_seed(log: ElectionLog, seed: bytes) -> list[Record]:
    """The first valid ballot has this seed."""
    seeds = seeds_of(log)
    valid = next(number for number, seed in enumerate(seeds) if seed)
    return edit(SEEDS, 0, seeds=[*seeds[:valid], seed, *seeds[valid + 1 :]])(log)


def seeded_invalid(log: ElectionLog) -> list[Record]:
    """The seed is right, and opens to what is no choice."""
    right = hashlib.sha256(b"seed 2").digest()
    return edit(SEEDS, 0, seeds=[seed or right for seed in seeds_of(log)])(log)


def seeds_unfinished(log: ElectionLog) -> list[Record]:
    """The count comes although more seeds were to come."""
    return edit(SEEDS, 0, seeds=seeds_of(log)[:2], last=False)(log)


# -- the count


def tally_of(log: ElectionLog) -> dict[str, Any]:
    value: dict[str, Any] = document.decode(log.drafts[log.find(TALLY)].public["document"])
    return value


def told(log: ElectionLog, value: dict[str, Any]) -> Drafts:
    """The count says something else, and every node attests it."""
    made = document.encode(value)
    drafts = list(log.drafts)
    place = log.find(TALLY)
    drafts[place] = drafts[place].but(document=made)
    for number in range(3):
        place = log.find(ATTESTED, number)
        drafts[place] = drafts[place].but(**attested_by(log, number + 1, made))
    return drafts


def counted(change: Callable[[dict[str, Any]], None]) -> Make:
    """The count document is changed in place."""

    def make(log: ElectionLog) -> list[Record]:
        value = tally_of(log)
        change(value)
        return seal_drafts(told(log, value))

    return make


def one_vote_moves(value: dict[str, Any]) -> None:
    votes = value["questions"][0]["rounds"][0]["votes"]
    votes["0"], votes["1"] = votes["1"], votes["0"]


def other_tally_drafts(log: ElectionLog) -> Drafts:
    value = tally_of(log)
    one_vote_moves(value)
    return told(log, value)


def other_winner(value: dict[str, Any]) -> None:
    value["questions"][0]["winners"] = [1]


def round_left_out(value: dict[str, Any]) -> None:
    value["questions"][0]["rounds"] = []


def lot_chosen(value: dict[str, Any]) -> None:
    value["lot"] = "00" * 32


def invalid_counted(value: dict[str, Any]) -> None:
    value["ballots"] |= {"valid": 3, "invalid": 0}
    value["weights"] = {"1": 3}


def other_election(value: dict[str, Any]) -> None:
    value["election"] = "00" * 32


def garbage_count(log: ElectionLog) -> list[Record]:
    return edit(TALLY, 0, document=b"garbage")(log)


def seed_kept_back(log: ElectionLog) -> list[Record]:
    """A valid ballot is called invalid, its seed left empty, and it is not counted."""
    seeds = seeds_of(log)
    valid = next(number for number, seed in enumerate(seeds) if seed)
    drafts = list(log.drafts)
    place, tally = log.find(SEEDS), log.find(TALLY)
    drafts[place] = drafts[place].but(seeds=[b"" if number == valid else seed for number, seed in enumerate(seeds)])
    value = tally_of(log)
    value["ballots"] |= {"valid": 1, "invalid": 2}
    drafts[tally] = drafts[tally].but(document=document.encode(value))
    return seal_drafts(drafts)


# -- attestations


def dissenting(log: ElectionLog) -> dict[str, Any]:
    return attested_by(log, 1, b"another count")


def attestation_replayed(log: ElectionLog) -> list[Record]:
    """A node attested the count of another election."""
    digest = log.drafts[log.find(ATTESTED)].public["digest"]
    signature = rsa.sign(key("node1"), frame("attest", bytes(32), u32(1), digest))
    return edit(ATTESTED, 0, signature=signature)(log)


def attested_by_stranger(log: ElectionLog) -> Draft:
    said = log.drafts[log.find(ATTESTED)]
    signature = rsa.sign(key("node1"), frame("attest", log.eid, u32(9), said.public["digest"]))
    return said.but(node=9, signature=signature)


def attested_for_another(log: ElectionLog) -> list[Record]:
    """Node 1's signature stands under the name of node 2."""
    return edit(ATTESTED, 1, signature=log.drafts[log.find(ATTESTED)].public["signature"])(log)


def dissent(log: ElectionLog) -> list[Record]:
    """A node counts differently and says so."""
    return edit(ATTESTED, 0, **dissenting(log), agrees=False)(log)


COUNT_ATTACKS: dict[str, Attack] = {
    "an envelope is copied, and its seed": Attack("count", "BadSeed", envelope_copied, at=SEEDS),
    "a release is forged": Attack("signatures", "ReleaseSignature", forge(RELEASED, "signature"), at=RELEASED),
    "a release is replayed from another election": Attack(
        "signatures", "ReleaseSignature", release_replayed, at=RELEASED
    ),
    "another key is released": Attack("count", "BadTrusteeKey", released_wrong_primes, at=RELEASED),
    "a key's factors are released in the other order": Attack(
        "count", "BadTrusteeKey", released_in_other_order, at=RELEASED
    ),
    "nobody's key is released": Attack("count", "UnknownTrustee", edit(RELEASED, 0, number=2), at=RELEASED),
    "a key is released before the board": Attack(
        "count", "ReleasedTooEarly", released_for(4, true_root=True), at=RELEASED
    ),
    "a key is released for another log": Attack(
        "count", "ReleaseRootDiffers", released_for(None, true_root=False), at=RELEASED
    ),
    "the keys are kept back": Attack("count", "KeysMissing", without(RELEASED), at=TALLY),
    "keys and seeds are kept back": Attack("count", "CannotRecount", without(RELEASED, SEEDS), at=TALLY),
    "a seed is wrong": Attack("count", "BadSeed", seeds_swapped, at=SEEDS),
    "a seed is left out": Attack(
        "count", "SeedCountDiffers", lambda log: edit(SEEDS, 0, seeds=seeds_of(log)[:2])(log), at=SEEDS
    ),
    "seeds come before the board": Attack("count", "SeedsOutOfOrder", insert("ElectionClosed", again(SEEDS)), at=SEEDS),
    "the count comes before the last seeds": Attack("count", "SeedsOutOfOrder", seeds_unfinished, at=TALLY),
    "a seed is kept back although its ballot counts": Attack(
        "count", "SeedKeptBack", lambda log: one_seed(log, b""), at=SEEDS
    ),
    "an invalid ballot gets a seed": Attack("count", "BadSeed", seeded_invalid, at=SEEDS),
    "a node attests another count": Attack(
        "count",
        "TallyDisputed",
        dissent,
        at=ATTESTED,
    ),
    "a valid ballot is called invalid": Attack("count", "SeedKeptBack", seed_kept_back, at=SEEDS),
    "an invalid ballot is counted": Attack("count", "TallyDiffers", counted(invalid_counted), at=TALLY),
    "a vote moves": Attack("count", "TallyDiffers", counted(one_vote_moves), at=TALLY),
    "the winner is another": Attack("count", "TallyDiffers", counted(other_winner), at=TALLY),
    "a round is left out": Attack("count", "TallyDiffers", counted(round_left_out), at=TALLY),
    "the lot is chosen": Attack("count", "TallyDiffers", counted(lot_chosen), at=TALLY),
    "the count is another election's": Attack("count", "TallyDiffers", counted(other_election), at=TALLY),
    "the count is garbage": Attack("count", "TallyDiffers", garbage_count, at=TALLY),
    "a second count is published": Attack(
        "count", "TalliedTwice", insert(TALLY, again(TALLY, document=b"{}")), at=TALLY
    ),
    "the count comes before the board": Attack(
        "count", "TalliedTooEarly", insert("ElectionClosed", again(TALLY)), at=TALLY
    ),
    "an attestation is forged": Attack(
        "signatures", "AttestationSignature", forge(ATTESTED, "signature", 1), at=ATTESTED
    ),
    "an attestation is replayed from another election": Attack(
        "signatures", "AttestationSignature", attestation_replayed, at=ATTESTED
    ),
    "an attestation is another node's": Attack("signatures", "AttestationSignature", attested_for_another, at=ATTESTED),
    "an attestation hides its dissent": Attack(
        "count",
        "AttestationMisstated",
        lambda log: edit(ATTESTED, 0, **dissenting(log), agrees=True)(log),
        at=ATTESTED,
    ),
    "a node attests twice": Attack("count", "AttestedTwice", insert(ATTESTED, again(ATTESTED)), at=ATTESTED),
    "a node attests before the count": Attack("count", "AttestedTooEarly", insert(SEEDS, again(ATTESTED)), at=ATTESTED),
    "a stranger attests": Attack("count", "UnknownNode", insert(ATTESTED, attested_by_stranger), at=ATTESTED),
}
