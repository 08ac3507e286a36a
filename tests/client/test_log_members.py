"""A voter's view of the log while the nodes change: it walks forward by what they show, and liars get nowhere."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ballot.client.api import NoAnswer, Public, Refused
from ballot.client.log import Log
from ballot.client.trust import Recovered, Trust, Untrusted
from ballot.client.wallet import MemoryStore
from ballot.ledger.membership import Membership
from ballot.ledger.succession import handover_fields
from tests.support.registrar import ORIGIN, MemoryCluster, MemoryLine, node_record

BODY = b"a ballot"


class OneLiar(MemoryLine):
    """Node 0 shows members, entries and proofs of a log of its own; only its consistency proofs are true."""

    def __init__(self, cluster: MemoryCluster, liar: MemoryCluster) -> None:
        super().__init__(cluster)
        self.liar = MemoryLine(liar)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        lies = self.requests[-1][0] == 0 and "consistency" not in path
        return self.liar._answer(method, path, body) if lies else super()._answer(method, path, body)


@pytest.fixture
def cluster() -> MemoryCluster:
    cluster = MemoryCluster()
    cluster.append("TermOpened", {"node": 1})
    return cluster


def log_on(line: MemoryLine, store: MemoryStore | None = None) -> Log:
    genesis = line.cluster.genesis
    return Log(Public(line), Trust.in_genesis(genesis.header, genesis.public), store or MemoryStore())


def replace_all(cluster: MemoryCluster) -> None:
    for old, new in ((1, 4), (2, 5), (3, 6)):
        cluster.replace(old, new)


def receipt(cluster: MemoryCluster) -> bytes:
    return cluster.receipt(cluster.append("BallotCast", {}, BODY).index)


def asked(line: MemoryLine, what: str) -> list[dict[str, list[str]]]:
    return [
        parse_qs(urlsplit(path).query) for _, _, path, *_ in line.requests if path.startswith(f"/api/ledger/{what}")
    ]


def test_a_voter_who_was_away_believes_a_receipt_of_nodes_it_never_heard_of(cluster: MemoryCluster) -> None:
    replace_all(cluster)
    text = receipt(cluster)
    log = log_on(MemoryLine(cluster))
    assert asyncio.run(log.receipt(text, BODY)) == len(cluster.entries)
    assert log.trust.succession.lists == tuple(cluster.lists), "in several pages"


def test_what_was_followed_is_stored_and_not_asked_for_again(cluster: MemoryCluster) -> None:
    replace_all(cluster)
    store = MemoryStore()
    asyncio.run(log_on(MemoryLine(cluster), store).receipt(receipt(cluster), BODY))
    line = MemoryLine(cluster)
    again = log_on(line, store)
    assert again.trust.succession.lists == tuple(cluster.lists)
    asyncio.run(again.receipt(receipt(cluster), BODY))
    assert asked(line, "members") == []
    start = cluster.lists[-1][0] + 1
    cluster.replace(4, 7)
    asyncio.run(again.receipt(receipt(cluster), BODY))
    assert asked(line, "members")[0] == {"from": [str(start)]}


def test_changes_are_asked_for_only_where_there_are_some(cluster: MemoryCluster) -> None:
    line = MemoryLine(cluster)
    log = log_on(line)
    for _ in range(3):
        asyncio.run(log.receipt(receipt(cluster), BODY))
    assert asked(line, "members") == []


def test_a_removal_is_noticed_even_if_the_old_signatures_would_do(cluster: MemoryCluster) -> None:
    cluster.change("NodeRemoved", cluster.members.without(1))
    log = log_on(MemoryLine(cluster))
    asyncio.run(log.believe(cluster.note()))
    assert log.trust.succession.members == cluster.members


def test_changes_that_nobody_can_prove_are_none(cluster: MemoryCluster) -> None:
    class Secretive(MemoryLine):
        hides_members = False

        def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
            if self.hides_members and "members" in path:
                raise NoAnswer("not now")
            return super()._answer(method, path, body)

    line = Secretive(cluster)
    line.spoil = {"members": 2}
    log = log_on(line)
    assert asyncio.run(log.receipt(receipt(cluster), BODY)) == len(cluster.entries)
    line.hides_members = True
    assert asyncio.run(log.receipt(receipt(cluster), BODY)) == len(cluster.entries)
    line.spoil = {"members": None}
    with pytest.raises(Untrusted, match="without members"):
        asyncio.run(log.receipt(receipt(cluster), BODY))


def test_only_what_changed_up_to_the_checkpoint_counts_for_it(cluster: MemoryCluster) -> None:
    cluster.replace(1, 4)
    text = receipt(cluster)
    cluster.replace(2, 5)
    log = log_on(MemoryLine(cluster))
    index = asyncio.run(log.receipt(text, BODY))
    assert log.trust.succession.members == cluster.lists[3][1]
    assert log.trust.newest.size == index


def deceive(cluster: MemoryCluster) -> MemoryCluster:
    """What a lying node shows: the same log, in which it then put its own nodes in force."""
    liar = MemoryCluster()
    for entry in cluster.entries[1:]:
        liar.append(entry.kind, entry.fields, entry.private)
    strangers = Membership(ORIGIN, tuple(map(node_record, (7, 8, 9))))
    announced = liar.announce(strangers).index
    liar.enforce("NodeAdded", strangers, handover_fields(1, announced, liar.note(cosigners=1)))
    return liar


def test_members_that_a_lying_node_made_up_are_refused(cluster: MemoryCluster) -> None:
    liar = deceive(cluster)
    log = log_on(MemoryLine(liar))
    with pytest.raises(Untrusted, match="did not sign for it"):
        asyncio.run(log.receipt(receipt(liar), BODY))
    assert log.trust.succession.newest == log.trust.newest.size == 1


def test_honest_nodes_are_heard_beside_a_lying_one(cluster: MemoryCluster) -> None:
    liar = deceive(cluster)
    for _ in range(8):
        liar.append("TermOpened", {"node": 7})
    cluster.replace(1, 4)
    text = receipt(cluster)
    log = log_on(OneLiar(cluster, liar))
    assert asyncio.run(log.receipt(text, BODY)) == len(cluster.entries)
    assert log.trust.succession.members == cluster.members


def test_a_node_that_hides_the_changes_is_passed_over(cluster: MemoryCluster) -> None:
    class Hiding(MemoryLine):
        def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
            if "members" in path and self.requests[-1][0] == 0:
                return 200, {"entries": [], "last": len(self.cluster.entries)}
            return super()._answer(method, path, body)

    replace_all(cluster)
    assert asyncio.run(log_on(Hiding(cluster)).receipt(receipt(cluster), BODY)) == len(cluster.entries)


def test_nodes_that_are_behind_settle_nothing(cluster: MemoryCluster) -> None:
    class Behind(MemoryLine):
        def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
            status, answer = super()._answer(method, path, body)
            return status, answer | {"last": 3, "entries": []} if "members" in path else answer

    text = receipt(cluster)
    assert asyncio.run(log_on(Behind(cluster)).receipt(text, BODY)), "the founders signed it all the same"
    replace_all(cluster)
    with pytest.raises(NoAnswer, match="has not reached"):
        asyncio.run(log_on(Behind(cluster)).receipt(receipt(cluster), BODY))


def test_nodes_that_do_not_answer_settle_nothing(cluster: MemoryCluster) -> None:
    replace_all(cluster)
    text = receipt(cluster)
    line = MemoryLine(cluster)
    line.mute = {0, 1, 2}
    with pytest.raises(NoAnswer):
        asyncio.run(log_on(line).receipt(text, BODY))


@pytest.mark.parametrize("path", ["members", "entries", "proof/inclusion", "proof/consistency"])
def test_garbled_answers_are_not_believed(cluster: MemoryCluster, path: str) -> None:
    class Garbled(MemoryLine):
        def _answer(self, method: str, where: str, body: bytes) -> tuple[int, Any]:
            status, answer = super()._answer(method, where, body)
            if path not in where:
                return status, answer
            return status, answer | {"entries": [{"header": "AA", "public": "AA"}], "proof": ["="]}

    replace_all(cluster)
    with pytest.raises(Untrusted):
        asyncio.run(log_on(Garbled(cluster)).receipt(receipt(cluster), BODY))


def test_lists_out_of_order_and_without_end_are_refused(cluster: MemoryCluster) -> None:
    class Stuttering(MemoryLine):
        def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
            return super()._answer(method, path.split("?")[0] + "?from=1" if "members" in path else path, body)

    replace_all(cluster)
    with pytest.raises(Untrusted, match="out of order"):
        asyncio.run(log_on(Stuttering(cluster)).receipt(receipt(cluster), BODY))


def test_a_node_that_refuses_is_passed_over(cluster: MemoryCluster) -> None:
    class Old(MemoryLine):
        def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
            if "members" in path and self.requests[-1][0] < 2:
                raise Refused(404, "NotFound", path)
            return super()._answer(method, path, body)

    replace_all(cluster)
    assert asyncio.run(log_on(Old(cluster)).receipt(receipt(cluster), BODY)) == len(cluster.entries)


def test_a_recovery_stops_a_voter_until_the_operators_word_is_accepted(cluster: MemoryCluster) -> None:
    entry = cluster.recover(3)
    text = receipt(cluster)
    log = log_on(MemoryLine(cluster))
    with pytest.raises(Recovered) as caught:
        asyncio.run(log.receipt(text, BODY))
    assert caught.value.entry_hash == entry.hash
    log.trust.accept_recovery(entry.hash)
    assert asyncio.run(log.receipt(text, BODY)) == len(cluster.entries)


def test_a_recovery_stops_a_voter_even_where_the_old_signatures_would_do(cluster: MemoryCluster) -> None:
    cluster.recover(1, 2)
    log = log_on(MemoryLine(cluster))
    assert log.trust.verify(cluster.note())
    with pytest.raises(Recovered):
        asyncio.run(log.believe(cluster.note()))
    assert log.trust.newest.size == 1


def test_a_recovery_that_a_single_node_made_up_stops_nobody(cluster: MemoryCluster) -> None:
    text = receipt(cluster)
    liar = MemoryCluster()
    liar.recover(3)
    for _ in range(3):
        liar.append("TermOpened", {"node": 3})
    log = log_on(OneLiar(cluster, liar))
    assert asyncio.run(log.receipt(text, BODY)) == len(cluster.entries)
    assert log.trust.succession.newest == 1
