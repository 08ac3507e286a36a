"""`ballot demo`: a whole election on a cluster of this machine, over HTTP, with the leader killed half way.

Everything is what a real election has: full key sizes, bcrypt at its full cost, mailed codes, three databases that
sync to disk. The ballots are real too, drawn from an election with a published result.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from .client import board
from .client.account import Account
from .client.api import Line, NoAnswer, Public
from .client.log import Log
from .client.organiser import Organiser
from .client.trust import Trust
from .client.vote import Election
from .client.voter import BALLOT_KEY_BITS, IDENTITY_BITS, Voter
from .client.wallet import MemoryStore
from .cluster import Cluster
from .demo_casting import Casting
from .demo_checks import Findings, agree, audit_export, check_board, conclude
from .demo_crowd import Crowd, KeyPool, Postbox, address_of, each
from .demo_show import Show
from .sample import Sample, draw, load_minneapolis
from .voting.counting import count_election

DATA = Path(__file__).parents[1] / "tests" / "data" / "minneapolis-2017-mayor.csv"
ORGANISER = "organiser@example.org"
PEOPLE_AT_ONCE = 8
KEY_THREADS = 2
COUNT_TIMEOUT_S = 120.0
POLL_S = 0.2


def run_demo(cluster: Cluster, ballots: int, seed: int) -> int:
    """Starts the cluster, runs the election with this many ballots, stops the cluster; the exit status.

    The same `seed` draws the same ballots. 0 only if every acknowledged ballot is counted, once, the count is that of
    the drawn ballots, all nodes agree and the audit passes.
    """
    sample = load_minneapolis(DATA)
    drawn = draw(sample, ballots, seed)
    with tempfile.TemporaryDirectory(prefix="ballot-voters-") as folder:
        try:
            with Show() as show:
                found = asyncio.run(_Demo(cluster, sample, drawn, show, Path(folder)).run())
        finally:
            cluster.stop()
    return conclude(show, sample.question, found)


class _Demo:
    def __init__(self, cluster: Cluster, sample: Sample, drawn: Sequence[list[int]], show: Show, folder: Path) -> None:
        self._cluster, self._sample, self._drawn = cluster, sample, drawn
        self._show, self._folder = show, folder
        self._started = time.monotonic()
        self._voters: list[Voter] = []

    async def run(self) -> Findings:
        count = len(self._drawn)
        made = self._show.bar("making the voters' keys", 2 * count)
        keys = KeyPool({IDENTITY_BITS: count, BALLOT_KEY_BITS: count}, KEY_THREADS, made)
        try:
            with self._show.stage(f"starting the cluster in {self._cluster.folder}"):
                await asyncio.to_thread(self._cluster.start)
            async with Line([node.url for node in self._cluster.nodes]) as line:
                return await self._vote_and_check(line, keys)
        finally:
            keys.close()

    async def _vote_and_check(self, line: Line, keys: KeyPool) -> Findings:
        organiser = await self._register(line, keys)
        actions = Organiser(organiser.api)
        election = await self._open(actions)
        believed = await self._credentials(election, organiser.api.index)
        casting = await self._cast(line, believed)
        await self._restart(line, casting)
        results = await self._close(actions, election)
        return await self._check(line, organiser, believed, casting, results)

    async def _register(self, line: Line, keys: KeyPool) -> Account:
        nodes, count = len(line.urls), len(self._drawn)
        voters: dict[int, Voter] = {}
        step = self._show.bar("registering, confirming, logging in, enrolling keys", count)
        async with _watched(Postbox(self._cluster.mailbox)) as postbox:
            crowd = Crowd(line, self._cluster.genesis, postbox, keys, self._folder)
            organiser = await crowd.account(ORGANISER, 0)
            await self._cluster.grant(ORGANISER, "organiser")

            async def register(number: int) -> None:
                voters[number] = await crowd.voter(number, number % nodes)
                step()

            await each(range(count), register, PEOPLE_AT_ONCE)
        self._voters = [voters[number] for number in range(count)]
        return organiser

    async def _open(self, organiser: Organiser) -> bytes:
        with self._show.stage("draft, roll, open"):
            election = await organiser.draft(self._sample.title, [self._sample.question])
            await organiser.upload_roll(election, map(address_of, range(len(self._voters))))
            await organiser.open(election)
        return election

    async def _credentials(self, election: bytes, opened: int) -> Election:
        """The election, after every voter has checked for itself that it is the one in the log.

        Voters learn its id outside the log, and with it the index by which it was `opened`.
        """
        beliefs: dict[int, Election] = {}
        step = self._show.bar("checking the definition, asking for credentials, sealing", len(self._voters))

        async def ask(number: int) -> None:
            voter = self._voters[number]
            voter.account.api.index = max(voter.account.api.index, opened)
            beliefs[number] = await voter.fetch_election(election)
            await voter.ask_credential(beliefs[number])
            voter.fill_in(beliefs[number], [self._drawn[number]])
            step()

        await each(range(len(self._voters)), ask, PEOPLE_AT_ONCE)
        return beliefs[0]

    async def _cast(self, line: Line, election: Election) -> Casting:
        step = self._show.bar("casting at all nodes, the leader killed half way", len(self._voters))
        casting = Casting(line, self._cluster.nodes, self._voters, election)
        await casting.run(step)
        return casting

    async def _restart(self, line: Line, casting: Casting) -> None:
        with self._show.stage(f"restarting node {self._cluster.nodes[casting.victim].number}, which catches up"):
            self._cluster.nodes[casting.victim].start_ledger()
            await agree(line, max(casting.acknowledged.values()))

    async def _close(self, organiser: Organiser, election: bytes) -> dict[str, Any]:
        """The results once every node has attested the count."""
        with self._show.stage("closing, publishing, opening, counting, attesting"):
            await organiser.close(election)
            await organiser.wait_for(election, ("tallied",), COUNT_TIMEOUT_S)
            deadline = time.monotonic() + COUNT_TIMEOUT_S
            while True:
                results = await organiser.results(election)
                if len(results["attestations"]) == len(self._cluster.nodes):
                    return results
                if time.monotonic() > deadline:
                    raise NoAnswer("not every node has attested the count")
                await asyncio.sleep(POLL_S)

    async def _check(
        self, line: Line, account: Account, election: Election, casting: Casting, results: dict[str, Any]
    ) -> Findings:
        with self._show.stage("voters look for their ballots and verify their receipts"):
            ballots = await board.download(account.api, election.id)
            seen = check_board(self._voters, election, ballots, set(casting.acknowledged))
        with self._show.stage("comparing the nodes, auditing the export"):
            index, digests = await agree(line, account.api.index)
            export = await self._export(line, index)
            report = await asyncio.to_thread(audit_export, export, self._cluster.genesis.hash)
        return Findings(
            ballots=len(self._drawn),
            casting=casting,
            board=seen,
            results=results,
            expected=count_election(
                [self._sample.question],
                [[answer] for answer in self._drawn],
                bytes.fromhex(results["tally"]["lot"]),
            ),
            index=index,
            digests=digests,
            report=report,
            seconds=time.monotonic() - self._started,
        )

    async def _export(self, line: Line, index: int) -> bytes:
        """An export as anybody gets it, once a majority has signed for everything up to entry `index`."""
        public, genesis = Public(line), self._cluster.genesis
        log = Log(public, Trust.in_genesis(genesis.header, genesis.public), MemoryStore())
        await log.checkpoint(index)
        return (await public.get("/api/ledger/export")).body


@asynccontextmanager
async def _watched(postbox: Postbox) -> AsyncIterator[Postbox]:
    watching = asyncio.create_task(postbox.watch())
    try:
        yield postbox
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
