"""Who attests a count: nodes, each with the key that it has now."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ballot.ledger import rsa
from ballot.ledger.decision import Draft, Known, Refusal
from ballot.ledger.entry import encode_map
from ballot.ledger.membership import Membership
from ballot.voting import commands as c
from tests.support.keys import long_key, real_members
from tests.support.life import Ledger, Life, attestation, stuff

LIFE, OTHER = Life(), Life("other")
MEMBERS = real_members(3)


def tallied() -> Ledger:
    made = Ledger()
    made.record_all([*LIFE.people(), *LIFE.drafting(), *LIFE.opening(), *LIFE.voting()])
    made.record_all([LIFE.close(), *LIFE.board(), *map(LIFE.release, LIFE.trustees), LIFE.tally()])
    return made


def attested(node: int, **changes: Any) -> c.AttestTally:
    return msgspec.structs.replace(LIFE.attest(node), **changes)


def refused(made: Ledger, command: c.AnyCommand, name: str) -> None:
    before = len(made.entries)
    decision = made.submit(command)
    assert isinstance(decision, Refusal), decision
    assert decision.name == name
    assert len(made.entries) == before


DIGEST = LIFE.attest(1).digest
FORGED = {
    "made up": attested(1, signature=stuff(384, "made up")),
    "left out": attested(1, signature=b""),
    "of another count": attested(1, digest=hashlib.sha256(b"another count").digest()),
    "another node's": attested(1, signature=LIFE.attest(2).signature),
    "of another election": attested(1, signature=attestation(OTHER.eid, 1, DIGEST)),
    "by another key": attested(1, signature=attestation(LIFE.eid, 1, DIGEST, key=2)),
}


@pytest.mark.parametrize("command", FORGED.values(), ids=FORGED)
def test_an_attestation_that_the_node_did_not_sign_is_refused(command: c.AttestTally) -> None:
    """One that differs makes an election disputed for good, and keeps the node's own one out."""
    made = tallied()
    refused(made, command, "AttestationSignature")
    made.record_all([LIFE.attest(1)])


def test_nobody_but_a_member_attests() -> None:
    refused(tallied(), attested(4), "UnknownNode")


CHANGES = {
    "NodeRemoved": (MEMBERS.without(2), "UnknownNode"),
    "NodeKeyRotated": (
        MEMBERS.with_keys(replace(MEMBERS.node(2), rsa=rsa.modulus(long_key(2)))),
        "AttestationSignature",
    ),
}


@pytest.mark.parametrize(("kind", "after", "refusal"), [(kind, *one) for kind, one in CHANGES.items()], ids=CHANGES)
def test_what_a_change_of_members_took_away_attests_nothing_any_more(
    kind: str, after: Membership, refusal: str
) -> None:
    made = tallied()
    made.record_all([LIFE.attest(1)])
    made.record([Draft(kind, encode_map(after.to_fields()))])
    assert isinstance(made.submit(LIFE.attest(1)), Known), "what is recorded stays"
    refused(made, LIFE.attest(2), refusal)
    made.record_all([LIFE.attest(3)])


def test_a_node_with_a_new_key_attests_with_that_one() -> None:
    made = tallied()
    made.record([Draft("NodeKeyRotated", encode_map(CHANGES["NodeKeyRotated"][0].to_fields()))])
    made.record_all([attested(2, signature=attestation(LIFE.eid, 2, DIGEST, key=2))])
