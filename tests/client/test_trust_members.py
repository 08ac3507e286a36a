"""Members change, and a client that was away follows: what it asks to see before it believes the new ones."""

from dataclasses import replace

import pytest

from ballot.client.trust import Fork, Recovered, ShownChange, Trust, Untrusted
from ballot.ledger.entry import Entry
from ballot.ledger.membership import ANNOUNCED, Membership
from ballot.ledger.recovery import KIND as RECOVERED
from ballot.ledger.succession import CHANGES, handover_fields, places
from tests.support.registrar import ORIGIN, MemoryCluster, node_record

BODY = b"a ballot"


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
def trust(cluster: MemoryCluster) -> Trust:
    return Trust.in_genesis(cluster.genesis.header, cluster.genesis.public)


def shown(cluster: MemoryCluster, entry: Entry, size: int) -> ShownChange:
    """The change as an honest node shows it."""
    tree = cluster.tree
    inclusion = tree.inclusion_proof(entry.index - 1, size)
    if entry.kind == RECOVERED:
        return ShownChange(entry, inclusion)
    announced, signed = places(entry)
    proof = tree.inclusion_proof(announced - 1, size)
    return ShownChange(entry, inclusion, cluster.entries[announced - 1], proof, tree.consistency_proof(signed, size))


def changes(cluster: MemoryCluster, after: int = 1) -> list[ShownChange]:
    size = len(cluster.entries)
    return [shown(cluster, one, size) for one in cluster.entries if one.kind in CHANGES and one.index > after]


def follow(trust: Trust, cluster: MemoryCluster, shown: list[ShownChange] | None = None) -> None:
    """Everything that changed, under the newest checkpoint."""
    proof = cluster.tree.consistency_proof(trust.newest.size, len(cluster.entries))
    given = changes(cluster, trust.succession.newest) if shown is None else shown
    trust.follow_changes(given, cluster.note(), proof)


def replace_all(cluster: MemoryCluster) -> None:
    for old, new in ((1, 4), (2, 5), (3, 6)):
        cluster.replace(old, new)


def nothing_is_believed(trust: Trust, cluster: MemoryCluster) -> bool:
    return trust.succession.newest == 1 and trust.newest.size == 1


# -- following


def test_who_was_away_while_everybody_was_replaced_walks_forward_from_the_genesis(
    trust: Trust, cluster: MemoryCluster
) -> None:
    first = cluster.append("BallotCast", {}, BODY).index
    early = cluster.receipt(first)
    replace_all(cluster)
    second = cluster.append("BallotCast", {}, BODY).index
    late = cluster.receipt(second)
    assert trust.receipt(early, BODY)[0] == first
    with pytest.raises(Untrusted, match="no majority"):
        trust.receipt(late, BODY)
    follow(trust, cluster)
    assert {node.id for node in trust.succession.members.nodes} == {4, 5, 6}
    assert trust.newest.size == len(cluster.entries)
    assert trust.receipt(late, BODY)[0] == second
    assert trust.receipt(early, BODY)[0] == first, "the founders' receipts stay good"


def test_each_step_can_be_followed_as_it_comes(trust: Trust, cluster: MemoryCluster) -> None:
    for old, new in ((1, 4), (2, 5), (3, 6)):
        cluster.replace(old, new)
        follow(trust, cluster)
    assert trust.succession.lists == tuple(cluster.lists)


def test_founders_sign_nothing_any_more_once_they_are_seen_to_be_replaced(trust: Trust, cluster: MemoryCluster) -> None:
    replace_all(cluster)
    follow(trust, cluster)
    cluster.append("TermOpened", {"node": 1})
    cluster.lists = cluster.lists[:1]
    with pytest.raises(Untrusted, match="no majority"):
        trust.verify(cluster.note())


def test_what_is_believed_is_kept_for_later_runs(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.replace(1, 4)
    follow(trust, cluster)
    later = Trust.in_genesis(cluster.genesis.header, cluster.genesis.public)
    later.resume(trust.newest, trust.kept())
    assert later.succession == trust.succession
    cluster.replace(2, 5)
    follow(later, cluster)
    assert later.succession.lists == tuple(cluster.lists)


def test_members_kept_of_another_log_are_passed_over(trust: Trust, cluster: MemoryCluster) -> None:
    other = Trust(b"another genesis", Membership(ORIGIN, tuple(map(node_record, (7, 8, 9)))))
    trust.resume(None, other.kept())
    assert trust.succession.members == cluster.members
    with pytest.raises(Untrusted, match="do not parse"):
        trust.resume(None, b"garbled")


# -- what a node could show


def forged(cluster: MemoryCluster, signed: bytes | None) -> list[ShownChange]:
    """A log in which strangers were put in force, with `signed` for the signatures of the founders."""
    strangers = Membership(ORIGIN, tuple(map(node_record, (7, 8, 9))))
    announced = cluster.announce(strangers).index
    note = cluster.note() if signed is None else signed
    cluster.enforce("NodeAdded", strangers, handover_fields(1, announced, note))
    return changes(cluster)


@pytest.mark.parametrize("cosigners", [0, 1])
def test_a_lying_node_cannot_put_its_own_members_in_force(trust: Trust, cluster: MemoryCluster, cosigners: int) -> None:
    cluster.cosigners = cosigners
    shown = forged(cluster, None)
    cluster.cosigners = None
    with pytest.raises(Untrusted, match="did not sign for it: cosigned by"):
        follow(trust, cluster, shown)
    assert nothing_is_believed(trust, cluster)


def test_signatures_for_another_log_put_nobody_in_force(trust: Trust, cluster: MemoryCluster) -> None:
    """The founders did sign a checkpoint of that size, but what they signed announces nothing."""
    honest = MemoryCluster()
    honest.append("TermOpened", {"node": 1})
    with pytest.raises(Fork):
        follow(trust, cluster, forged(cluster, honest.note()))
    assert nothing_is_believed(trust, cluster)


def test_signatures_for_what_came_before_put_nobody_in_force(trust: Trust, cluster: MemoryCluster) -> None:
    with pytest.raises(Untrusted, match="do not cover"):
        follow(trust, cluster, forged(cluster, cluster.note()))
    assert nothing_is_believed(trust, cluster)


def test_a_change_that_was_announced_and_never_made_is_not_believed(trust: Trust, cluster: MemoryCluster) -> None:
    """A node takes a true announcement, and makes up the entry that enforces it."""
    after = cluster.members.with_learner(node_record(4))
    announced = cluster.announce(after).index
    invented = MemoryCluster()
    invented.announce(after)
    entry = invented.enforce("NodeAdded", after, handover_fields(1, announced, cluster.note()))
    cluster.append("TermOpened", {"node": 1})
    with pytest.raises(Untrusted, match="entry 3"):
        follow(trust, cluster, [shown(invented, entry, 3)])
    assert nothing_is_believed(trust, cluster)


def test_an_announcement_of_other_members_is_none(trust: Trust, cluster: MemoryCluster) -> None:
    other = cluster.announce(cluster.members.with_learner(node_record(5)))
    after = cluster.members.with_learner(node_record(4))
    cluster.enforce("NodeAdded", after, handover_fields(1, other.index, cluster.note()))
    with pytest.raises(Untrusted, match="announces other members"):
        follow(trust, cluster)
    assert nothing_is_believed(trust, cluster)


def test_an_announcement_that_is_not_in_the_log_is_none(trust: Trust, cluster: MemoryCluster) -> None:
    after = cluster.members.with_learner(node_record(4))
    noise = cluster.append("TermOpened", {"node": 1}).index
    cluster.enforce("NodeAdded", after, handover_fields(1, noise, cluster.note()))
    [change] = changes(cluster)
    invented = MemoryCluster().announce(after)
    assert invented.index == noise
    with pytest.raises(Untrusted, match="announces no members"):
        follow(trust, cluster, [change])
    with pytest.raises(Untrusted, match=f"entry {noise}"):
        follow(trust, cluster, [replace(change, announcement=invented)])
    assert nothing_is_believed(trust, cluster)


def test_a_change_that_is_left_out_is_missed(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.replace(1, 4)
    for place in (0, 1):
        some = changes(cluster)
        del some[place]
        with pytest.raises(Untrusted, match="replaces the members of entry"):
            follow(trust, cluster, some)
    assert nothing_is_believed(trust, cluster)


def test_a_change_without_its_proofs_is_not_believed(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.replace(1, 4)
    *some, last = changes(cluster)
    for bare in (replace(last, inclusion=()), replace(last, announced=()), replace(last, consistency=())):
        with pytest.raises(Untrusted):
            follow(trust, cluster, [*some, bare])
    assert nothing_is_believed(trust, cluster)


def test_those_put_in_force_must_sign_themselves(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.replace(1, 4)
    shown = changes(cluster)
    cluster.lists = [(1, Membership(ORIGIN, tuple(map(node_record, (1, 7, 8)))))]
    with pytest.raises(Untrusted, match="no majority"):
        follow(trust, cluster, shown)
    assert nothing_is_believed(trust, cluster)


def test_new_members_cannot_rewrite_what_was_seen(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.append("TermOpened", {"node": 1})
    trust.follow(trust.verify(cluster.note()), cluster.tree.consistency_proof(1, 2))
    other = MemoryCluster()
    other.append("TermOpened", {"node": 2})
    other.replace(1, 4)
    with pytest.raises(Fork):
        follow(trust, other)
    assert trust.succession.newest == 1


# -- recovery


def test_a_recovery_is_never_followed_silently(trust: Trust, cluster: MemoryCluster) -> None:
    entry = cluster.recover(3)
    with pytest.raises(Recovered, match="the cluster was recovered at entry 2") as caught:
        follow(trust, cluster)
    assert caught.value.entry_hash == entry.hash
    assert nothing_is_believed(trust, cluster)
    trust.accept_recovery(bytes(32))
    with pytest.raises(Recovered):
        follow(trust, cluster)


def test_a_recovery_is_followed_once_its_hash_is_accepted(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.replace(1, 4)
    entry = cluster.recover(4)
    cluster.change("NodeAdded", cluster.members.with_learner(node_record(5)))
    trust.accept_recovery(entry.hash)
    follow(trust, cluster)
    assert trust.succession.lists == tuple(cluster.lists)
    with pytest.raises(ValueError, match="32 bytes"):
        trust.accept_recovery(b"short")


def test_a_recovery_that_lost_what_was_seen_is_a_fork_even_if_accepted(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.append("TermOpened", {"node": 1})
    trust.follow(trust.verify(cluster.note()), cluster.tree.consistency_proof(1, 2))
    survivor = MemoryCluster()
    trust.accept_recovery(survivor.recover(3).hash)
    with pytest.raises(Fork):
        trust.follow_changes(changes(survivor), survivor.note(), [])


def test_an_announcement_is_no_change(trust: Trust, cluster: MemoryCluster) -> None:
    entry = cluster.announce(cluster.members.with_learner(node_record(4)))
    assert entry.kind == ANNOUNCED
    with pytest.raises(Untrusted, match="does not change the members"):
        follow(trust, cluster, [ShownChange(entry, cluster.tree.inclusion_proof(1, 2))])
