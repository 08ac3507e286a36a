"""Clients that cast without a pause while things go wrong, and hold the nodes to what they answered."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec

from ballot.client import vote
from ballot.client.api import Line, NoAnswer, Public, Refused, Reply
from ballot.client.trust import Untrusted
from ballot.client.vote import Election
from ballot.client.voter import Voter

AT_ONCE = 8
RACES = 0.3  # of all first casts, with the rival at the same time
REST_S = (0.02, 0.15)
RETRY_S = (0.02, 0.2)
LAST_PATIENCE_S = 180.0


@dataclass
class Papers:
    """One credential, and two ballots sealed under it, of which one may count. `counted` is the acknowledged one."""

    voter: Voter
    bodies: tuple[bytes, bytes]
    counted: int = -1
    answer: dict[str, Any] = field(default_factory=dict)
    accepted: bool = False


def prepare(voter: Voter, election: Election) -> Papers:
    """Of a voter who has the credential."""
    secrets = voter.secrets(election)
    assert secrets is not None
    key = voter._key(secrets.ballot_key)
    one, other = (vote.seal_ballot(election, key, secrets, [[choice]]) for choice in (0, 1))
    return Papers(voter, (one, other))


class Casters:
    """`counts` by what happened, `violations` in words, `answered` the times of all answers (monotonic, s)."""

    def __init__(self, line: Line, election: Election, papers: list[Papers], seed: int) -> None:
        self._public, self._nodes = Public(line), len(line.urls)
        self._election, self._papers = election, papers
        self._rng = random.Random(seed)
        self._fresh = list(papers)
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.answered: list[float] = []

    async def run(self, seconds: float) -> None:
        """Spreads the first casts over the time; what then is not cast, or has no answer, is cast until it has one."""
        self._begun, self._seconds = time.monotonic(), seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._cast_on())

    @property
    def longest_gap_s(self) -> float:
        return max((later - earlier for earlier, later in pairwise(sorted(self.answered))), default=0.0)

    @property
    def counted(self) -> list[Papers]:
        return [papers for papers in self._papers if papers.counted >= 0]

    async def accept_all(self) -> None:
        """Every acknowledged voter verifies the receipt, and that its checkpoint agrees with all seen before."""
        for papers in self.counted:
            await self._accept(papers)
            if not papers.accepted:
                self.violations.append("a checkpoint cannot be followed although all nodes are up")

    # -- one client

    async def _cast_on(self) -> None:
        while (elapsed := time.monotonic() - self._begun) < self._seconds or self._fresh:
            due = len(self._papers) * elapsed / (0.9 * self._seconds)
            if self._fresh and len(self._papers) - len(self._fresh) < due:
                await self._first_cast(self._fresh.pop())
            elif self.counted:
                await self._again(self._rng.choice(self.counted))
            await asyncio.sleep(self._rng.uniform(*REST_S))

    async def _first_cast(self, papers: Papers) -> None:
        # The secrets keep one body: the one that is recorded, once that is known.
        tries = [0, 1] if self._rng.random() < RACES else [0]
        outcomes = await asyncio.gather(*(self._until_answered(papers.bodies[which]) for which in tries))
        won = [which for which, outcome in zip(tries, outcomes, strict=True) if isinstance(outcome, Reply)]
        self.counts["races"] += len(tries) == 2
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                self._check_refusal(outcome)
        if len(won) != 1:
            self.violations.append(f"{len(won)} of {len(tries)} ballots of one credential were recorded: {outcomes}")
            return
        (papers.counted,) = won
        reply = outcomes[tries.index(papers.counted)]
        assert isinstance(reply, Reply)
        papers.answer = reply.json()
        self.counts["acknowledged"] += 1
        self._keep(papers)
        await self._accept(papers)

    def _keep(self, papers: Papers) -> None:
        secrets = papers.voter.secrets(self._election)
        assert secrets is not None
        papers.voter._keep(msgspec.structs.replace(secrets, body=papers.bodies[papers.counted]))

    async def _accept(self, papers: Papers) -> None:
        try:
            await papers.voter.accept(self._election, papers.answer)
            papers.accepted = True
        except NoAnswer:
            self.counts["receipts verified only afterwards"] += 1
        except Untrusted as error:
            self.violations.append(f"a receipt does not verify: {error}")

    async def _until_answered(self, body: bytes) -> Reply | Refused | None:
        """None when all patience is exhausted, long after everything was healed."""
        missed = 0
        while time.monotonic() < self._begun + self._seconds + LAST_PATIENCE_S:
            outcome = await self._once(body)
            if outcome is not None:
                if missed and isinstance(outcome, Reply):
                    self.counts["unanswered, cast again"] += 1
                    self.counts["of these recorded already"] += outcome.status == 200
                return outcome
            missed += 1
            await asyncio.sleep(self._rng.uniform(*RETRY_S))
        self.violations.append("a ballot was never answered")
        return None

    async def _again(self, papers: Papers) -> None:
        """The same ballot gets the same receipt anywhere; the other ballot is refused everywhere."""
        is_rival = self._rng.random() < 0.5
        outcome = await self._once(papers.bodies[1 - papers.counted if is_rival else papers.counted])
        if isinstance(outcome, Refused) and is_rival:
            self._check_refusal(outcome)
        elif isinstance(outcome, Refused):
            self.violations.append(f"a recorded ballot cast again was refused: {outcome}")
        elif outcome is not None and is_rival:
            self.violations.append(f"a second ballot was recorded: {outcome.body[:200]!r}")
        elif outcome is not None:
            self._check_same(papers, outcome)

    def _check_same(self, papers: Papers, reply: Reply) -> None:
        self.counts["cast again, same receipt"] += 1
        answer = reply.json()
        if reply.status != 200 or any(answer[name] != papers.answer[name] for name in ("index", "header", "salt")):
            self.violations.append(f"the same ballot got another receipt: {answer['index']}, {papers.answer['index']}")

    def _check_refusal(self, refused: Refused) -> None:
        self.counts["rivals refused"] += 1
        if refused.refusal != "AlreadyCast":
            self.violations.append(f"a second ballot was refused for another reason: {refused}")

    async def _once(self, body: bytes) -> Reply | Refused | None:
        try:
            reply: Reply | Refused = await self._public.cast(body, self._rng.randrange(self._nodes))
        except NoAnswer:
            self.counts["tries without an answer"] += 1
            return None
        except Refused as error:
            reply = error
        self.answered.append(time.monotonic())
        return reply
