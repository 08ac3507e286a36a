"""What a worker checks of trustees before consensus hears of it, and what users are told about keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ballot.http.drafts import Draft, DraftBody, DraftChange, amended, draft_of
from ballot.http.opening import define_election
from ballot.http.parse import B64, decode
from ballot.http.problems import Refused
from ballot.http.services import Services
from ballot.http.trustee_state import KeyState, trustee_view
from ballot.http.trustees import EnrolBody, KeyRelease, ReleaseBody, _check_key
from ballot.ledger import rsa
from ballot.ledger.checkpoint import Checkpoint, assemble, cosign
from ballot.ledger.merkle import Tree
from ballot.ledger.proof import leaf_hash
from ballot.ledger.submit import Unavailable
from ballot.projections.trustees import Trustee
from ballot.voting.definition import Registrar, Roll, decode_definition
from ballot.voting.question import Question
from ballot.voting.trustee import release_message
from tests.api.test_app import ask, refusal
from tests.support.chain import ORIGIN, genesis
from tests.support.keys import node_key
from tests.support.log_builder import factors_of, trustee_key
from tests.support.services import StubLedger, make_deps

EID = b"e" * 32
DRAFT = Draft("Board", [Question("Who?", "plurality", ["A", "B"], 1)], 0, 0)
TREE = Tree()
for leaf in range(9):
    TREE.append(leaf_hash(bytes([leaf])))


def row(number: int | None, **more: Any) -> Trustee:
    n = None if number is None else rsa.modulus(trustee_key(number))
    return Trustee(b"d" * 16, number, f"Trustee {number}", n, bytes(16), 5, 6, **more)


TRUSTEES = [row(1), row(2), row(3)]


def released(number: int, of: int | None = None) -> Trustee:
    p, q = factors_of(of or number)
    return replace(row(number), p=p, q=q, released_at=9)


# -- how many keys


def test_more_than_half_are_needed_unless_the_draft_says_otherwise() -> None:
    assert [DRAFT.needed(trustees) for trustees in (0, 1, 2, 3, 4, 9)] == [1, 1, 2, 2, 3, 5]
    assert with_k(3).needed(9) == 3


def with_k(k: int) -> Draft:
    return amended(DRAFT, DraftChange(k=k))


def test_a_draft_carries_k_and_gives_it_up_again() -> None:
    body = decode(DraftBody, b'{"title":"T","questions":[],"k":4}')
    assert draft_of(body).k == 4
    assert amended(with_k(4), DraftChange(k=0)).k == 0
    assert amended(with_k(4), DraftChange(title="Other")).k == 4


@pytest.mark.parametrize("k", ["10", "-1", "null", '"2"', "2.5"])
def test_a_k_that_no_election_can_have_is_refused(k: str) -> None:
    with pytest.raises(Refused):
        decode(DraftBody, b'{"title":"T","questions":[],"k":%s}' % k.encode())


def test_the_definition_has_the_trustees_in_their_order_and_no_k_beyond_them() -> None:
    holders = [(f"Trustee {number}", rsa.modulus(trustee_key(number))) for number in (2, 1, 3)]
    registrars, roll = [Registrar(1, "f" * 768)], Roll(1, "0" * 64)
    made = decode_definition(define_election(with_k(3), registrars, holders, roll, genesis()))
    assert [trustee.name for trustee in made.trustees] == ["Trustee 2", "Trustee 1", "Trustee 3"]
    assert made.k == 3
    with pytest.raises(Refused, match="k is not between") as caught:
        define_election(with_k(4), registrars, holders, roll, genesis())
    assert caught.value.refusal == "BadDefinition"


def test_the_count_waits_for_keys_only_between_board_and_count() -> None:
    some = [released(1), row(2), row(3)]
    assert KeyState.of("published", DRAFT, TRUSTEES) == KeyState(2, 0, 2)
    assert KeyState.of("published", DRAFT, some) == KeyState(2, 1, 1)
    assert KeyState.of("published", DRAFT, [*map(released, (1, 2, 3))]) == KeyState(2, 3, 0)
    for status in ("draft", "open", "closed", "tallied"):
        assert KeyState.of(status, DRAFT, TRUSTEES).missing == 0


def test_a_key_that_is_none_counts_as_withheld_for_those_who_look_too() -> None:
    bad = released(2, of=3)
    assert KeyState.of("published", DRAFT, [released(1), bad]).missing == 1
    assert [trustee_view(one).status for one in (row(None), row(1), released(1), bad)] == [
        *("invited", "enrolled", "released", "enrolled"),
    ]
    assert trustee_view(bad).released_at is None


# -- a release


def release(number: int = 1, *, size: int = 7, signer: int | None = None, **changes: Any) -> ReleaseBody:
    p, q = factors_of(number)
    root = TREE.root(size) if size <= TREE.size else bytes(32)
    signature = rsa.sign(trustee_key(signer or number), release_message(EID, size, root))
    fields: dict[str, Any] = {"p": p, "q": q, "size": size, "root": root, "signature": signature, **changes}
    return msgspec.convert(
        {name: B64(value) if isinstance(value, bytes) else value for name, value in fields.items()}, ReleaseBody
    )


def test_a_good_key_is_known_by_its_factors() -> None:
    assert [asyncio.run(_check_key(release(number), EID, TRUSTEES)) for number in (1, 2, 3)] == [1, 2, 3]


P, Q = factors_of(1)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"p": Q, "q": P}, "BadTrusteeKey"),
        ({"p": factors_of(2)[0]}, "BadTrusteeKey"),
        ({"p": P[1:]}, "BadTrusteeKey"),
        ({"p": P + b"\0"}, "BadTrusteeKey"),
        ({"p": bytes(192)}, "BadTrusteeKey"),
        ({"signer": 2}, "BadSignature"),
        ({"signature": b""}, "BadSignature"),
        ({"root": bytes(31)}, "CheckpointDiffers"),
        ({"root": bytes(32)}, "BadSignature"),
    ],
    ids=str,
)
def test_a_bad_key_is_refused_by_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as caught:
        asyncio.run(_check_key(release(**changes), EID, TRUSTEES))
    assert (caught.value.refusal, caught.value.status) == (name, 422)


def test_a_modulus_that_is_no_product_of_two_primes_is_refused_at_its_release() -> None:
    """Nobody can see that in a modulus; whoever enrolled it has withheld a key."""
    odd = row(1)
    n = (int.from_bytes(Q, "big") * (int.from_bytes(Q, "big") + 2)).to_bytes(384, "big")
    larger = (int.from_bytes(Q, "big") + 2).to_bytes(192, "big")
    with pytest.raises(Refused, match="not prime"):
        asyncio.run(_check_key(release(p=larger, q=Q), EID, [replace(odd, n=n)]))


class Point(StubLedger):
    """Has the tree of nine entries and a checkpoint of eight."""

    async def checkpoint(self) -> bytes:
        point = Checkpoint(ORIGIN, 8, TREE.root(8))
        return assemble(point, [cosign(node_key(1), f"{ORIGIN}/node1", point, 1)])

    async def consistency(self, old: int, new: int) -> list[bytes]:
        return TREE.consistency_proof(old, new)


def check_point(body: ReleaseBody, published_at: int = 5) -> None:
    async def run() -> None:
        services = Services(make_deps(Point(applied=9)))
        await KeyRelease(services)._check_point(body, published_at, 9)

    asyncio.run(run())


def test_a_checkpoint_of_this_log_over_the_whole_board_is_taken() -> None:
    for size in (5, 7, 8):
        check_point(release(size=size))


@pytest.mark.parametrize(
    ("size", "changes", "name"),
    [
        (4, {}, "CheckpointTooEarly"),
        (7, {"root": bytes(32)}, "CheckpointDiffers"),
        (8, {"root": bytes(32)}, "CheckpointDiffers"),
        (10, {}, "BadRange"),
    ],
)
def test_another_checkpoint_is_refused(size: int, changes: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as caught:
        check_point(release(size=size, **changes))
    assert caught.value.refusal == name


def test_a_node_without_so_new_a_checkpoint_says_ask_again() -> None:
    with pytest.raises(Unavailable):
        check_point(release(size=9))


# -- at the door

PATH = "/api/elections/AAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize("what", ["trustees", "trustees/invite", "trustees/withdraw", "trustee-key"])
def test_every_route_of_trustees_needs_a_token(what: str) -> None:
    headers = {"Content-Type": "application/json"}
    assert refusal(ask("POST", f"{PATH}/{what}", headers=headers)) == (401, "NotAuthenticated")


def test_a_body_of_another_shape_is_refused() -> None:
    for body in (b"{}", b'{"n":"AA","name":"T","proof":"AA","more":1}', b'{"n":"A=","name":"T","proof":"AA"}'):
        with pytest.raises(Refused) as caught:
            decode(EnrolBody, body)
        assert caught.value.refusal == "MalformedBody"
