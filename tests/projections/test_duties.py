"""Duties: what goes wrong with one waits for the next try, and never ends the node."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ballot.ledger import rsa
from ballot.ledger.node import Node
from ballot.ledger.submit import Unavailable
from ballot.projections import duties, trustees
from ballot.projections.duties import Duties
from ballot.voting.trustee import product
from tests.support.log_builder import ELECTION, factors_of, trustee_election_log, trustee_key


async def _never(size: int) -> bytes:
    await asyncio.Event().wait()
    return b""


def test_the_key_waits_for_a_checkpoint_that_no_majority_signs_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    async def private(self: Duties, election: dict[str, Any]) -> dict[str, Any]:
        return {"trustee": b"a key"}

    monkeypatch.setattr(duties, "SUBMIT_TIMEOUT_S", 0.01)
    monkeypatch.setattr(Duties, "_private", private)
    cut_off = SimpleNamespace(cosigner=SimpleNamespace(want=int), notes=SimpleNamespace(covering=_never))
    duty = Duties(cast(Node, cut_off), "")
    with pytest.raises(Unavailable, match="no majority"):
        asyncio.run(duty._release_own_key(cast(Any, None), {"published_at": 7}))


def test_a_released_key_that_is_none_counts_as_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    log = trustee_election_log()
    keys = [(number, rsa.modulus(trustee_key(number)), *factors_of(number)) for number in (1, 2)]
    (_, n, p, q), bad = keys[0], (2, keys[1][1], *factors_of(3))
    composite = (3, product(q, q), q, q)

    class Counter:
        """Says which keys it was given."""

        async def count(self, definition: bytes, keys: dict[int, tuple[bytes, bytes]], board: object) -> list[int]:
            return sorted(keys)

    async def used(*released: tuple[int, bytes, bytes, bytes]) -> object:
        async def found(connection: object, election: bytes) -> list[tuple[int, bytes, bytes, bytes]]:
            return list(released)

        monkeypatch.setattr(trustees, "released", found)
        row = {"election": ELECTION, "eid": log.eid, "definition": log.document}
        return await duty._count(cast(Any, None), row)

    duty = Duties(cast(Node, SimpleNamespace()), "")
    duty._counter = cast(Any, Counter())
    assert log.definition.k == 2
    for released in ([], keys[:1], [keys[0], bad], [keys[0], composite], [(1, n, q, p), keys[1]]):
        assert asyncio.run(used(*released)) is None
    assert asyncio.run(used(*keys)) == [1, 2]
    assert asyncio.run(used(keys[0], bad, keys[1])) == [1, 2]


def test_an_election_that_has_to_wait_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[int] = []

    async def serve(self: Duties, connection: object, election: dict[str, int]) -> None:
        served.append(election["number"])
        if election["number"] == 1:
            raise Unavailable("refused")

    class Due:
        async def execute(self, query: str, values: object) -> Due:
            return self

        async def fetchall(self) -> list[dict[str, int]]:
            return [{"number": 1}, {"number": 2}]

    monkeypatch.setattr(Duties, "_serve", serve)
    node = SimpleNamespace(clock=SimpleNamespace(now_us=lambda: 0), settings=SimpleNamespace(node=1))
    asyncio.run(Duties(cast(Node, node), "")._look(cast(Any, Due())))
    assert served == [1, 2]
