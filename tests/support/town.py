"""A town for tests: a real cluster, people with accounts, elections they vote in. One event loop for all of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from ballot.client.account import Account
from ballot.client.api import Api, Line, Public, b64
from ballot.client.log import Log
from ballot.client.organiser import Organiser
from ballot.client.trust import Trust
from ballot.client.vote import Election
from ballot.client.voter import OwnKeys, Voter
from ballot.client.wallet import MemoryStore
from ballot.cluster import Cluster
from ballot.demo_crowd import Postbox
from ballot.voting.question import Question
from tests.support.waiting import until

T = TypeVar("T")

PASSWORD = "a long enough password for tests"  # noqa: S105
FRUIT = Question("Which fruit?", "irv", ["Apple", "Banana", "Cherry"], 3)


class Town:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.numbers = itertools.count(1)
        self._runner = asyncio.Runner()
        self._opened = AsyncExitStack()
        self.line: Line
        self.organiser: Organiser
        self.organiser_account: Account

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def start(self) -> None:
        self.cluster.start()
        self.run(self._start())

    async def _start(self) -> None:
        self.line = await self._opened.enter_async_context(Line([node.url for node in self.cluster.nodes]))
        self.postbox = Postbox(self.cluster.mailbox)
        self._opened.callback(asyncio.ensure_future(self.postbox.watch()).cancel)
        self.organiser_account = await self.account("organiser@example.org")
        await self.cluster.grant("organiser@example.org", "organiser")
        self.organiser = Organiser(self.organiser_account.api)

    def stop(self) -> None:
        """Also after a start that failed half way."""
        try:
            self.run(self._opened.aclose())
            self._runner.close()
        finally:
            self.cluster.remove()

    async def account(self, email: str = "", first: int = 0) -> Account:
        """A person who registered and logged in."""
        email = email or f"person{next(self.numbers)}@example.org"
        account = Account(Api(self.line, first), email, PASSWORD, self.postbox.code)
        await account.register()
        return account

    async def voter(self, first: int = 0) -> Voter:
        """A person with an enrolled identity key, who trusts nothing but the genesis."""
        genesis = self.cluster.genesis
        store = MemoryStore()
        trust = Trust.in_genesis(genesis.header, genesis.public)
        account = await self.account(first=first)
        voter = Voter(account, Log(Public(self.line, first), trust, store), store, OwnKeys())
        await voter.enrol()
        return voter

    async def draft(self, voters: Sequence[Voter]) -> bytes:
        election = await self.organiser.draft(f"Election {next(self.numbers)}", [FRUIT])
        if voters:
            await self.organiser.upload_roll(election, [voter.account.email for voter in voters])
        return election

    async def opened(self, voters: Sequence[Voter]) -> Election:
        """An open election with these voters on its roll, as the first of them believes it."""
        election = await self.draft(voters)
        await self.organiser.open(election)
        await self.caught_up()
        return await voters[0].fetch_election(election)

    async def ready_to_cast(self, voter: Voter, election: Election, answer: Sequence[int] = (0,)) -> bytes:
        """The voter's sealed ballot, with a credential, not yet cast."""
        await voter.ask_credential(election)
        return voter.fill_in(election, [list(answer)])

    async def cast_count(self, election: Election) -> int:
        """How many ballots are recorded, read linearizably: a node that just came back may be behind."""
        path = f"/api/elections/{b64(election.id)}?consistency=linearizable"
        return int((await self.organiser_account.api.ask("GET", path)).json()["cast"])

    async def caught_up(self) -> None:
        """Returns when every running node has applied what the organiser last saw."""
        index = self.organiser_account.api.index

        async def are_there() -> bool:
            running = [node.number for node in self.cluster.nodes if node.ledger_pid]
            return all([(await self.status(number)).get("applied", 0) >= index for number in running])

        await until(are_there)

    async def status(self, number: int) -> dict[str, Any]:
        """What node `number` says of itself, {} when it does not answer."""
        client = self.cluster.nodes[number - 1].client()
        try:
            return await client.status()
        except Exception:
            return {}
        finally:
            client.close()

    async def leader(self) -> int:
        """The number of the node that leads now."""
        found: list[int] = []

        async def leads() -> bool:
            for node in self.cluster.nodes:
                if (await self.status(node.number)).get("role") == "leader":
                    found.append(node.number)
            return bool(found)

        await until(leads)
        return found[0]

    async def attested(self, election: bytes) -> dict[str, Any]:
        """The results as soon as every node has attested them."""
        found: dict[str, Any] = {}

        async def are_complete() -> bool:
            found.update(await self.organiser.results(election))
            return len(found["attestations"]) == len(self.cluster.nodes)

        await until(are_complete)
        return found


def running_town(**settings: str) -> Iterator[Town]:
    """A town on a cluster of its own, with these settings on every node; to be made a fixture."""
    town = Town(Cluster.temporary(settings={"BALLOT_AUTH_PER_CLIENT": "0", **settings}))
    try:
        town.start()
        yield town
    finally:
        town.stop()
