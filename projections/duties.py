"""What must follow from the state without anyone asking: the schedule, the board, erasure, the key, the count.

Every duty is a command like any other, decided by the leader and safe to send twice, so it does not matter which node
does it, how often it is tried, or where it is interrupted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import BrokenExecutor
from itertools import groupby
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..ledger import rsa
from ..ledger.checkpoint import read_note
from ..ledger.node import Node
from ..ledger.raft.core import LEADER
from ..ledger.submit import Unavailable
from ..voting import commands as c
from ..voting.attestation import attestation_message
from ..voting.definition import decode_definition
from ..voting.trustee import release_message, usable
from . import publication, trustees
from .counting import BoardCounter, Counted

log = logging.getLogger("ballot.duties")

POLL_S = 0.25
SEEDS_A_CHUNK = 16_000
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
   or (status = 'cancelled' and erased_at is null and cast_count > 0)
   or (status = 'tallied' and (erased_at is null or not exists (
        select from attestations as done where done.election = elections.election and done.node = %b)))"""


class Duties:
    def __init__(self, node: Node, dsn: str) -> None:
        self._node, self._dsn = node, dsn
        self._counter = BoardCounter()

    async def run(self) -> None:
        connection = await AsyncConnection.connect(self._dsn, autocommit=True, row_factory=dict_row)
        try:
            while True:
                await asyncio.sleep(POLL_S)
                await self._look(connection)
        finally:
            await connection.close()
            self._counter.close()

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
                self._counter.close()

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
            (election["eid"], election["opened_at"], election["closed_at"] or election["applied"]),
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
        signature = rsa.sign(key, release_message(election["eid"], checkpoint.size, checkpoint.root))
        await self._submit(
            c.ReleaseTrusteeKey(election["election"], 1, p, q, checkpoint.size, checkpoint.root, signature)
        )

    async def _count(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> Counted | None:
        """The board, opened with the released keys and counted; None while fewer than k are released."""
        definition = decode_definition(election["definition"])
        keys = usable(await trustees.released(connection, election["election"]))
        if len(keys) < definition.k:
            return None
        # Any k open every ballot alike; loading a key takes longer than opening many ballots.
        keys = dict(sorted(keys.items())[: definition.k])
        return await self._counter.count(election["definition"], keys, self._board(connection, election["eid"]))

    async def _board(self, connection: AsyncConnection[Any], eid: bytes) -> AsyncIterator[list[bytes]]:
        for index in await self._chunks(connection, eid):
            yield (await self._node.table.read(index, index))[0].fields["ballots"]

    async def _chunks(self, connection: AsyncConnection[Any], eid: bytes) -> list[int]:
        cursor = await connection.execute(
            "select distinct published_at from board where eid = %b order by published_at", (eid,)
        )
        return [row["published_at"] for row in await cursor.fetchall()]

    async def _tally(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        counted = await self._count(connection, election)
        if counted is None:
            return
        seeds = counted.seeds
        for number, start in enumerate(range(0, len(seeds), SEEDS_A_CHUNK)):
            if number >= (election["seed_chunks"] or 0):
                last = start + SEEDS_A_CHUNK >= len(seeds)
                part = seeds[start : start + SEEDS_A_CHUNK]
                await self._submit(c.PublishSeeds(election["election"], number, last, part))
        await self._submit(c.PublishTally(election["election"], counted.document))

    async def _attest(self, connection: AsyncConnection[Any], election: dict[str, Any]) -> None:
        """This node's own count, from the released keys and not from the leader's seeds."""
        cursor = await connection.execute(
            "select from attestations where election = %b and node = %b",
            (election["election"], self._node.settings.node),
        )
        if await cursor.fetchone() is not None:
            return
        counted = await self._count(connection, election)
        if counted is None:
            return
        digest = hashlib.sha256(counted.document).digest()
        node = self._node.settings.node
        if digest != election["tally_digest"]:
            log.error("this node counts otherwise", extra={"election": election["election"].hex()})
        signature = rsa.sign(self._node.cosigner.keys.rsa, attestation_message(election["eid"], node, digest))
        await self._submit(c.AttestTally(election["election"], node, digest, signature))
