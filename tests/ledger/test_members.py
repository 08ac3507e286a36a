"""Changing members: what the leader agrees to, and what in a node follows the list in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ballot.ledger.clock import Clock
from ballot.ledger.decision import Decision, Draft, Known, Refusal
from ballot.ledger.entry import Entry, encode_map
from ballot.ledger.members import Members, MembersDesk, add_learner, promote, remove, rotate
from ballot.ledger.membership import ANNOUNCED, Membership, NodeRecord, membership_of
from ballot.ledger.raft.core import RaftCore
from ballot.ledger.raft.log import Durable, RaftLog
from ballot.ledger.raft.messages import HardState
from ballot.ledger.settings import Address
from ballot.ledger.transport import Transport
from tests.support.chain import follow, genesis, membership, node_record

NEW = replace(node_record(4), address="db4.example:7100")
ROTATED = replace(node_record(2), ed25519=b"n" * 32, rsa=b"n" * 384, voter=False, address="ignored:1")
TOLD = {2: ("b", 2), 3: ("c", 3)}


class Machine:
    def __init__(self) -> None:
        self.prepared: list[bytes] = []

    async def prepare(self, commands: Sequence[bytes]) -> None:
        self.prepared += commands

    def decide(self, command: bytes, now_us: int) -> Decision:
        return Refusal("Asked", command.decode())

    def proposed(self, entries: Sequence[Entry]) -> None: ...


class Bench:
    """Node 1 of three, with a log that takes whatever is decided."""

    def __init__(self, nodes: int = 3, told: dict[int, Address] | None = None) -> None:
        first = genesis(membership(nodes))
        assert first.conf is not None
        self.log = RaftLog(Durable(HardState(0, 0, 1), [(1, 0)], [(1, first.conf)], [first]))
        self.peers: dict[int, Address] = {}
        self.connected = [2, 3, 4]
        self.match = {4: 1}
        self.commit = 1
        transport = SimpleNamespace(follow=self._follow)
        self.clock = Clock(0)
        self.members = Members(1, TOLD if told is None else told, cast(Transport, transport), self.clock)
        self.members.restore([first])
        self.members.follow(self.log, 1)
        self.machine = Machine()
        self.signed = 1 << 62
        self.agreeing, self.asked = {4}, list[int]()
        self.desk = MembersDesk(cast(RaftCore, self), self.members, self.machine, lambda: self.connected, self)
        self.node = self.applied = 1

    def agrees(self, peer: int) -> bool:
        return peer in self.agreeing

    def ask(self, peer: int) -> None:
        self.asked.append(peer)

    @property
    def leadership(self) -> Any:
        return SimpleNamespace(peers={node: SimpleNamespace(match=match) for node, match in self.match.items()})

    def _follow(self, peers: dict[int, Address], was_removed: Callable[[int], bool]) -> None:
        self.peers, self.was_removed = peers, was_removed

    def covering(self, index: int) -> bytes:
        return b"signed" if index <= self.signed else b""

    def decide(self, command: bytes) -> Decision:
        return self.desk.decide(command, 0)

    def carry_out(self, command: bytes, *, apply: bool = True) -> Entry:
        decision = self.decide(command)
        assert not isinstance(decision, Refusal | Known), decision
        [draft] = decision
        entry = follow(cast(Entry, self.log.last), draft)
        self.log.append([entry])
        self.desk.proposed([entry])
        self.applied = entry.index if apply else entry.index - 1
        self.members.follow(self.log, self.applied)
        return entry

    def change(self, command: bytes, *, apply: bool = True) -> Membership:
        """Announced, signed for, and made."""
        announcement = self.carry_out(command)
        assert announcement.kind == ANNOUNCED
        entry = self.carry_out(command, apply=apply)
        assert entry.fields["announced"] == announcement.index
        return membership_of(entry.fields)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def refused(decision: Decision) -> str:
    assert isinstance(decision, Refusal)
    return f"{decision.name}: {decision.detail}"


def test_other_commands_are_the_machines(bench: Bench) -> None:
    asyncio.run(bench.desk.prepare([b"one", promote(4), b"two"]))
    assert bench.machine.prepared == [b"one", b"two"]
    assert refused(bench.decide(b"one")) == "Asked: one"


def test_a_node_is_added_learns_votes_and_is_removed(bench: Bench) -> None:
    assert bench.change(add_learner(NEW)).conf.learners == (4,)
    assert bench.peers == TOLD | {4: ("db4.example", 7100)}
    assert bench.change(promote(4)).conf.voters == (1, 2, 3, 4)
    assert bench.change(remove(2)).conf.voters == (1, 3, 4)
    assert bench.peers == {3: ("c", 3), 4: ("db4.example", 7100)}


def test_the_same_change_again_is_known_by_its_entry(bench: Bench) -> None:
    bench.change(add_learner(NEW))
    assert bench.decide(add_learner(NEW)) == Known(3)
    bench.change(promote(4))
    assert bench.decide(promote(4)) == Known(5)
    bench.change(remove(4))
    assert bench.decide(remove(4)) == Known(7)


def test_a_change_is_announced_and_made_once_the_members_in_force_signed_for_that(bench: Bench) -> None:
    bench.signed = 1
    announcement = bench.carry_out(add_learner(NEW))
    assert announcement.fields == membership().with_learner(NEW).to_fields() | {"before": 1}
    assert bench.members.current == membership()
    assert bench.decide(add_learner(NEW)) == Known(2), "nobody signed yet"
    bench.signed = 2
    entry = bench.carry_out(add_learner(NEW))
    assert entry.kind == "NodeAdded"
    assert entry.fields == announcement.fields | {"announced": 2, "note": b"signed"}


def test_an_announcement_is_worth_nothing_once_members_changed_otherwise(bench: Bench) -> None:
    bench.carry_out(add_learner(NEW))
    bench.change(remove(3))
    assert bench.carry_out(add_learner(NEW)).fields["before"] == 4, "it is announced anew, for other members"
    rotated = Draft("NodeKeyRotated", encode_map(bench.members.current.to_fields()))
    bench.log.append([follow(cast(Entry, bench.log.last), rotated)])
    assert bench.carry_out(add_learner(NEW)).kind == ANNOUNCED, "also where another leader put the same in force"


def test_two_changes_announced_side_by_side_do_not_disturb_each_other(bench: Bench) -> None:
    bench.carry_out(add_learner(NEW))
    bench.carry_out(remove(3))
    assert bench.carry_out(add_learner(NEW)).kind == "NodeAdded"
    assert bench.carry_out(remove(3)).kind == ANNOUNCED
    assert bench.carry_out(remove(3)).kind == "NodeRemoved"


def test_an_announcement_that_was_overwritten_is_made_again(bench: Bench) -> None:
    bench.carry_out(add_learner(NEW))
    bench.log.truncate(2, 1)
    bench.log.append([follow(genesis(), Draft("Note", encode_map({})), 2)])
    assert bench.carry_out(add_learner(NEW)).kind == ANNOUNCED


def test_what_another_leader_announced_is_announced_again(bench: Bench) -> None:
    bench.log.append([follow(genesis(), Draft(ANNOUNCED, encode_map(membership().with_learner(NEW).to_fields())))])
    assert bench.carry_out(add_learner(NEW)).kind == ANNOUNCED


def test_a_member_gets_new_keys_and_keeps_everything_else(bench: Bench) -> None:
    before = bench.members.current
    after = bench.change(rotate(ROTATED))
    assert after.node(2) == replace(before.node(2), ed25519=ROTATED.ed25519, rsa=ROTATED.rsa)
    assert (after.node(1), after.node(3), after.conf) == (before.node(1), before.node(3), before.conf)
    assert cast(Entry, bench.log.last).kind == "NodeKeyRotated"
    assert bench.decide(rotate(ROTATED)) == Known(3)
    assert bench.peers == TOLD


def test_keys_are_not_given_to_a_stranger_nor_under_another_name_nor_anothers(bench: Bench) -> None:
    assert "node 4 is not a member" in refused(bench.decide(rotate(NEW)))
    assert "is called" in refused(bench.decide(rotate(replace(ROTATED, name="somebody"))))
    assert "twice" in refused(bench.decide(rotate(replace(ROTATED, ed25519=node_record(3).ed25519))))


def test_an_id_does_not_come_back(bench: Bench) -> None:
    bench.change(add_learner(NEW))
    bench.change(remove(4))
    assert "id 4 was used before" in refused(bench.decide(add_learner(NEW)))
    assert "id 1 was used before" in refused(bench.decide(add_learner(replace(NEW, id=1))))


def test_a_learner_votes_only_once_it_has_caught_up(bench: Bench) -> None:
    bench.change(add_learner(NEW))
    bench.commit = 5000
    bench.match[4] = 10
    assert refused(bench.decide(promote(4))) == "NotCaughtUp: node 4 still lacks 4990 of 5000 entries"
    bench.match[4] = 4800
    bench.connected = [2, 3]
    assert refused(bench.decide(promote(4))).startswith("NotCaughtUp"), "it is not there"
    bench.connected = [2, 3, 4]
    bench.commit, bench.match[4] = 10, 0
    assert refused(bench.decide(promote(4))).startswith("NotCaughtUp"), "it has not said a word yet"
    bench.match[4] = 1
    assert bench.change(promote(4)).conf.voters == (1, 2, 3, 4)


def test_nor_before_its_tree_is_the_one_that_a_majority_signed(bench: Bench) -> None:
    bench.change(add_learner(NEW))
    bench.match[4] = bench.commit = 2
    bench.agreeing = set()
    assert refused(bench.decide(promote(4))).startswith("NotCaughtUp: node 4 has not signed")
    assert bench.asked == [4]
    bench.agreeing = {4}
    assert bench.change(promote(4)).conf.voters == (1, 2, 3, 4)


def test_a_change_that_would_leave_no_majority_is_refused(bench: Bench) -> None:
    bench.connected = [2]
    bench.change(add_learner(NEW))
    assert "while 3 cannot be reached" in refused(bench.decide(remove(2)))
    assert bench.change(remove(3)).conf.voters == (1, 2), "the one that is away may go"


@pytest.mark.parametrize(
    "command",
    [
        add_learner(NEW)[:-1],
        promote(4) + b"x",
        promote(4).replace(b"promote", b"demoted"),
        add_learner(replace(NEW, address="nowhere")),
        add_learner(replace(NEW, rsa=b"short")),
        add_learner(cast(NodeRecord, SimpleNamespace(id=4, to_fields=dict))),
        remove(9),
        promote(9),
    ],
)
def test_nonsense_is_refused(bench: Bench, command: bytes) -> None:
    assert isinstance(bench.decide(command), Refusal)


def test_who_is_being_removed_is_heard_until_that_is_applied(bench: Bench) -> None:
    bench.change(remove(3), apply=False)
    assert bench.members.current.conf.voters == (1, 2)
    assert set(bench.peers) == {2, 3}
    bench.members.follow(bench.log, bench.log.last_index)
    assert set(bench.peers) == {2}


def test_who_was_removed_is_known_once_that_is_applied_and_who_is_still_to_come_is_not_among_them(bench: Bench) -> None:
    bench.change(remove(3), apply=False)
    assert not any(map(bench.was_removed, (1, 2, 3, 4)))
    bench.members.follow(bench.log, bench.log.last_index)
    assert [node for node in (1, 2, 3, 4) if bench.was_removed(node)] == [3]


def test_a_node_is_no_member_once_its_own_removal_is_applied(bench: Bench) -> None:
    bench.change(remove(1), apply=False)
    assert bench.members.is_member(bench.log, bench.log.last_index - 1, leader=0)
    assert not bench.members.is_member(bench.log, bench.log.last_index, leader=0)
    assert not bench.members.is_member(bench.log, bench.log.last_index, leader=2)


def test_a_node_believes_a_peer_that_it_was_removed_while_no_leader_speaks_to_it(bench: Bench) -> None:
    assert bench.members.is_member(bench.log, 1, leader=0)
    bench.members.told_removed(2)
    assert not bench.members.is_member(bench.log, 1, leader=0)
    assert bench.members.is_member(bench.log, 1, leader=3)


def test_a_newcomer_is_a_member_from_the_entry_on_that_adds_it() -> None:
    bench = Bench()
    newcomer = Members(4, TOLD, cast(Transport, SimpleNamespace(follow=bench._follow)), Clock(0))
    bench.change(add_learner(NEW))
    newcomer.restore([cast(Entry, bench.log.entry(index)) for index in (1, 3)])
    assert [newcomer.is_member(bench.log, applied, leader=1) for applied in (1, 2, 3)] == [False, False, True]


def test_a_change_that_is_overwritten_is_taken_back(bench: Bench) -> None:
    bench.change(add_learner(NEW), apply=False)
    assert set(bench.peers) == {2, 3, 4}
    bench.log.truncate(3, 2)
    other = replace(NEW, id=5, address="db5.example:7100")
    draft = Draft("NodeAdded", encode_map(membership().with_learner(other).to_fields()))
    bench.log.append([follow(cast(Entry, bench.log.last), draft, 2)])
    bench.members.follow(bench.log, 2)
    assert set(bench.peers) == {2, 3, 5}
    bench.log.truncate(3, 2)
    bench.members.follow(bench.log, 2)
    assert bench.members.current == membership()


def test_several_changes_that_arrive_at_once_are_all_kept(bench: Bench) -> None:
    lists = [membership().with_learner(NEW)]
    lists.append(lists[0].with_voter(4))
    for one in lists:
        bench.log.append([follow(cast(Entry, bench.log.last), Draft("NodeAdded", encode_map(one.to_fields())))])
    bench.members.follow(bench.log, 1)
    assert [bench.members.at(bench.log, index) for index in (1, 2, 3)] == [membership(), *lists]


def test_a_newcomer_listens_to_nodes_that_came_after_the_genesis() -> None:
    bench = Bench(told={**TOLD, 7: ("g", 7)})
    assert set(bench.peers) == {2, 3, 7}
