"""Cosigning: a majority of the voters makes a checkpoint, and no node ever signs what it should not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ballot.ledger.checkpoint import Checkpoint, CheckpointError, cosign, verify_note
from ballot.ledger.cosign import ROUND_TIMEOUT_S, Cosigner
from ballot.ledger.membership import Membership
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.settings import NodeKeys
from tests.support.chain import ORIGIN
from tests.support.keys import long_key, node_key, real_members

Told = tuple[int, str, Any, int]


def tree(size: int, salt: bytes = b"") -> Tree:
    grown = Tree()
    for number in range(size):
        grown.append(leaf_hash(salt + number.to_bytes(4, "big")))
    return grown


class Cluster:
    """Cosigners with a network under full control; node 1 leads."""

    def __init__(self, voters: int = 3, learners: int = 0) -> None:
        self.membership = real_members(voters, learners)
        self.told: list[Told] = []
        self.notes: dict[int, list[tuple[Checkpoint, bytes]]] = {}
        self.trees: dict[int, Tree] = {}
        self.nodes: dict[int, Cosigner] = {}
        for record in self.membership.nodes:
            self._add(record.id)

    def _add(self, number: int) -> None:
        self.notes[number] = []
        self.trees[number] = Tree()
        self.nodes[number] = Cosigner(
            number,
            NodeKeys(node_key(number), long_key(1)),
            self.membership,
            lambda topic, body, peer: self._tell(number, topic, body, peer),
            lambda checkpoint, note: self.notes[number].append((checkpoint, note)),
        )

    def _tell(self, sender: int, topic: str, body: Any, peer: int) -> None:
        receivers = [peer] if peer else [number for number in self.nodes if number != sender]
        self.told += [(sender, topic, body, receiver) for receiver in receivers]

    @property
    def leader(self) -> Cosigner:
        return self.nodes[1]

    def apply(self, size: int, *numbers: int) -> None:
        for number in numbers or self.nodes:
            self.trees[number] = tree(size)
            self.nodes[number].on_applied(size, self.trees[number])

    def want(self, size: int, commit: int = 0) -> None:
        self.leader.want(size)
        self.leader.advance(commit or size, self.trees[1])

    def deliver(self, *, drop: Callable[[Told], bool] = lambda told: False) -> None:
        while self.told:
            self.deliver_one(drop=drop)

    def deliver_one(self, *, drop: Callable[[Told], bool] = lambda told: False) -> None:
        told = self.told.pop(0)
        sender, topic, body, receiver = told
        if drop(told):
            return
        node = self.nodes[receiver]
        if topic == "sign":
            node.on_sign(sender, body, self.trees[receiver])
        elif topic == "signed":
            size, root, line = body
            node.on_signed(sender, size, root, line, self.trees[receiver])
        else:
            node.on_note(body)

    def sizes(self, number: int) -> list[int]:
        return [checkpoint.size for checkpoint, _ in self.notes[number]]


def from_or_to(*numbers: int) -> Callable[[Told], bool]:
    return lambda told: told[0] in numbers or told[3] in numbers


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, in a list that a test may change."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("voters", [1, 2, 3, 5])
def test_all_nodes_get_one_checkpoint_that_verifies(voters: int) -> None:
    cluster = Cluster(voters)
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver()
    for number in cluster.nodes:
        [(checkpoint, note)] = cluster.notes[number]
        assert checkpoint == Checkpoint(ORIGIN, 10, tree(10).root())
        assert verify_note(note, ORIGIN, cluster.membership.members) == checkpoint


def test_a_majority_is_enough_and_less_is_not() -> None:
    cluster = Cluster(5)
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver(drop=from_or_to(3, 4, 5))
    assert cluster.notes[1] == []
    cluster.nodes[3].on_sign(1, 10, cluster.trees[3])
    cluster.deliver(drop=from_or_to(4, 5))
    assert cluster.sizes(1) == cluster.sizes(2) == cluster.sizes(3) == [10]
    note = cluster.notes[1][0][1]
    assert verify_note(note, ORIGIN, cluster.membership.members).size == 10


def test_a_learner_signs_but_does_not_count() -> None:
    cluster = Cluster(voters=3, learners=2)
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver(drop=from_or_to(2, 3))
    assert cluster.notes[1] == []
    cluster.nodes[2].on_sign(1, 10, cluster.trees[2])
    cluster.deliver()
    assert cluster.sizes(5) == [10]
    assert verify_note(cluster.notes[5][0][1], ORIGIN, cluster.membership.members).size == 10


def test_a_line_of_a_node_that_is_no_member_never_counts() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    stranger = cosign(node_key(9), f"{ORIGIN}/node9", Checkpoint(ORIGIN, 10, tree(10).root()), 1)
    cluster.leader.on_signed(9, 10, tree(10).root(), stranger, cluster.trees[1])
    assert cluster.notes[1] == []


def test_a_peer_with_another_root_never_counts() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.trees[2] = cluster.trees[3] = tree(10, b"forked")
    cluster.want(10)
    cluster.deliver()
    assert cluster.notes == {1: [], 2: [], 3: []}


def test_a_line_under_another_nodes_name_or_root_or_size_never_counts() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    root = tree(10).root()
    for signer, checkpoint in (
        (3, Checkpoint(ORIGIN, 10, root)),
        (2, Checkpoint(ORIGIN, 9, root)),
        (2, Checkpoint(ORIGIN, 10, bytes(32))),
        (2, Checkpoint("another", 10, root)),
    ):
        line = cosign(node_key(signer), f"{ORIGIN}/node{signer}", checkpoint, 1)
        cluster.leader.on_signed(2, 10, root, line, cluster.trees[1])
    cluster.leader.on_signed(2, 10, root, "no line at all", cluster.trees[1])
    line = cosign(node_key(2), f"{ORIGIN}/node2", Checkpoint(ORIGIN, 9, tree(9).root()), 1)
    cluster.leader.on_signed(2, 9, tree(9).root(), line, cluster.trees[1])
    assert cluster.notes[1] == []


def test_one_peer_counts_once_however_often_it_signs() -> None:
    cluster = Cluster(5)
    cluster.apply(10)
    cluster.want(10)
    for _ in range(4):
        cluster.nodes[2].on_sign(1, 10, cluster.trees[2])
    cluster.deliver(drop=from_or_to(3, 4, 5))
    assert cluster.notes[1] == []


def test_lines_that_arrive_before_the_leader_applied_are_kept() -> None:
    cluster = Cluster()
    cluster.apply(10, 2, 3)
    cluster.want(10)
    cluster.deliver()
    assert cluster.notes[1] == []
    cluster.apply(10, 1)
    cluster.deliver()
    assert [cluster.sizes(number) for number in (1, 2, 3)] == [[10]] * 3


def test_an_early_line_with_another_root_never_counts() -> None:
    cluster = Cluster()
    cluster.apply(10, 2, 3)
    cluster.trees[2] = cluster.trees[3] = tree(10, b"forked")
    cluster.want(10)
    cluster.deliver()
    cluster.apply(10, 1)
    assert cluster.notes[1] == []


def test_nobody_signs_beyond_what_it_has_applied() -> None:
    """Its tree may be ahead by the batch that is being written."""
    cluster = Cluster()
    for number in cluster.nodes:
        cluster.nodes[number].on_applied(9, tree(9))
        cluster.trees[number] = tree(12)
    cluster.want(10)
    cluster.deliver()
    assert [node.signed_size for node in cluster.nodes.values()] == [0, 0, 0]
    cluster.apply(10)
    cluster.deliver()
    assert [cluster.sizes(number) for number in (1, 2, 3)] == [[10]] * 3


def test_nobody_signs_a_tree_smaller_than_its_last() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.nodes[2].restore(10, 11, 0)
    cluster.nodes[3].restore(10, 10, 0)
    cluster.nodes[2].on_sign(1, 10, tree(10))
    assert cluster.told == []
    cluster.nodes[3].on_sign(1, 9, tree(10))
    assert cluster.told == []
    cluster.nodes[3].on_sign(1, 10, tree(10))
    assert [topic for _, topic, _, _ in cluster.told] == ["signed"]


def test_a_leader_does_not_sign_a_tree_smaller_than_its_last_either() -> None:
    cluster = Cluster(1)
    cluster.apply(10)
    cluster.leader.restore(10, 11, 0)
    cluster.want(10)
    assert cluster.notes[1] == []


def test_a_node_that_raised_the_alarm_signs_no_more() -> None:
    cluster = Cluster()
    cluster.apply(10)
    for number in (2, 3):
        cluster.nodes[number].alarm = "a committed ballot does not verify"
    cluster.want(10)
    cluster.deliver()
    assert cluster.notes[1] == []


# -- rounds


def test_nothing_is_signed_that_nobody_wants_or_that_is_not_committed() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.leader.advance(10, cluster.trees[1])
    assert cluster.told == []
    cluster.want(11, commit=10)
    assert cluster.told == []


def test_a_checkpoint_covers_all_that_is_committed() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(7, commit=10)
    cluster.deliver()
    assert cluster.sizes(1) == [10]
    cluster.want(9, commit=10)
    assert [topic for _, topic, _, _ in cluster.told] != ["sign", "sign"]


def test_what_is_wanted_during_a_round_is_covered_by_the_next() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    cluster.apply(12)
    cluster.want(12)
    assert [body for _, topic, body, _ in cluster.told if topic == "sign"] == [10, 10]
    cluster.deliver()
    cluster.leader.advance(12, cluster.trees[1])
    cluster.deliver()
    assert cluster.sizes(1) == cluster.sizes(3) == [10, 12]


def test_a_hung_round_is_repeated(now: list[float]) -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    cluster.told.clear()
    now[0] += ROUND_TIMEOUT_S / 2
    cluster.leader.advance(10, cluster.trees[1])
    assert cluster.told == []
    now[0] += ROUND_TIMEOUT_S
    cluster.leader.advance(10, cluster.trees[1])
    cluster.deliver()
    assert cluster.sizes(1) == [10]


def test_a_hung_round_keeps_its_size_so_that_slow_peers_can_ever_answer(now: list[float]) -> None:
    """Peers that apply half a second behind a growing log would never sign a size that grows as well."""
    cluster = Cluster()
    cluster.apply(10, 1)
    cluster.want(10)
    for size in (20, 30, 40):
        cluster.deliver()
        now[0] += ROUND_TIMEOUT_S * 1.1
        cluster.apply(size, 1)
        cluster.want(size)
        cluster.apply(size - 15, 2, 3)
    cluster.deliver()
    assert cluster.sizes(1)[:1] == [10]


def test_a_line_of_a_hung_round_still_counts_when_it_is_repeated(now: list[float]) -> None:
    cluster = Cluster(5)
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver(drop=from_or_to(3, 4, 5))
    now[0] += ROUND_TIMEOUT_S * 2
    cluster.leader.advance(10, cluster.trees[1])
    cluster.deliver(drop=from_or_to(2, 4, 5))
    assert cluster.sizes(1) == [10]


def test_lines_for_a_round_that_was_abandoned_are_passed_over() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    cluster.leader.abandon()
    cluster.deliver()
    assert cluster.notes[1] == []


def test_a_new_leaders_round_starts_anew() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    cluster.leader.abandon()
    cluster.told.clear()
    cluster.nodes[2].want(10)
    cluster.nodes[2].advance(10, cluster.trees[2])
    cluster.deliver()
    assert [cluster.sizes(number) for number in (1, 2, 3)] == [[10]] * 3


def test_a_checkpoint_that_a_peer_missed_is_told_again_when_it_is_wanted_again() -> None:
    """A follower that lost the note could otherwise give no receipt until something else is recorded."""
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver(drop=lambda told: told[1] == "note" and told[3] == 3)
    assert cluster.sizes(2) == [10]
    assert cluster.sizes(3) == []
    cluster.want(10)
    cluster.deliver()
    assert [cluster.sizes(number) for number in (1, 2, 3)] == [[10]] * 3


def test_a_checkpoint_that_covers_an_entry_is_given_or_wanted() -> None:
    cluster = Cluster()
    cluster.apply(10)
    assert cluster.leader.covering(9) == b""
    cluster.leader.advance(10, cluster.trees[1])
    cluster.deliver()
    note = cluster.leader.covering(9)
    assert verify_note(note, ORIGIN, cluster.membership.members).size == 10
    assert cluster.leader.covering(11) == b""


# -- checkpoints from others


def test_a_checkpoint_is_believed_only_as_far_as_its_signatures_go() -> None:
    cluster = Cluster()
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver()
    note = cluster.notes[1][0][1]
    lines = note.split(b"\n")
    follower = Cluster().nodes[2]
    believed: list[int] = []
    follower._on_note = lambda checkpoint, _: believed.append(checkpoint.size)
    for bad in (b"", note[:-1], note.replace(b"\n10\n", b"\n11\n"), b"\n".join([*lines[:4], *lines[6:]])):
        with pytest.raises(CheckpointError):
            verify_note(bad, ORIGIN, cluster.membership.members)
        follower.on_note(bad)
    assert believed == []
    follower.on_note(note)
    assert believed == [10]


def test_an_older_checkpoint_does_not_replace_a_newer_one() -> None:
    cluster = Cluster()
    for size in (10, 12):
        cluster.apply(size)
        cluster.want(size)
        cluster.deliver()
    older = cluster.notes[1][0][1]
    cluster.nodes[2].on_note(older)
    assert cluster.sizes(2) == [10, 12]
    assert cluster.nodes[2].noted_size == 12


def test_a_round_that_members_change_under_is_begun_anew_with_the_new_ones() -> None:
    cluster = Cluster(3)
    cluster.apply(10, 1)
    cluster.want(10)
    cluster.told.clear()
    after = Membership(ORIGIN, real_members(2).nodes)
    cluster.leader.follow(after)
    cluster.leader.on_signed(2, 10, tree(10).root(), "", cluster.trees[1])
    assert cluster.notes[1] == []
    cluster.leader.advance(11, cluster.trees[1])
    for node in (2, 3):
        cluster.nodes[node].follow(after)
    cluster.apply(11)
    cluster.deliver()
    [(checkpoint, note)] = cluster.notes[1]
    assert verify_note(note, ORIGIN, after.members) == checkpoint == Checkpoint(ORIGIN, 11, tree(11).root())


def test_who_is_no_member_yet_signs_nothing_and_keeps_a_note_until_it_knows_who_signed_it() -> None:
    cluster = Cluster(3)
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver()
    note = cluster.notes[1][0][1]
    newcomer = cluster.nodes[3]
    believed: list[int] = []
    newcomer._on_note = lambda checkpoint, _: believed.append(checkpoint.size)
    newcomer.restore(4, 0, 0)
    newcomer.follow(Membership(ORIGIN, (cluster.membership.nodes[1],)))
    assert newcomer._sign(4, tree(4)) is None
    newcomer.on_note(note)
    assert believed == []
    newcomer.follow(cluster.membership)
    newcomer.on_applied(10, tree(10))
    assert believed == [10]


# -- whether a node that caught up has the tree that a majority signed


def caught_up() -> Cluster:
    """Nodes 1 to 3 have a checkpoint of ten entries; learner 4 has applied none of them."""
    cluster = Cluster(3, learners=1)
    cluster.apply(10, 1, 2, 3)
    cluster.want(10)
    cluster.deliver()
    assert cluster.sizes(1) == [10]
    return cluster


def test_a_learner_agrees_once_it_has_applied_what_a_majority_signed_and_signed_it_too() -> None:
    cluster = caught_up()
    assert not cluster.leader.agrees(4)
    cluster.apply(9, 4)
    cluster.deliver()
    assert not cluster.leader.agrees(4)
    cluster.apply(10, 4)
    cluster.deliver()
    assert cluster.leader.agrees(4)
    assert cluster.sizes(1) == [10], "its signature makes no checkpoint"


def test_a_learner_that_was_away_when_the_others_signed_is_asked() -> None:
    cluster = Cluster(3, learners=1)
    cluster.apply(10)
    cluster.want(10)
    cluster.deliver(drop=from_or_to(4))
    assert not cluster.leader.agrees(4)
    cluster.leader.ask(4)
    cluster.deliver()
    assert cluster.leader.agrees(4)


def test_a_signature_of_a_round_long_over_shows_it_as_well() -> None:
    cluster = caught_up()
    cluster.apply(20, 1, 2, 3)
    cluster.want(20)
    cluster.deliver(drop=from_or_to(4))
    cluster.apply(10, 4)
    cluster.deliver()
    assert cluster.leader.agrees(4)


def test_a_learner_with_another_tree_does_not_agree() -> None:
    cluster = caught_up()
    cluster.trees[4] = tree(10, b"other")
    cluster.nodes[4].on_applied(10, cluster.trees[4])
    assert cluster.told
    cluster.deliver()
    assert not cluster.leader.agrees(4)


def test_what_no_majority_has_signed_yet_shows_nothing() -> None:
    cluster = Cluster(3, learners=1)
    cluster.apply(10, 1, 4)
    cluster.want(10)
    cluster.deliver(drop=from_or_to(2, 3))
    assert not cluster.leader.agrees(4)
    cluster.apply(10, 2, 3)
    cluster.leader.advance(10, cluster.trees[1])
    cluster.nodes[2].on_sign(1, 10, cluster.trees[2])
    cluster.deliver()
    assert cluster.leader.agrees(4)


@pytest.mark.parametrize("lose", [lambda leader: leader.forget(4), lambda leader: leader.abandon()], ids=["4", "lead"])
def test_whoever_comes_back_or_leads_anew_must_see_it_again(lose: Callable[[Cosigner], None]) -> None:
    cluster = caught_up()
    cluster.apply(10, 4)
    cluster.deliver()
    lose(cluster.leader)
    assert not cluster.leader.agrees(4)
    cluster.leader.ask(4)
    cluster.deliver()
    assert cluster.leader.agrees(4)
