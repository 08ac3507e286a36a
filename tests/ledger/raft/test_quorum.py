"""The arithmetic of majorities against a slow twin that tries every subset of the voters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger.raft.quorum import agreed_index, has_majority, is_lost, majority

NODES = st.integers(1, 9)
VOTERS = st.lists(NODES, unique=True, max_size=7).map(tuple)
SOME = st.sets(NODES)
MATCH = st.dictionaries(NODES, st.integers(0, 12))


def majorities(voters: Collection[int]) -> Iterator[set[int]]:
    """Every set of voters that is more than half of them."""
    for size in range(len(voters) + 1):
        if 2 * size > len(voters):
            yield from map(set, combinations(voters, size))


def slow_agreed_index(match: Mapping[int, int], voters: Collection[int]) -> int:
    return max((min(match.get(voter, 0) for voter in some) for some in majorities(voters)), default=0)


@given(MATCH, VOTERS)
def test_the_agreed_index_is_the_best_that_some_majority_holds(match: dict[int, int], voters: tuple[int, ...]) -> None:
    assert agreed_index(match, voters) == slow_agreed_index(match, voters)


@given(SOME, VOTERS)
def test_a_majority_is_more_than_half_of_the_voters_and_others_do_not_count(
    agreeing: set[int], voters: tuple[int, ...]
) -> None:
    assert has_majority(agreeing, voters) == any(some <= agreeing for some in majorities(voters))


@given(SOME, VOTERS)
def test_a_vote_is_lost_when_every_majority_holds_a_refusal(refusing: set[int], voters: tuple[int, ...]) -> None:
    assert is_lost(refusing, voters) == all(some & refusing for some in majorities(voters))


@given(VOTERS, NODES, SOME, SOME)
def test_majorities_of_memberships_one_node_apart_share_a_node(
    voters: tuple[int, ...], changed: int, one: set[int], other: set[int]
) -> None:
    neighbour = tuple(set(voters) ^ {changed})
    if has_majority(one, voters) and has_majority(other, neighbour):
        assert one & other & (set(voters) | set(neighbour))


def test_no_voters_agree_on_nothing() -> None:
    assert agreed_index({1: 5}, ()) == 0
    assert not has_majority({1}, ())


def test_majorities_of_small_memberships() -> None:
    assert [majority(range(size)) for size in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]
