"""The town that is hurt: voters made many at a time, and the questions asked of it afterwards."""

from __future__ import annotations

import asyncio

from ballot.client.api import NoAnswer, Public
from ballot.client.log import Log
from ballot.client.trust import Trust
from ballot.client.vote import Election
from ballot.client.voter import BALLOT_KEY_BITS, IDENTITY_BITS, Voter
from ballot.client.wallet import MemoryStore
from ballot.demo_crowd import KeyPool, each
from tests.support.town import Town

from .casters import Papers, prepare
from .machines import HurtCluster

KEY_THREADS = 2
AT_ONCE = 8


class HurtTown(Town):
    def __init__(self, cluster: HurtCluster, voters: int) -> None:
        super().__init__(cluster)
        self.hurt = cluster
        self._voters = voters
        self._keys = KeyPool({IDENTITY_BITS: voters, BALLOT_KEY_BITS: voters}, KEY_THREADS, lambda: None)

    async def opened_with_papers(self) -> tuple[Election, list[Papers]]:
        """An open election, every voter's two ballots sealed."""
        voters: list[Voter] = []

        async def enrol(number: int) -> None:
            voters.append(await self._voter(number))

        papers: list[Papers] = []
        await each(range(self._voters), enrol, AT_ONCE)
        election = await self.opened(voters)

        async def ask(number: int) -> None:
            await voters[number].ask_credential(election)
            papers.append(prepare(voters[number], election))

        await each(range(self._voters), ask, AT_ONCE)
        return election, papers

    async def _voter(self, number: int) -> Voter:
        genesis, store, node = self.cluster.genesis, MemoryStore(), number % len(self.cluster.nodes)
        account = await self.account(first=node)
        trust = Trust.in_genesis(genesis.header, genesis.public)
        voter = Voter(account, Log(Public(self.line, node), trust, store), store, self._keys)
        await voter.enrol()
        return voter

    async def export(self, index: int) -> bytes:
        """As anybody gets it once a majority has signed for everything up to entry `index`."""
        genesis = self.cluster.genesis
        public = Public(self.line)
        log = Log(public, Trust.in_genesis(genesis.header, genesis.public), MemoryStore())
        await log.checkpoint(index)
        return (await public.get("/api/ledger/export")).body

    async def all_ready(self, timeout_s: float) -> None:
        """Raises NoAnswer when a node is not ready by then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not all([await asyncio.to_thread(node.is_ready) for node in self.cluster.nodes]):
            if loop.time() > deadline:
                raise NoAnswer("a node did not get ready after everything was healed")
            await asyncio.sleep(0.2)

    async def leading(self) -> int:
        """The number of the node that leads, as far as the nodes can say at once; 0 for none."""

        async def role(number: int) -> str:
            try:
                async with asyncio.timeout(0.5):
                    return str((await self.status(number)).get("role", ""))
            except TimeoutError:
                return ""

        roles = await asyncio.gather(*(role(node.number) for node in self.cluster.nodes))
        return roles.index("leader") + 1 if "leader" in roles else 0

    def close_keys(self) -> None:
        self._keys.close()
