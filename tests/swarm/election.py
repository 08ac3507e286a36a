"""A whole election through the gateway, while the stack is hurt and then rolled to another image."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ballot.client import board
from ballot.client.account import Account
from ballot.client.api import Line, NoAnswer, Public
from ballot.client.log import Log
from ballot.client.organiser import Organiser
from ballot.client.trust import Trust
from ballot.client.vote import Election
from ballot.client.voter import BALLOT_KEY_BITS, IDENTITY_BITS, Voter
from ballot.client.wallet import MemoryStore
from ballot.demo import ORGANISER
from ballot.demo_checks import audit_export, check_board
from ballot.demo_crowd import Crowd, KeyPool, Postbox, address_of, each
from ballot.sample import Sample, draw
from ballot.voting.counting import count_election

from .stack import NODES, Report, Stack

PEOPLE_AT_ONCE, KEY_THREADS = 4, 2
TIMEOUT_S, POLL_S, PAUSE_S = 240.0, 0.5, 0.1
PATIENCE_S = 120.0


@dataclass
class Outcome:
    """What was seen. `facts` are (what, value, whether it is as it must be)."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    again: int = 0
    moved: int = 0
    longest_gap_s: float = 0.0
    facts: list[tuple[str, str, bool]] = field(default_factory=list)

    def note(self, what: str, value: object, fine: bool) -> None:
        self.facts.append((what, str(value), fine))


class Casting:
    """Voters cast one after the other, and cast again what is recorded, for as long as something is done to the stack.

    Of a ballot sent again the answer must name the same place in the log.
    """

    def __init__(self, line: Line, voters: list[Voter], election: Election, outcome: Outcome) -> None:
        self._line, self._voters, self._election, self._outcome = line, voters, election, outcome
        self._next, self._last = 0, time.monotonic()

    async def during(self, work: Callable[[], Awaitable[Any]], share: float) -> None:
        """Casts until `work` is done and `share` of all voters (0 to 1) have cast."""
        doing = asyncio.ensure_future(work())
        enough = round(share * len(self._voters))
        self._last = time.monotonic()
        turn = 0
        while not doing.done() or self._next < enough:
            # A new ballot now and then, so that some are left for the end; recorded ones in between.
            if self._next < enough and (turn % 5 == 0 or doing.done()):
                await self._cast(self._next)
                self._next += 1
            elif self._outcome.acknowledged:
                await self._cast_again(turn % len(self._outcome.acknowledged))
            turn += 1
            await asyncio.sleep(PAUSE_S)
        await doing

    async def _cast(self, number: int) -> None:
        voter = self._voters[number]
        reply = await self._line.persist(lambda node: voter.cast(self._election, node))
        self._answered()
        self._outcome.acknowledged[number] = await voter.accept(self._election, reply.json())

    async def _cast_again(self, number: int) -> None:
        voter = self._voters[number]
        reply = await self._line.persist(lambda node: voter.cast(self._election, node))
        self._answered()
        self._outcome.again += 1
        self._outcome.moved += reply.json()["index"] != self._outcome.acknowledged[number]

    def _answered(self) -> None:
        now = time.monotonic()
        self._outcome.longest_gap_s = max(self._outcome.longest_gap_s, now - self._last)
        self._last = now


class Run:
    def __init__(self, stack: Stack, sample: Sample, mail: Path, folder: Path, count: int, say: Report) -> None:
        self._stack, self._sample, self._mail, self._folder, self._say = stack, sample, mail, folder, say
        self._drawn = draw(sample, count, 2017)
        self._outcome = Outcome()

    async def run(self) -> Outcome:
        self._say("drills")
        failed = await asyncio.to_thread(self._stack.drill)
        self._outcome.note("drills", failed or "all passed", not failed)
        await asyncio.to_thread(self._stack.wait_ready)
        async with Line([self._stack.url], tls=self._stack.tls, patience_s=PATIENCE_S) as line:
            organiser, voters = await self._people(line)
            actions = Organiser(organiser.api)
            election = await self._open(actions, voters, organiser.api)
            await self._hurt(Casting(line, voters, election, self._outcome))
            await self._count(actions, election.id)
            await self._check(line, organiser, election, voters)
        return self._outcome

    async def _people(self, line: Line) -> tuple[Account, list[Voter]]:
        count, found = len(self._drawn), {}
        self._say(f"{count} voters register and log in, with codes by SMTP")
        keys = KeyPool({IDENTITY_BITS: count, BALLOT_KEY_BITS: count}, KEY_THREADS, lambda: None)
        postbox = Postbox(self._mail)
        watching = asyncio.create_task(postbox.watch())
        try:
            crowd = Crowd(line, self._stack.genesis, postbox, keys, self._folder)
            organiser = await crowd.account(ORGANISER, 0)
            await asyncio.to_thread(self._stack.grant, ORGANISER, "organiser")

            async def register(number: int) -> None:
                found[number] = await crowd.voter(number, 0)

            await each(range(count), register, PEOPLE_AT_ONCE)
        finally:
            watching.cancel()
            keys.close()
        return organiser, [found[number] for number in range(count)]

    async def _open(self, actions: Organiser, voters: list[Voter], api: Any) -> Election:
        self._say("the election opens, voters get credentials")
        election = await actions.draft(self._sample.title, [self._sample.question])
        await actions.upload_roll(election, map(address_of, range(len(voters))))
        await actions.open(election)
        believed: dict[int, Election] = {}

        async def ask(number: int) -> None:
            voter = voters[number]
            voter.account.api.index = max(voter.account.api.index, api.index)
            believed[number] = await voter.fetch_election(election)
            await voter.ask_credential(believed[number])
            voter.fill_in(believed[number], [self._drawn[number]])

        await each(range(len(voters)), ask, PEOPLE_AT_ONCE)
        return believed[0]

    async def _hurt(self, casting: Casting) -> None:
        ready = await asyncio.to_thread(self._stack.wait_ready)
        leader = ready[1]["leader"]
        self._say(f"SIGKILL to node {leader}, which leads")
        await casting.during(lambda: self._kill(f"ledger{leader}"), 0.3)
        other = next(node for node in NODES if node != leader)
        self._say(f"SIGKILL to the PostgreSQL of node {other}")
        await casting.during(lambda: self._kill(f"postgres{other}"), 0.6)
        self._say("another image and rotated secrets, one node after the other (some minutes)")
        await casting.during(self._roll, 1.0)

    async def _kill(self, service: str) -> None:
        before = await asyncio.to_thread(self._stack.container, service)
        await asyncio.to_thread(self._stack.kill, service)
        await asyncio.sleep(2)
        ready = await asyncio.to_thread(self._stack.wait_ready)
        after = await asyncio.to_thread(self._stack.container, service)
        came_back = len(ready) == len(NODES) and after not in ("", before)
        self._outcome.note(f"{service} after SIGKILL", "all nodes ready" if came_back else "NOT BACK", came_back)

    async def _roll(self) -> None:
        before = {node: self._stack.image(f"ledger{node}") for node in NODES}
        rolling = await asyncio.to_thread(self._stack.roll)
        status = await asyncio.to_thread(rolling.wait)
        await asyncio.to_thread(self._stack.wait_ready)
        changed = all(self._stack.image(f"ledger{node}") != before[node] for node in NODES)
        self._outcome.note("rolling update", f"status {status}", status == 0 and changed)

    async def _count(self, actions: Organiser, election: bytes) -> None:
        self._say("closing, counting, attesting")
        await actions.close(election)
        await actions.wait_for(election, ("tallied",), TIMEOUT_S)
        deadline = time.monotonic() + TIMEOUT_S
        while len((results := await actions.results(election))["attestations"]) < len(NODES):
            if time.monotonic() > deadline:
                raise NoAnswer("not every node has attested the count")
            await asyncio.sleep(POLL_S)
        agreeing = sum(bool(one["agrees"]) for one in results["attestations"])
        self._outcome.note("attested by", f"{agreeing} of {len(NODES)} nodes", agreeing == len(NODES))
        expected = count_election([self._sample.question], [[answer] for answer in self._drawn])
        right = results["tally"]["questions"] == expected
        self._outcome.note("count", "that of the ballots drawn" if right else "WRONG", right)

    async def _check(self, line: Line, organiser: Account, election: Election, voters: list[Voter]) -> None:
        out, total = self._outcome, len(voters)
        seen = check_board(voters, election, await board.download(organiser.api, election.id), set(out.acknowledged))
        out.note("ballots acknowledged", len(out.acknowledged), len(out.acknowledged) == total)
        out.note("ballots on the board", seen.published, seen.published == total)
        out.note("lost (acknowledged, not on the board)", seen.lost, seen.lost == 0)
        out.note("double (one credential, two ballots)", seen.double, seen.double == 0)
        out.note("receipts that do not verify", seen.unproven, seen.unproven == 0)
        out.note("cast again and answered alike", out.again - out.moved, out.again > 0 and out.moved == 0)
        out.note("longest wait between two answers", f"{out.longest_gap_s:.1f} s", True)
        digests = await self._agree(organiser.api.index)
        out.note(
            "public state of the nodes", "equal" if len(digests) == 1 else f"DIFFERENT: {digests}", len(digests) == 1
        )
        public, genesis = Public(line), self._stack.genesis
        log = Log(public, Trust.in_genesis(genesis.header, genesis.public), MemoryStore())
        await log.checkpoint(organiser.api.index)
        export = (await public.get("/api/ledger/export")).body
        report = await asyncio.to_thread(audit_export, export, genesis.hash)
        out.note("audit of the export", f"{report.entries} entries", report.passed)

    async def _agree(self, at_least: int) -> set[str]:
        """The digests of all nodes, as soon as they are of one log index."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            answers = [await asyncio.to_thread(self._stack.ask, node, "/api/ledger/digest") for node in NODES]
            indexes = {answer["index"] for answer in answers if answer is not None}
            if None not in answers and len(indexes) == 1 and min(indexes) >= at_least:
                return {answer["digest"] for answer in answers}
            await asyncio.sleep(POLL_S)
        raise NoAnswer("the nodes did not reach one log index")
