"""The count of a whole board in a process of its own: opening and counting hold the interpreter's lock for long, and a
ledger process that does not answer in time is taken for dead.

Votes stay in that process. What comes back is what is published: the seeds, and the count document.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..ledger import rsa
from ..ledger.child import end_with_parent
from ..voting.definition import ElectionDefinition, decode_definition, election_id
from ..voting.tally import Count, open_board, seeds_of

OPEN_AT_ONCE = 200

Primes = dict[int, tuple[bytes, bytes]]
"""Trustee number to the released (p, q)."""


class Counted(NamedTuple):
    """`seeds` are one a ballot in board order, empty for an invalid one; `document` is the count's."""

    seeds: list[bytes]
    document: bytes


class BoardCounter:
    """Counts one board at a time. The process is started when it is first needed."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def count(self, definition: bytes, keys: Primes, chunks: AsyncIterator[list[bytes]]) -> Counted:
        """Opens every ballot with the keys, not with anybody's seeds, and counts.

        Raises BrokenExecutor when the process was ended: begin again.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent)
        loop, pool = asyncio.get_running_loop(), self._pool
        seeds: list[bytes] = []
        await loop.run_in_executor(pool, begin, definition)
        async for bodies in chunks:
            for start in range(0, len(bodies), OPEN_AT_ONCE):
                part = bodies[start : start + OPEN_AT_ONCE]
                seeds += await loop.run_in_executor(pool, take, definition, keys, part)
        return Counted(seeds, await loop.run_in_executor(pool, finish))

    def close(self) -> None:
        """Ends the process; another count starts a new one."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


# -- in that process

_running: Count | None = None


def begin(definition: bytes) -> None:
    """Whatever was being counted is forgotten."""
    global _running
    _running = Count(decode_definition(definition), election_id(definition))


def take(definition: bytes, keys: Primes, bodies: list[bytes]) -> list[bytes]:
    """Opens and counts the next ballots; their seeds."""
    assert _running is not None
    loaded = {number: _private_key(p, q) for number, (p, q) in keys.items()}
    votes = open_board(_definition(definition), election_id(definition), bodies, loaded)
    for vote in votes:
        _running.add(vote)
    return seeds_of(votes)


def finish() -> bytes:
    """The count document."""
    assert _running is not None
    return _running.document()


@lru_cache(maxsize=8)
def _definition(data: bytes) -> ElectionDefinition:
    return decode_definition(data)


@lru_cache(maxsize=64)
def _private_key(p: bytes, q: bytes) -> RSAPrivateKey:
    return rsa.private_from_primes(int.from_bytes(p, "big"), int.from_bytes(q, "big"))
