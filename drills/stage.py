"""What every drill needs: people with accounts, an election, a line to all nodes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from ..client import board, vote
from ..client.account import Account
from ..client.api import Api, Line, NoAnswer, Public, Refused, Reply, b64
from ..client.log import Log
from ..client.organiser import Organiser
from ..client.trust import Trust
from ..client.vote import Election
from ..client.voter import BALLOT_KEY_BITS, IDENTITY_RECORD, OwnKeys, Voter
from ..client.wallet import MemoryStore, Secrets, decode_secrets
from ..ledger import rsa
from ..ledger.client import LedgerClient
from ..ledger.entry import Entry
from ..voting import commands as c
from ..voting.ballot import parse_ballot
from ..voting.question import Question
from .post import DOMAIN, DrillPost
from .record import Failed, expect

TITLE = "Drill: "
QUESTION = Question("Does everything work?", "plurality", ["Yes", "No"], 1)
TALLY_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True)
class Parts:
    """`node`: the node that runs the drill. `urls`: where each node's API is. `gently`: leaders are asked to step down
    and not ended."""

    node: int
    urls: Mapping[int, str]
    ledger: LedgerClient
    redis: Redis
    genesis: Entry
    gently: bool = False
    patience_s: float = field(default=30.0)


class Stage:
    def __init__(self, parts: Parts, line: Line) -> None:
        self.parts, self.line, self.ledger, self.redis = parts, line, parts.ledger, parts.redis
        self.numbers = list(parts.urls)
        self.public = Public(line)
        self._post = DrillPost(parts.redis)
        self._organiser: Account | None = None
        self._stores: dict[bytes, MemoryStore] = {}

    # -- people

    async def account(self, role: str) -> Account:
        """A new person, registered and confirmed."""
        address = f"{role}-{secrets.token_hex(6)}{DOMAIN}"
        account = Account(Api(self.line), address, secrets.token_urlsafe(24), self._post.code)
        await account.register()
        return account

    async def organiser(self) -> Organiser:
        if self._organiser is None:
            account = self._organiser = await self.account("organiser")
            grant = c.GrantRole(secrets.token_bytes(16), account.id, "organiser", b"")
            answer = await self.ledger.submit(c.encode_command(grant))
            account.api.index = max(account.api.index, answer.index)
        return Organiser(self._organiser.api)

    async def voters(self, count: int) -> list[Voter]:
        return list(await asyncio.gather(*(self._voter() for _ in range(count))))

    async def _voter(self) -> Voter:
        account, store, genesis = await self.account("voter"), MemoryStore(), self.parts.genesis
        log = Log(self.public, Trust.in_genesis(genesis.header, genesis.public), store)
        voter = Voter(account, log, store, OwnKeys())
        self._stores[account.id] = store
        await voter.enrol()
        return voter

    # -- an election

    async def open(self, voters: Sequence[Voter]) -> Election:
        """An open election with these voters on its roll, as the first of them believes it."""
        organiser = await self.organiser()
        election = await organiser.draft(f"{TITLE}{secrets.token_hex(4)}", [QUESTION])
        await organiser.upload_roll(election, [voter.account.email for voter in voters])
        await organiser.open(election)
        assert self._organiser is not None
        for voter in voters:
            voter.account.api.index = max(voter.account.api.index, self._organiser.api.index)
        return await voters[0].fetch_election(election)

    async def fill_in(self, voters: Sequence[Voter], election: Election) -> None:
        """Each with a credential and a sealed ballot, not yet cast."""
        for voter in voters:
            await voter.ask_credential(election)
            voter.fill_in(election, [[0]])

    async def opened(self, count: int) -> tuple[list[Voter], Election]:
        voters = await self.voters(count)
        election = await self.open(voters)
        await self.fill_in(voters, election)
        return voters, election

    def secrets(self, voter: Voter, election: Election) -> Secrets:
        """What an honest client would never show."""
        data = self._stores[voter.account.id].load(election.eid.hex())
        assert data is not None
        return decode_secrets(data)

    def rivals(self, voter: Voter, election: Election, count: int) -> list[bytes]:
        """So many different ballots under the voter's one credential."""
        secrets = self.secrets(voter, election)
        key = rsa.load_private(secrets.ballot_key)
        return [vote.seal_ballot(election, key, secrets, [[number % 2]]) for number in range(count)]

    async def ask_second_credential(self, voter: Voter, election: Election) -> Reply:
        """For another ballot key, rightly signed. Raises Refused, as it must."""
        pem = self._stores[voter.account.id].load(IDENTITY_RECORD)
        assert pem is not None
        other = vote.begin(election, await asyncio.to_thread(rsa.generate, BALLOT_KEY_BITS))
        signature = vote.issue_request(rsa.load_private(pem), election, voter.account.id, other.blinded)
        fields = {"blinded": b64(other.blinded), "identity_sig": b64(signature)}
        return await voter.account.api.ask("POST", f"/api/elections/{b64(election.id)}/credential", fields)

    async def cast_count(self, election: Election) -> int:
        """Read linearizably."""
        assert self._organiser is not None
        path = f"/api/elections/{b64(election.id)}?consistency=linearizable"
        return int((await self._organiser.api.ask("GET", path)).json()["cast"])

    async def close(self, election: Election) -> dict[str, Any]:
        """The results, once counted."""
        organiser = await self.organiser()
        await organiser.close(election.id)
        await organiser.wait_for(election.id, ("tallied",), TALLY_S)
        return await organiser.results(election.id)

    async def download(self, election: Election) -> set[bytes]:
        """The names of all ballots on the board."""
        assert self._organiser is not None
        return {parse_ballot(ballot).name for ballot in await board.download(self._organiser.api, election.id)}

    # -- requests

    async def ask(self, method: str, path: str, fields: dict[str, str] | None = None, bearer: str = "") -> Reply:
        """A request of nobody in particular, or with this access token. Raises Refused, NoAnswer."""
        api = Api(self.line)
        api.bearer = bearer
        return await api.ask(method, path, fields)

    async def outcome(self, body: bytes, place: int) -> tuple[str, Reply | None]:
        """What one node says to a cast: `recorded`, `known`, a refusal's name, or `no answer`."""
        try:
            reply = await self.public.cast(body, place % len(self.numbers))
        except Refused as error:
            return error.refusal, None
        except NoAnswer as error:
            return f"no answer ({error})", None
        return ("recorded" if reply.status == 201 else "known"), reply

    # -- nodes

    async def leader(self) -> int:
        """The number of the node that leads. Raises Failed."""
        deadline = time.monotonic() + self.parts.patience_s
        while time.monotonic() < deadline:
            leader = int((await self.ledger.status())["leader"])
            if leader and (await self.ledger.status_of(leader))["role"] == "leader":
                return leader
            await asyncio.sleep(POLL_S)
        raise Failed("no node leads")

    async def leader_other_than(self, node: int) -> int:
        deadline = time.monotonic() + self.parts.patience_s
        while (leader := await self.leader()) == node:
            expect(time.monotonic() < deadline, f"node {node} still leads")
            await asyncio.sleep(POLL_S)
        return leader

    async def digests(self) -> set[str]:
        """The public state digests of all nodes, as soon as they stand at one entry. Raises Failed."""
        deadline = time.monotonic() + self.parts.patience_s
        while time.monotonic() < deadline:
            places = range(len(self.numbers))
            views = [(await self.public.get_at(place, "/api/ledger/digest")).json() for place in places]
            if len({view["index"] for view in views}) == 1:
                return {str(view["digest"]) for view in views}
            await asyncio.sleep(POLL_S)
        raise Failed("the nodes do not come to one log index")
