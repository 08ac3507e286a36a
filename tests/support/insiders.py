"""What insiders can do to seeds, counts and credentials of the election of `log_builder`, sealed anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ballot.replay.export import Record
from ballot.voting import document
from ballot.voting.choice import encode_choice
from tests.support.attacks import edit, with_board
from tests.support.log_builder import (
    ANSWERS,
    VOTERS,
    Draft,
    ElectionLog,
    attestation,
    make_body,
    make_credential,
    seal_drafts,
)

Make = Callable[[ElectionLog], list[Record]]


def minted(log: ElectionLog) -> list[Record]:
    """The registrar's key signs a credential that nobody was issued, and a ballot is cast with it."""
    credential = make_credential(log.eid, VOTERS[4])[2]
    body = make_body(log.definition, log.eid, VOTERS[4], credential, encode_choice(ANSWERS[0]))
    return with_board(log, [*log.bodies, body])


def seeds_of(log: ElectionLog) -> list[bytes]:
    return list(log.drafts[log.find("TallySeeds")].public["seeds"])


def first_valid(log: ElectionLog) -> int:
    """The place on the board of the first ballot that is valid."""
    return next(place for place, seed in enumerate(seeds_of(log)) if seed)


def one_seed(log: ElectionLog, seed: bytes) -> list[Record]:
    """The first valid ballot has this seed."""
    seeds = seeds_of(log)
    seeds[first_valid(log)] = seed
    return edit("TallySeeds", 0, seeds=seeds)(log)


def all_seeds_wrong(log: ElectionLog) -> list[Record]:
    return edit("TallySeeds", 0, seeds=[seed and bytes(32) for seed in seeds_of(log)])(log)


def invalid_seeded(log: ElectionLog) -> list[Record]:
    """The seed of the invalid ballot is given: it is right, and opens to what is no choice."""
    right = hashlib.sha256(b"seed 2").digest()
    return edit("TallySeeds", 0, seeds=[seed or right for seed in seeds_of(log)])(log)


def called_invalid(log: ElectionLog) -> list[Record]:
    """A valid ballot has no seed, and is not counted."""
    seeds = seeds_of(log)
    seeds[first_valid(log)] = b""
    drafts = list(log.drafts)
    place, tally = log.find("TallySeeds"), log.find("TallyPublished")
    drafts[place] = drafts[place].but(seeds=seeds)
    value = document.decode(drafts[tally].public["document"])
    value["ballots"] |= {"valid": 1, "invalid": 2}
    drafts[tally] = drafts[tally].but(document=document.encode(value))
    return seal_drafts(drafts)


def changed_count(log: ElectionLog) -> list[Draft]:
    """One vote moves, and all nodes but the first attest it."""
    drafts = list(log.drafts)
    place = log.find("TallyPublished")
    value = document.decode(drafts[place].public["document"])
    votes = value["questions"][0]["rounds"][0]["votes"]
    votes["0"], votes["1"] = votes["1"], votes["0"]
    made = document.encode(value)
    drafts[place] = drafts[place].but(document=made)
    first = log.find("TallyAttested")
    drafts[first] = drafts[first].but(agrees=False)
    for number in (1, 2):
        place = log.find("TallyAttested", number)
        digest, signature = attestation(log.eid, number + 1, made)
        drafts[place] = drafts[place].but(digest=digest, signature=signature)
    return drafts
