"""Who belongs to the cluster: read strictly out of an entry, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ballot.ledger.membership import ChangeRefused, Membership, MembershipError, membership_of
from ballot.ledger.raft.messages import Conf
from tests.support.chain import ORIGIN, membership, node_record

LEARNING = Membership(ORIGIN, (node_record(1), node_record(2, voter=False), node_record(3)))


def test_a_list_of_nodes_comes_back_from_its_fields() -> None:
    assert membership_of(LEARNING.to_fields()) == LEARNING


def test_learners_receive_the_log_and_neither_vote_nor_sign() -> None:
    assert LEARNING.conf == Conf((1, 3), (2,))
    assert [member.name for member in LEARNING.members] == [f"{ORIGIN}/node1", f"{ORIGIN}/node3"]


def test_a_node_is_found_by_its_id() -> None:
    assert LEARNING.node(3) == node_record(3)
    with pytest.raises(MembershipError, match="node 4"):
        LEARNING.node(4)


def with_node(**changes: Any) -> Callable[[], dict[str, Any]]:
    """Fields of three nodes, the second of them changed."""

    def make() -> dict[str, Any]:
        fields = membership().to_fields()
        fields["nodes"][1] |= changes
        return fields

    return make


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(dict, id="nothing"),
        pytest.param(lambda: {"origin": ORIGIN, "nodes": []}, id="no node"),
        pytest.param(lambda: {"origin": ORIGIN, "nodes": 3}, id="nodes no list"),
        pytest.param(lambda: {"origin": ORIGIN, "nodes": [1]}, id="node no map"),
        pytest.param(lambda: membership().to_fields() | {"origin": 5}, id="origin no text"),
        pytest.param(lambda: {"nodes": membership().to_fields()["nodes"]}, id="no origin"),
        pytest.param(with_node(id=1), id="an id twice"),
        pytest.param(with_node(id=0), id="id 0"),
        pytest.param(with_node(id="2"), id="id text"),
        pytest.param(with_node(id=2.0), id="id float"),
        pytest.param(with_node(name=f"{ORIGIN}/node1"), id="a name twice"),
        pytest.param(with_node(name="node two"), id="name with a space"),
        pytest.param(with_node(name=""), id="no name"),
        pytest.param(with_node(name=2), id="name a number"),
        pytest.param(with_node(ed25519=bytes([1]) * 32), id="a key twice"),
        pytest.param(with_node(ed25519=bytes(31)), id="short ed25519"),
        pytest.param(with_node(ed25519=32), id="ed25519 a number"),
        pytest.param(with_node(rsa=bytes(385)), id="long rsa"),
        pytest.param(with_node(rsa=384), id="rsa a number"),
        pytest.param(with_node(voter="no"), id="voter text"),
        pytest.param(with_node(voter=None), id="voter nothing"),
    ],
)
def test_a_malformed_list_is_refused(fields: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(MembershipError):
        membership_of(fields())


def test_a_cluster_without_a_voter_is_refused() -> None:
    with pytest.raises(MembershipError):
        membership_of(Membership(ORIGIN, (node_record(1, voter=False),)).to_fields())


def test_members_come_as_learners_vote_later_and_go_for_good() -> None:
    newcomer = replace(node_record(4), address="db4.example:7100")
    with_learner = membership().with_learner(newcomer)
    assert with_learner.conf == Conf((1, 2, 3), (4,))
    with_voter = with_learner.with_voter(4)
    assert with_voter.conf == Conf((1, 2, 3, 4))
    assert with_voter.node(4) == newcomer
    without = with_voter.without(4)
    assert without.conf == Conf((1, 2, 3))
    assert without.was_removed(4)
    assert not without.was_removed(5)
    for after in (with_learner, with_voter, without):
        assert membership_of(after.to_fields()) == after
    with pytest.raises(ChangeRefused, match="take 5"):
        without.with_learner(newcomer)
    assert without.with_learner(node_record(5)).highest_id == 5


def test_changes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ChangeRefused, match="node 4 is not a member"):
        membership().with_voter(4)
    with pytest.raises(ChangeRefused, match="node 4 is not a member"):
        membership().without(4)
    with pytest.raises(ChangeRefused, match="no voter"):
        membership(1).without(1)
    with pytest.raises(ChangeRefused, match="twice"):
        membership().with_learner(replace(node_record(4), ed25519=node_record(1).ed25519))
    with pytest.raises(ChangeRefused, match="no voter"):
        LEARNING.without(1).without(3)


def test_an_id_above_the_last_one_given_is_malformed() -> None:
    with pytest.raises(MembershipError, match="above the last one"):
        membership_of(membership().to_fields() | {"last_id": 2})
