"""One command of a voter at work: the wallet, a line to the nodes, the log that they are held to, the account."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client.account import Account
from .client.api import Api, Line, Public, Refused, b64
from .client.log import Log
from .client.vote import Election
from .client.voter import NotReady, OwnKeys, Voter
from .log_memory import recall
from .prompts import ask_code, compare_genesis
from .replay.options import Pin
from .voter_wallet import Wallet, held

ENDED = "this wallet is not logged in, or no longer: `ballot voter login`"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Where the wallet is, and what a command was told of nodes and log; what it was not told is remembered."""

    wallet: Path
    nodes: Sequence[str] = ()
    genesis: str | None = None
    accepted: frozenset[bytes] = frozenset()
    ca: str | None = None


class Booth:
    """Voting with the account of the wallet, once `sign_in` has returned."""

    def __init__(self, wallet: Wallet, line: Line, log: Log) -> None:
        self.wallet, self.line, self.log = wallet, line, log
        self.voter = self._person(wallet.session.email, "")

    def _person(self, email: str, password: str) -> Voter:
        account = Account(Api(self.line), email, password, ask_code)
        if login := self.wallet.session.login:
            account.resume(login)
        return Voter(account, self.log, self.wallet.store, OwnKeys())

    async def enter(self, email: str, password: str, *, register: bool) -> None:
        """Registers or logs in, and keeps the login. Raises NotReady for another's wallet, Refused, NoAnswer."""
        login = self.wallet.session.login
        self.voter = self._person(email, password)
        account = self.voter.account
        await (account.register() if register else account.login())
        if login is not None and login.user != account.id:
            await account.logout()
            raise NotReady("this wallet is of another account: use another one (--wallet)")
        self.wallet.keep(email=email, login=account.kept)

    async def sign_in(self) -> dict[str, Any]:
        """The account, as `Account.me`, with new tokens where old ones ended. Raises NotReady, Refused, NoAnswer."""
        account = self.voter.account
        if not account.refresh_token:
            raise NotReady(ENDED)
        try:
            return await account.me()
        except Refused as error:
            if error.refusal != "InvalidToken":
                raise
        try:
            await account.refresh()
        except Refused as error:
            raise NotReady(ENDED) if error.refusal == "InvalidToken" else error from error
        self.wallet.keep(login=account.kept)
        return await account.me()

    async def leave(self) -> None:
        """Ends the login. Raises NoAnswer."""
        account = self.voter.account
        if account.refresh_token:
            await account.logout()
            account.api.bearer = account.refresh_token = ""
            self.wallet.keep(login=account.kept)

    async def enrol(self, password: str | None = None) -> bool:
        """Sees that the account's identity key is this wallet's; whether it was enrolled only now.

        With the account's password it replaces another one. Raises NotReady where one is in force, Refused, NoAnswer.
        """
        if password is not None:
            self.voter = self._person(self.wallet.session.email, password)
        in_force = (await self.sign_in())["identity_key"]
        own = b64(await self.voter.identity_key())
        if in_force == own:
            return False
        if in_force is not None and password is None:
            raise NotReady("another wallet's identity key is in force: use that one, or `ballot voter enrol --replace`")
        await self.voter.enrol()
        return True

    async def election(self, election: bytes) -> Election:
        """The election, open or once open, proven to be the one in the log. Raises Untrusted, NotReady, Refused,
        NoAnswer.
        """
        await self.sign_in()
        believed = await self.voter.fetch_election(election)
        self.wallet.name(believed)
        return believed

    async def cast(self, election: Election) -> int:
        """Casts the sealed ballot, first at any node, then at the others; the entry, once the receipt is verified.

        Raises Refused, NoAnswer, Untrusted: then the vote must not be called recorded.
        """
        first = secrets.randbelow(len(self.line.urls))
        reply = await self.line.persist(lambda node: self.voter.cast(election, node), first)
        return await self.voter.accept(election, reply.json())


@asynccontextmanager
async def booth(reach: Reach) -> AsyncIterator[Booth]:
    """Raises NotReady, WalletError, Untrusted, Refused, NoAnswer."""
    with held(reach.wallet) as wallet:
        known = wallet.session
        nodes, ca = tuple(reach.nodes) or known.nodes, reach.ca or known.ca
        if not nodes:
            raise NotReady("which node? Give its address once: --node URL")
        tls = ssl.create_default_context(cafile=ca) if ca else None
        async with Line(nodes, tls=tls) as line:
            public = Public(line)
            trust = await recall(public, wallet.store, Pin(reach.genesis).hash, compare_genesis)
            for recovery in reach.accepted:
                trust.accept_recovery(recovery)
            if (nodes, ca) != (known.nodes, known.ca):
                wallet.keep(nodes=nodes, ca=ca)
            yield Booth(wallet, line, Log(public, trust, wallet.store))
