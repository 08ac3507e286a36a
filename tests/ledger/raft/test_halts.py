"""What no scenario may show: a core that stops, and input that it must refuse whole."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ballot.ledger.raft.messages import Append, Conf, Halt, HardState, Heartbeat, NotLeader, Overloaded
from tests.support.raft import BrokenChain, Cluster, Item, make_item, seal


def cluster(size: int = 3, **settings: int) -> Cluster:
    """Node 1 leads term 1, and everyone has applied its no-op at 2."""
    made = Cluster(lambda node: random.Random(node), settings=settings)
    made.found(Conf(tuple(range(1, size + 1))))
    made.time_out_now(1)
    made.stabilize()
    for _ in range(2):
        made.tick(1)
    made.stabilize()
    return made


def append(term: int, prev: Item, *entries: Item) -> Append:
    return Append(3, 2, term, prev.index, prev.term, 0, entries)


def test_a_commit_index_beyond_the_log_halts_at_the_start() -> None:
    made = cluster()
    made.crash(2)
    made.disks[2].hard = HardState(1, 1, 9)
    with pytest.raises(Halt, match="beyond the last entry"):
        made.nodes[2].start()


def test_a_conflict_below_commit_halts() -> None:
    made = cluster()
    genesis = made.disks[2].item(1)
    with pytest.raises(Halt, match="at or below commit"):
        made.deliver(append(2, genesis, seal(genesis, 2, "other")))


def test_a_second_leader_in_the_same_term_halts() -> None:
    made = cluster()
    with pytest.raises(Halt, match="two leaders in term 1"):
        made.deliver(Heartbeat(2, 1, 1, 0, 0))


def test_of_an_append_whose_chain_is_broken_nothing_is_kept() -> None:
    made = cluster()
    made.cut = {(1, 2)}
    made.propose(1, ["x"])
    last = made.disks[2].item(2)
    good = seal(last, 2, "good")
    bad = replace(make_item("another log", 4, 2, "bad"), term=2)
    with pytest.raises(BrokenChain):
        made.deliver(append(2, last, good, bad))
    assert made.nodes[2].core.log.last_index == 2


def test_an_overloaded_leader_refuses_and_recovers() -> None:
    made = cluster(max_uncommitted_bytes=20)
    made.propose(1, ["x" * 30])
    with pytest.raises(Overloaded):
        made.propose(1, ["y"])
    made.stabilize()
    made.propose(1, ["y"])
    made.stabilize()
    assert [item.command for item in made.acknowledged] == ["x" * 30, "y"]


def test_a_follower_names_the_leader_it_knows() -> None:
    made = cluster()
    with pytest.raises(NotLeader) as refusal:
        made.propose(2, ["x"])
    assert refusal.value.hint == 1
