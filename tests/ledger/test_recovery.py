"""What a recovery says: whole, strict to read, and nothing in it that the log contradicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ballot.ledger.checkpoint import Checkpoint
from ballot.ledger.decision import Draft
from ballot.ledger.entry import encode_map
from ballot.ledger.membership import ChangeRefused, Membership, MembershipError
from ballot.ledger.raft.messages import Conf
from ballot.ledger.recovery import KIND, Recovery, contradictions, nodes_in_words, plan, recovery_of
from tests.support.chain import ORIGIN, follow, genesis, membership, node_record

BEFORE = Membership(ORIGIN, (*membership(3).nodes, node_record(4, voter=False)), last_id=7)
INDEX = 101


def note(size: int) -> bytes:
    """A checkpoint's text; nobody looks at its signatures here."""
    return Checkpoint(ORIGIN, size, bytes(32)).body() + b"\nsignatures\n"


def planned(evidence: bytes = b"") -> Recovery:
    return plan(BEFORE, 2, last=100, committed=90, checkpoint=80, evidence=evidence)


def test_the_survivor_is_the_only_member_and_no_number_comes_back() -> None:
    recovery = planned()
    assert recovery.members.conf == Conf((2,))
    assert recovery.members.nodes == (node_record(2),)
    assert recovery.lost == (1, 3, 4)
    assert recovery.members.highest_id == 7
    assert recovery.members.was_removed(1) and recovery.members.was_removed(4)


def test_only_a_voter_among_several_survives() -> None:
    for before, survivor, reason in (
        (BEFORE, 4, "not a voter"),
        (BEFORE, 5, "not a voter"),
        (membership(1), 1, "start it as usual"),
        (membership(1).with_learner(node_record(2)), 1, "start it as usual"),
    ):
        with pytest.raises(ChangeRefused, match=reason):
            plan(before, survivor, last=100, committed=90, checkpoint=80, evidence=b"")


@pytest.mark.parametrize("evidence", [b"", note(120)], ids=["nothing", "a checkpoint"])
def test_it_comes_back_from_its_fields(evidence: bytes) -> None:
    recovery = planned(evidence)
    assert recovery_of(recovery.to_fields()) == recovery
    assert contradictions(recovery, BEFORE, INDEX) == []


def test_its_entry_changes_the_configuration() -> None:
    entry = follow(genesis(BEFORE), Draft(KIND, encode_map(planned().to_fields())))
    assert entry.conf == Conf((2,))


def test_what_may_be_missing_is_said_in_words() -> None:
    words = "\n".join(planned(note(120)).in_words())
    assert "entries up to 90 had been recorded by a majority" in words
    assert "entries after 90, up to 100, are kept as node 2 has them" in words
    assert "a majority had signed for 120 entries" in words
    assert "recorded after entry 90, only what node 2 had is left" in words
    certain = replace(planned(), committed=100).in_words()
    assert len(certain) == 2 and "up to 100" in certain[0]
    assert (nodes_in_words([3, 1]), nodes_in_words((2,))) == ("nodes 1, 3", "node 2")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"survivor": 4}, "node 4 was not a voter"),
        ({"survivor": 9}, "node 9 was not a voter"),
        ({"members": membership(3)}, "not the survivor as it was"),
        (
            {"members": Membership(ORIGIN, (replace(node_record(2), ed25519=bytes(32)),), 7)},
            "not the survivor as it was",
        ),
        ({"members": Membership(ORIGIN, (node_record(2),), 3)}, "could come back"),
        ({"lost": (1, 3)}, "not the other members"),
        ({"lost": (1, 3, 4, 5)}, "not the other members"),
        ({"last": 99}, "ended with entry 100, not 99"),
        ({"last": 101}, "ended with entry 100, not 101"),
        ({"committed": 101}, "out of order"),
        ({"committed": 79}, "out of order"),
        ({"checkpoint": -1}, "out of order"),
        ({"missing": 120}, "not what the evidence says"),
        ({"evidence": note(120)}, "not what the evidence says"),
        ({"evidence": note(120), "missing": 121}, "not what the evidence says"),
        ({"evidence": note(80), "missing": 80}, "not what the evidence says"),
        ({"evidence": b"no note", "missing": 120}, "not what the evidence says"),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, Any], problem: str) -> None:
    found = contradictions(replace(planned(), **changes), BEFORE, INDEX)
    assert any(problem in one for one in found), found


def test_a_cluster_of_one_voter_was_never_lost() -> None:
    alone = Membership(ORIGIN, (node_record(2), node_record(4, voter=False)), 7)
    recovery = replace(planned(), lost=(4,))
    assert contradictions(recovery, alone, INDEX) == ["a cluster of one voter has nothing to be recovered from"]


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.pop(name)


@pytest.mark.parametrize(
    "spoil",
    [
        *(
            without(name)
            for name in ("survivor", "lost", "last", "committed", "checkpoint", "missing", "evidence", "nodes")
        ),
        lambda fields: fields.update(survivor="2"),
        lambda fields: fields.update(survivor=True),
        lambda fields: fields.update(lost="13"),
        lambda fields: fields.update(lost=[1, 3.0]),
        lambda fields: fields.update(last=None),
        lambda fields: fields.update(evidence="note"),
    ],
)
def test_a_malformed_recovery_is_refused(spoil: Callable[[dict[str, Any]], object]) -> None:
    fields = planned().to_fields()
    spoil(fields)
    with pytest.raises(MembershipError):
        recovery_of(fields)
