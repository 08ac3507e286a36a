"""One list of members after another: who signs at which size, and what does not put members in force."""

from typing import Any

import pytest

from ballot.ledger.checkpoint import CheckpointError
from ballot.ledger.entry import Entry, encode_map, seal
from ballot.ledger.membership import Membership
from ballot.ledger.succession import Recovered, Succession, SuccessionError, handover_fields, places
from tests.support.registrar import ORIGIN, MemoryCluster, node_record


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
def founded(cluster: MemoryCluster) -> Succession:
    return Succession.founded(cluster.members)


def with_four(cluster: MemoryCluster) -> Membership:
    return cluster.members.with_learner(node_record(4))


def entry_with(cluster: MemoryCluster, after: Membership, fields: dict[str, Any], kind: str = "NodeAdded") -> Entry:
    """The next entry, with this list and these fields, whatever they are."""
    return cluster.append(kind, after.to_fields() | fields)


def refused(succession: Succession, entry: Entry) -> str:
    with pytest.raises(SuccessionError) as caught:
        succession.after(entry)
    return str(caught.value)


def test_members_follow_each_other_each_announced_and_signed_for_by_those_before(
    cluster: MemoryCluster, founded: Succession
) -> None:
    cluster.replace(1, 4)
    cluster.replace(2, 5)
    succession = founded
    for index, membership in cluster.lists[1:]:
        entry = cluster.entries[index - 1]
        succession, handover = succession.after(entry)
        assert succession.members == membership
        assert handover is not None
        handover.check(cluster.entries[handover.announced - 1])
        assert handover.checkpoint.root == cluster.tree.root(handover.checkpoint.size)
        assert places(entry) == (handover.announced, handover.checkpoint.size)
    assert [node.id for node in succession.members.nodes] == [3, 4, 5]


def test_a_checkpoint_is_signed_by_the_members_of_the_newest_list_at_or_below_its_size(
    cluster: MemoryCluster, founded: Succession
) -> None:
    for old, new in ((1, 4), (2, 5), (3, 6)):
        cluster.replace(old, new)
    succession = Succession(tuple(cluster.lists))
    last = cluster.lists[-1][0]
    for size in range(1, len(cluster.entries) + 1):
        assert succession.verify(cluster.note(size)).size == size
    assert succession.at(last - 1) != succession.at(last) == cluster.members
    with pytest.raises(CheckpointError, match="no majority"):
        founded.verify(cluster.note())


def test_an_announcement_alone_puts_nobody_in_force(cluster: MemoryCluster, founded: Succession) -> None:
    assert "does not change the members" in refused(founded, cluster.announce(with_four(cluster)))


def test_a_change_that_nobody_signed_for_is_refused(cluster: MemoryCluster, founded: Succession) -> None:
    assert "nobody signed" in refused(founded, entry_with(cluster, with_four(cluster), {}))
    unsigned = {"before": 1, "announced": 2, "note": "none"}
    assert "no signatures" in refused(founded, entry_with(cluster, with_four(cluster), unsigned))
    garbled = handover_fields(1, 2, b"no note")
    assert "did not sign" in refused(founded, entry_with(cluster, with_four(cluster), garbled))


@pytest.mark.parametrize("name", ["before", "announced"])
def test_a_place_must_be_a_number(cluster: MemoryCluster, founded: Succession, name: str) -> None:
    announced = cluster.announce(with_four(cluster)).index
    fields = handover_fields(1, announced, cluster.note()) | {name: True}
    assert name in refused(founded, entry_with(cluster, with_four(cluster), fields))


def test_a_minority_cannot_put_members_in_force(cluster: MemoryCluster, founded: Succession) -> None:
    announced = cluster.announce(with_four(cluster)).index
    fields = handover_fields(1, announced, cluster.note(cosigners=1))
    assert "no majority" in refused(founded, entry_with(cluster, with_four(cluster), fields))


def test_newcomers_cannot_sign_for_themselves(cluster: MemoryCluster, founded: Succession) -> None:
    strangers = Membership(ORIGIN, tuple(map(node_record, (7, 8, 9))))
    announced = cluster.announce(strangers).index
    cluster.lists.append((announced, strangers))
    fields = handover_fields(1, announced, cluster.note())
    assert "cosigned by 0 of 3" in refused(founded, entry_with(cluster, strangers, fields))


def test_signatures_must_cover_the_announcement_and_come_before_the_change(
    cluster: MemoryCluster, founded: Succession
) -> None:
    early = cluster.note()
    announced = cluster.announce(with_four(cluster)).index
    note = cluster.note()
    for fields in (
        handover_fields(1, announced, early),
        handover_fields(1, 1, note),
        handover_fields(1, announced + 1, note),
    ):
        assert "do not cover" in refused(founded, entry_with(cluster, with_four(cluster), fields))
    later = cluster.note(announced + 1)
    first = seal(
        prev_hash=bytes(32),
        index=announced + 1,
        term=1,
        time_us=1,
        kind="NodeAdded",
        public=encode_map(with_four(cluster).to_fields() | handover_fields(1, announced, later)),
    )
    assert "do not cover" in refused(founded, first)


def test_a_change_names_the_list_that_it_replaces_so_that_none_is_left_out(
    cluster: MemoryCluster, founded: Succession
) -> None:
    cluster.replace(1, 4)
    assert "replaces the members of entry 3, not of 1" in refused(founded, cluster.entries[cluster.lists[2][0] - 1])


def test_what_was_announced_is_what_must_be_put_in_force(cluster: MemoryCluster, founded: Succession) -> None:
    after = with_four(cluster)
    announcements = [
        cluster.announce(cluster.members.with_learner(node_record(5))),
        cluster.append("MembersAnnounced", after.to_fields() | {"before": 0}),
        cluster.append("MembersAnnounced", after.to_fields()),
        cluster.append("NodeAdded", after.to_fields() | {"before": 1}),
    ]
    note = cluster.note()
    for announcement in announcements:
        fields = handover_fields(1, announcement.index, note)
        _, handover = founded.after(entry_with(cluster, after, fields))
        assert handover is not None
        for shown in (announcement, cluster.announce(after), None):
            with pytest.raises(SuccessionError):
                handover.check(shown)


def test_a_log_keeps_its_name_and_has_one_genesis(cluster: MemoryCluster, founded: Succession) -> None:
    other = Membership("ballot.example/other", cluster.members.nodes)
    assert "name of the log" in refused(founded, entry_with(cluster, other, {}))
    again = cluster.append("Genesis", cluster.members.to_fields())
    assert "does not change the members" in refused(founded, again)
    assert "does not change the members" in refused(founded, cluster.genesis)


def test_a_recovery_is_followed_only_by_its_hash(cluster: MemoryCluster, founded: Succession) -> None:
    entry = cluster.recover(3)
    with pytest.raises(Recovered, match=entry.hash.hex()):
        founded.after(entry, {bytes(32)})
    succession, handover = founded.after(entry, {entry.hash})
    assert handover is None
    assert succession.verify(cluster.note()).size == entry.index
    with pytest.raises(SuccessionError):
        places(entry)


def test_members_change_again_after_a_recovery(cluster: MemoryCluster, founded: Succession) -> None:
    entry = cluster.recover(3)
    added = cluster.change("NodeAdded", with_four(cluster))
    succession, _ = founded.after(entry, {entry.hash})
    succession, handover = succession.after(added)
    assert handover is not None
    assert succession.members == cluster.members


def test_a_list_that_does_not_parse_is_refused(founded: Succession) -> None:
    entry = seal(
        prev_hash=bytes(32), index=2, term=1, time_us=1, kind="ClusterRecovered", public=encode_map({"origin": ORIGIN})
    )
    assert "malformed" in refused(founded, entry)
