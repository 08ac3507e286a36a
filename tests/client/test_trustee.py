"""A trustee against a cluster in memory: what is signed, and everything that must keep a key from being released."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from ballot.client.account import Account
from ballot.client.api import Api, NoAnswer, Public, b64
from ballot.client.log import Log
from ballot.client.trust import Fork, Trust, Untrusted
from ballot.client.trustee import Trustee, factors
from ballot.client.voter import NotReady
from ballot.client.wallet import MemoryStore
from ballot.ledger import rsa
from ballot.voting.trustee import key_problem
from tests.support.keys import long_key
from tests.support.registrar import ELECTION, USER, make_definition
from tests.support.trustees import NAME, TrusteeCluster, TrusteeLine

T = TypeVar("T")
KEY = long_key(4)
N = rsa.modulus(KEY)


class Scene:
    def __init__(self) -> None:
        self.cluster = TrusteeCluster()
        self.line = TrusteeLine(self.cluster)
        self.store = MemoryStore()
        self.trustee = self.new_trustee()

    def new_trustee(self) -> Trustee:
        """The same person later: what was stored is remembered."""
        account = Account(Api(self.line), "tess@example.org", "password", no_codes)
        account.id = USER
        trust = Trust.in_genesis(self.cluster.genesis.header, self.cluster.genesis.public)
        return Trustee(account, Log(Public(self.line), trust, self.store), KEY)


async def no_codes(address: str) -> str:
    raise AssertionError(address)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_a_key_is_enrolled_under_the_invited_name_and_seen_in_the_log(scene: Scene) -> None:
    async def enrol() -> None:
        invitation = await scene.trustee.invitation(ELECTION)
        assert invitation.name == NAME
        entry = await scene.trustee.enrol(invitation)
        assert (entry.kind, entry.fields["n"]) == ("TrusteeEnrolled", N)

    run(enrol())


def test_who_is_not_invited_enrols_nothing(scene: Scene) -> None:
    scene.cluster.view["trustees"][0]["user"] = b64(bytes(16))
    with pytest.raises(NotReady, match="not invited"):
        run(scene.trustee.invitation(ELECTION))


def test_a_node_that_recorded_another_key_is_found_out(scene: Scene) -> None:
    record = scene.cluster.enrol

    def swapped(fields: Any) -> dict[str, Any]:
        record(fields)
        public = {"election": ELECTION, "user": USER, "name": NAME, "n": rsa.modulus(long_key(5))}
        return {"index": scene.cluster.append("TrusteeEnrolled", public).index}

    scene.cluster.enrol = swapped  # type: ignore[method-assign]
    with pytest.raises(Untrusted, match="not the TrusteeEnrolled"):
        run(scene.trustee.enrol(run(scene.trustee.invitation(ELECTION))))


def test_a_key_is_released_for_the_checkpoint_that_has_the_whole_board(scene: Scene) -> None:
    scene.cluster.hold(N)

    async def release() -> None:
        board = await scene.trustee.board(ELECTION)
        assert (board.number, board.casts, board.published_at) == (2, 3, scene.cluster.published_at)
        assert board.checkpoint.size >= board.published_at
        released = await scene.trustee.release(board)
        assert (released.missing, scene.cluster.entries[released.index - 1].kind) == (1, "TrusteeKeyReleased")

    run(release())


def test_factors_are_those_of_the_key_the_larger_first() -> None:
    p, q = factors(KEY)
    assert key_problem(N, p, q) == "" and p > q


@pytest.mark.parametrize("status", ["draft", "closed"])
def test_nothing_is_released_before_the_board_is_published(scene: Scene, status: str) -> None:
    if status == "closed":
        scene.cluster.hold(N)
        scene.cluster.view |= {"published_at": None, "status": status}
    with pytest.raises(NotReady):
        run(scene.trustee.board(ELECTION))


def _another_key(cluster: TrusteeCluster) -> None:
    cluster.hold(rsa.modulus(long_key(6)))


def _not_the_last_chunk(cluster: TrusteeCluster) -> None:
    cluster.hold(N, last=False)


def _never_closed(cluster: TrusteeCluster) -> None:
    cluster.hold(N)
    other = cluster.append("ElectionStarted", {"election": ELECTION, "eid": bytes(32)}).index
    cluster.append("BallotsPublished", {})
    cluster.view |= {"closed_at": other, "published_at": len(cluster.entries)}


def _board_before_the_close(cluster: TrusteeCluster) -> None:
    cluster.hold(N)
    cluster.view |= {"closed_at": cluster.published_at, "published_at": cluster.closed_at}


def _another_elections_board(cluster: TrusteeCluster) -> None:
    cluster.hold(N)
    public = {"election": ELECTION, "eid": bytes(32), "chunk": 0, "last": True, "ballots": []}
    cluster.view["published_at"] = cluster.append("BallotsPublished", public).index


def _another_definition(cluster: TrusteeCluster) -> None:
    cluster.hold(N)
    cluster.view["definition"] = b64(make_definition(cluster.genesis, title="Another"))


def _no_board(cluster: TrusteeCluster) -> None:
    cluster.hold(N)
    cluster.view["published_at"] = True


FALSE: list[Callable[[TrusteeCluster], None]] = [
    *(_another_key, _not_the_last_chunk, _never_closed, _board_before_the_close),
    *(_another_elections_board, _another_definition, _no_board),
]


@pytest.mark.parametrize("make", FALSE, ids=lambda make: make.__name__.strip("_"))
def test_a_log_that_does_not_say_so_keeps_the_key_here(scene: Scene, make: Callable[[TrusteeCluster], None]) -> None:
    make(scene.cluster)
    with pytest.raises(Untrusted):
        run(scene.trustee.board(ELECTION))
    assert scene.line.posted == []


def test_a_checkpoint_that_no_majority_signed_keeps_the_key_here(scene: Scene) -> None:
    scene.cluster.hold(N)
    scene.cluster.cosigners = 1
    with pytest.raises(Untrusted):
        run(scene.trustee.board(ELECTION))


def test_a_log_that_was_rewritten_since_the_enrolment_keeps_the_key_here(scene: Scene) -> None:
    scene.cluster.append("Note", {"said": "then"})
    run(scene.trustee.enrol(run(scene.trustee.invitation(ELECTION))))
    other = Scene()
    other.cluster.append("Note", {"said": "now"})
    other.cluster.hold(N)
    other.store = scene.store
    with pytest.raises(Fork):
        run(other.new_trustee().board(ELECTION))


def test_a_release_that_is_not_in_the_log_is_noticed(scene: Scene) -> None:
    scene.cluster.hold(N)
    board = run(scene.trustee.board(ELECTION))
    scene.line.spoil = {"index": 1, "last": 99}
    with pytest.raises((Untrusted, NoAnswer)):
        run(scene.trustee.release(board))
