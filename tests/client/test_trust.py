"""What a client believes of the log, and every way in which it must not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ballot.client.trust import Fork, Trust, Untrusted
from ballot.ledger import receipt as receipts
from ballot.ledger.checkpoint import Checkpoint
from ballot.ledger.entry import Entry
from tests.support.registrar import ORIGIN, SALT, MemoryCluster

BODY = b"a ballot"


@pytest.fixture
def cluster() -> MemoryCluster:
    cluster = MemoryCluster()
    for number in range(6):
        cluster.append("TermOpened", {"node": number})
    return cluster


@pytest.fixture
def trust(cluster: MemoryCluster) -> Trust:
    return Trust.in_genesis(cluster.genesis.header, cluster.genesis.public)


def follow(trust: Trust, cluster: MemoryCluster, size: int | None = None) -> None:
    checkpoint = trust.verify(cluster.note(size))
    trust.follow(checkpoint, cluster.tree.consistency_proof(*trust.span(checkpoint)))


def test_a_checkpoint_that_a_majority_signed_is_believed(trust: Trust, cluster: MemoryCluster) -> None:
    follow(trust, cluster)
    assert trust.newest == Checkpoint(ORIGIN, 7, cluster.tree.root())


def test_a_checkpoint_of_a_minority_is_refused(trust: Trust, cluster: MemoryCluster) -> None:
    with pytest.raises(Untrusted, match="no majority"):
        trust.verify(cluster.note(cosigners=1))


def test_the_first_checkpoint_must_start_with_the_pinned_genesis(cluster: MemoryCluster) -> None:
    other = MemoryCluster()
    other.append("TermOpened", {"node": 1})
    trust = Trust(b"another genesis", other.members)
    checkpoint = trust.verify(cluster.note())
    with pytest.raises(Fork):
        trust.follow(checkpoint, cluster.tree.consistency_proof(*trust.span(checkpoint)))


def test_only_a_genesis_entry_is_pinned(cluster: MemoryCluster) -> None:
    with pytest.raises(Untrusted, match="genesis"):
        Trust.in_genesis(cluster.entries[1].header, cluster.entries[1].public)
    with pytest.raises(Untrusted, match="genesis"):
        Trust.in_genesis(cluster.genesis.header, cluster.genesis.public + b"x")


def test_a_smaller_checkpoint_of_the_same_log_changes_nothing(trust: Trust, cluster: MemoryCluster) -> None:
    follow(trust, cluster)
    follow(trust, cluster, 3)
    assert trust.newest.size == 7


@pytest.mark.parametrize("size", [5, 7, 9])
def test_a_fork_is_noticed_whether_shorter_longer_or_as_long(trust: Trust, cluster: MemoryCluster, size: int) -> None:
    follow(trust, cluster)
    other = MemoryCluster()
    while len(other.entries) < 9:
        other.append("TermOpened", {"node": 99})
    checkpoint = trust.verify(other.note(size))
    with pytest.raises(Fork):
        trust.follow(checkpoint, other.tree.consistency_proof(*trust.span(checkpoint)))
    assert trust.newest.root == cluster.tree.root()


def test_an_accepted_checkpoint_is_taken_up_again(trust: Trust, cluster: MemoryCluster) -> None:
    follow(trust, cluster)
    later = Trust.in_genesis(cluster.genesis.header, cluster.genesis.public)
    later.resume(trust.newest)
    assert later.newest == trust.newest
    later.resume(Checkpoint(ORIGIN, 3, cluster.tree.root(3)))
    later.resume(Checkpoint("ballot.example/other", 30, cluster.tree.root(3)))
    assert later.newest == trust.newest


def test_an_entry_is_believed_where_the_tree_has_it(trust: Trust, cluster: MemoryCluster) -> None:
    follow(trust, cluster)
    wanted = cluster.entries[3]
    proof = cluster.tree.inclusion_proof(3, 7)
    assert trust.entry(wanted.header, wanted.public, 4, trust.newest, proof).fields == {"node": 2}


def changed(entry: Entry) -> dict[str, tuple[bytes, bytes, int]]:
    return {
        "another place": (entry.header, entry.public, 5),
        "another payload": (entry.header, entry.public + b"x", 4),
        "another header": (entry.header[:-1] + b"x", entry.public, 4),
    }


@pytest.mark.parametrize("what", ["another place", "another payload", "another header"])
def test_a_changed_entry_is_refused(trust: Trust, cluster: MemoryCluster, what: str) -> None:
    follow(trust, cluster)
    header, public, index = changed(cluster.entries[3])[what]
    with pytest.raises(Untrusted, match=f"entry {index}"):
        trust.entry(header, public, index, trust.newest, cluster.tree.inclusion_proof(3, 7))


def test_a_receipt_is_believed_for_the_very_ballot(trust: Trust, cluster: MemoryCluster) -> None:
    index = cluster.append("BallotCast", {}, BODY).index
    assert trust.receipt(cluster.receipt(index), BODY) == (index, Checkpoint(ORIGIN, index, cluster.tree.root()))


def test_a_receipt_of_another_cast_is_refused(trust: Trust, cluster: MemoryCluster) -> None:
    cluster.append("BallotCast", {}, b"another ballot")
    index = cluster.append("BallotCast", {}, BODY).index
    with pytest.raises(Untrusted, match="another ballot"):
        trust.receipt(cluster.receipt(index - 1), BODY)


def test_a_receipt_signed_by_a_minority_is_refused(trust: Trust, cluster: MemoryCluster) -> None:
    index = cluster.append("BallotCast", {}, BODY).index
    cluster.cosigners = 1
    with pytest.raises(Untrusted, match="no majority"):
        trust.receipt(cluster.receipt(index), BODY)


def test_a_receipt_of_an_entry_of_another_kind_is_refused(trust: Trust, cluster: MemoryCluster) -> None:
    index = cluster.append("VotersAdded", {}, BODY).index
    with pytest.raises(Untrusted, match="not for a cast"):
        trust.receipt(cluster.receipt(index), BODY)


Spoil = Callable[[receipts.Receipt], receipts.Receipt]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda receipt: replace(receipt, index=receipt.index - 1),
        lambda receipt: replace(receipt, proof=receipt.proof[1:]),
        lambda receipt: replace(receipt, salt=SALT[1:] + b"x"),
        lambda receipt: replace(receipt, header=receipt.header[:-1] + b"x"),
        lambda receipt: replace(receipt, header=b"no entry"),
    ],
)
def test_a_changed_receipt_is_refused(trust: Trust, cluster: MemoryCluster, spoil: Spoil) -> None:
    index = cluster.append("BallotCast", {}, BODY).index
    receipt = spoil(receipts.parse(cluster.receipt(index)))
    with pytest.raises(Untrusted):
        trust.receipt(receipts.encode(receipt), BODY)


def test_a_receipt_that_is_none_is_refused(trust: Trust) -> None:
    with pytest.raises(Untrusted):
        trust.receipt(b"your vote was recorded", BODY)
