"""What must follow from the state without anyone asking: the schedule, the board, erasure, the key, the count.

Every duty is a command like any other, decided by the leader and safe to send twice, so it does not matter which node
does it, how often it is tried, or where it is interrupted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import lru_cache
from itertools import groupby
from multiprocessing import get_context
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..ledger import rsa
from ..ledger.checkpoint import read_note
from ..ledger.frame import frame, u32, u64
from ..ledger.node import Node
from ..ledger.raft.core import LEADER
from ..ledger.submit import Unavailable
from ..voting import commands as c
from ..voting.definition import decode_definition, election_id
from ..voting.tally import Vote, count_document, open_board, seeds_of
from . import publication

log = logging.getLogger("ballot.duties")

POLL_S = 0.25
SEEDS_A_CHUNK = 16_000
OPEN_AT_ONCE = 200
SUBMIT_TIMEOUT_S = 10.0

_DUE = """
select elections.*, epochs.number as epoch, epochs.ended_at, epochs.begun,
    (select max(index) from ledger_applied) as applied
from elections left join epochs using (election)
where (status = 'scheduled' and opens_us <= %b) or (status = 'open' and closes_us > 0 and closes_us <= %b)
   or (status = 'open' and ended_at is null and since_us + interval_us <= %b
       and cast_count - coalesce(published, 0) >= ballots)
   or (status = 'open' and ended_at is not null and (begun or cast_count - casts >= ballots))
   or status in ('closed', 'published')
   or (status = 'tallied' and (erased_at is null or not exists (
        select from attestations as done where done.election = elections.election and done.node = %b)))"""


class Duties:
    def __init__(self, node: Node, dsn: str) -> None:
        self._node, self._dsn = node, dsn
        self._pool: ProcessPoolExecutor | None = None

    async def run(self) -> None:
        connection = await AsyncConnection.connect(self._dsn, autocommit=True, row_factory=dict_row)
        try:
            while True:
                await asyncio.sleep(POLL_S)
                await self._look(connection)
        finally:
            await connection.close()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    async def _look(self, connection: AsyncConnection[Any]) -> None:
        node = self._node
        now_us = node.clock.now_us()
        cursor = await connection.execute(_DUE, (now_us, now_us, now_us, node.settings.node))
        for election in await cursor.fetchall():
            try:
                await self._serve(connection, election)
            except Unavailable as error:
                # It must not keep the others waiting.
                log.warning("a duty has to wait", extra={"error": str(error)})
            except BrokenExecutor:
                # The process that opens ballots was ended, perhaps for want of memory: the ledger goes on.
                log.exception("opening ballots failed, it starts anew")
                self._pool = None

    async def _serve(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        node = self._node
        if election["status"] == "tallied":
            await self._attest(connection, election)
        if node.core.role == LEADER and node.applier.applied >= election["applied"]:
            await self._advance(connection, election)

    async def _advance(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        """The leader's next step for one election."""
        if election["status"] == "scheduled":
            await self._submit(c.StartElection(election["election"]))
        elif election["status"] == "open" and 0 < election["closes_us"] <= self._node.clock.now_us():
            await self._submit(c.CloseElection(election["election"], b""))
        elif election["status"] in ("open", "closed"):
            await self._publish(connection, election)
        elif election["erased_at"] is None:
            await self._erase(connection, election)
        elif election["status"] == "published":
            await self._release_own_key(connection, election)
            await self._tally(connection, election)

    async def _submit(self, command: c.AnyCommand) -> None:
        node = self._node
        verdict = await node.submitter.submit(c.encode_command(command), receipt=False, timeout_s=SUBMIT_TIMEOUT_S)
        name = type(command).__name__
        if verdict.refusal:
            log.warning("duty refused", extra={"duty": name, "refusal": verdict.refusal, "detail": verdict.detail})
            raise Unavailable(f"{name} was refused: {verdict.refusal}")
        log.info("duty done", extra={"duty": name, "index": verdict.index})

    # -- the board

    async def _publish(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        async for command in publication.steps(connection, self._node.table, election):
            await self._submit(command)

    async def _erase(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        """Erases the casts' private parts, in runs that hold no other election's casts."""
        cursor = await connection.execute(
            "select entry.index, casts.cast_at is not null as own from ledger_entry as entry"
            " left join casts on casts.cast_at = entry.index and casts.eid = %b"
            " where entry.kind = 'BallotCast' and entry.index between %b and %b order by entry.index",
            (election["eid"], election["opened_at"], election["closed_at"]),
        )
        rows = await cursor.fetchall()
        runs = [[row["index"] for row in run] for own, run in groupby(rows, key=lambda row: row["own"]) if own]
        runs = runs or [[election["opened_at"]]]
        for run in runs:
            await self._submit(c.EraseCasts(election["election"], run[0], run[-1], run is runs[-1]))

    # -- the keys and the count

    async def _private(self, election: dict[str, Any]) -> dict[str, Any]:
        entry = (await self._node.table.read(election["opened_at"], election["opened_at"]))[0]
        return entry.private_fields

    async def _release_own_key(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        """The cluster's own trustee key, if it has one: only after a majority signed for the whole board."""
        pem = (await self._private(election)).get("trustee")
        if not pem:
            return
        node = self._node
        node.cosigner.want(election["published_at"])
        try:
            async with asyncio.timeout(SUBMIT_TIMEOUT_S):
                note = await node.notes.covering(election["published_at"])
        except TimeoutError as error:
            raise Unavailable("no majority has signed for the whole board yet") from error
        checkpoint = read_note(note)
        # Checking the key takes longer than a follower waits for a sign of life, and does not need the interpreter.
        key = await asyncio.to_thread(rsa.load_private, pem)
        numbers = key.private_numbers()
        p, q = (value.to_bytes(192, "big") for value in sorted((numbers.p, numbers.q), reverse=True))
        signature = rsa.sign(key, frame("release", election["eid"], u64(checkpoint.size), checkpoint.root))
        await self._submit(
            c.ReleaseTrusteeKey(election["election"], 1, p, q, checkpoint.size, checkpoint.root, signature)
        )

    async def _votes(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> list[Vote | None] | None:
        """Every ballot of the board, opened with the released keys; no list while fewer than k are released."""
        definition = decode_definition(election["definition"])
        cursor = await connection.execute(
            "select number, p, q from trustees where election = %b and released_at is not null order by number",
            (election["election"],),
        )
        keys = {row["number"]: (row["p"], row["q"]) for row in await cursor.fetchall()}
        if len(keys) < definition.k:
            return None
        if self._pool is None:
            # Opening holds the interpreter's lock: it goes to another process, off the consensus path.
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        loop = asyncio.get_running_loop()
        votes: list[Vote | None] = []
        for index in await self._chunks(connection, election["eid"]):
            bodies = (await self._node.table.read(index, index))[0].fields["ballots"]
            for start in range(0, len(bodies), OPEN_AT_ONCE):
                part = bodies[start : start + OPEN_AT_ONCE]
                votes += await loop.run_in_executor(self._pool, _open_part, election["definition"], keys, part)
        return votes

    async def _chunks(self, connection: AsyncConnection[Any], eid: bytes) -> list[int]:
        cursor = await connection.execute(
            "select distinct published_at from board where eid = %b order by published_at", (eid,)
        )
        return [row["published_at"] for row in await cursor.fetchall()]

    async def _tally(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        votes = await self._votes(connection, election)
        if votes is None:
            return
        seeds = seeds_of(votes)
        for number, start in enumerate(range(0, len(seeds), SEEDS_A_CHUNK)):
            if number >= (election["seed_chunks"] or 0):
                last = start + SEEDS_A_CHUNK >= len(seeds)
                part = seeds[start : start + SEEDS_A_CHUNK]
                await self._submit(c.PublishSeeds(election["election"], number, last, part))
        await self._submit(c.PublishTally(election["election"], _document(election, votes)))

    async def _attest(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        """This node's own count, from the released keys and not from the leader's seeds."""
        cursor = await connection.execute(
            "select from attestations where election = %b and node = %b",
            (election["election"], self._node.settings.node),
        )
        if await cursor.fetchone() is not None:
            return
        votes = await self._votes(connection, election)
        if votes is None:
            return
        digest = hashlib.sha256(_document(election, votes)).digest()
        node = self._node.settings.node
        signature = rsa.sign(self._node.cosigner.keys.rsa, frame("attest", election["eid"], u32(node), digest))
        await self._submit(c.AttestTally(election["election"], node, digest, signature))


def _document(election: dict[str, Any], votes: list[Vote | None]) -> bytes:
    return count_document(decode_definition(election["definition"]), election["eid"], votes)


def _open_part(definition_bytes: bytes, keys: dict[int, tuple[bytes, bytes]], bodies: list[bytes]) -> list[Vote | None]:
    """Runs in the pool's process. `keys`: trustee number to the released primes."""
    loaded = {number: _private_key(p, q) for number, (p, q) in keys.items()}
    return open_board(decode_definition(definition_bytes), election_id(definition_bytes), bodies, loaded)


@lru_cache(maxsize=64)
def _private_key(p: bytes, q: bytes) -> RSAPrivateKey:
    return rsa.private_from_primes(int.from_bytes(p, "big"), int.from_bytes(q, "big"))
