"""Three nodes with an open election, for the load to vote in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg

from ballot.client.account import Account
from ballot.client.api import Api, Line
from ballot.client.organiser import Organiser
from ballot.cluster import Cluster
from ballot.demo_crowd import Postbox
from ballot.projections.private import PrivateReader
from ballot.voting.definition import decode_definition
from ballot.voting.question import Question
from bench.processes import cpu_s

from .ballots import Booth

ORGANISER, PASSWORD = "organiser@example.org", "a long enough password for a benchmark"
QUESTION = Question("Which?", "plurality", ["One", "Two"], 1)


class Nodes:
    def __init__(self) -> None:
        # A warning for every ballot would be measured too; what a node logs by default stays.
        self.cluster = Cluster.temporary(settings={"BALLOT_AUTH_PER_CLIENT": "0"})

    def start(self) -> None:
        self.cluster.start()

    def stop(self) -> None:
        self.cluster.remove()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [node.settings.http for node in self.cluster.nodes]

    async def open(self, **more: Any) -> Booth:
        """Opens an election, with `more` in its draft, and takes the registrar's key out of the log.

        Only an operator could.
        """
        async with Line([node.url for node in self.cluster.nodes]) as line:
            postbox = Postbox(self.cluster.mailbox)
            watching = asyncio.ensure_future(postbox.watch())
            try:
                account = Account(Api(line), ORGANISER, PASSWORD, postbox.code)
                await account.register()
                await self.cluster.grant(ORGANISER, "organiser")
                organiser = Organiser(account.api)
                election = await organiser.draft("A benchmark", [QUESTION], **more)
                await organiser.upload_roll(election, ["voter@example.org"])
                opened = await organiser.open(election)
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
        return await self._booth(int(opened["opened_at"]))

    async def _booth(self, index: int) -> Booth:
        settings = self.cluster.nodes[0].settings
        async with await psycopg.AsyncConnection.connect(settings.dsn) as connection:
            row = await (await connection.execute("select eid, definition from elections")).fetchone()
            hidden = await PrivateReader(settings.vault()).fields(connection, index)
        assert row is not None
        definition = decode_definition(bytes(row[1]))
        trustees = tuple(bytes.fromhex(trustee.n) for trustee in definition.trustees)
        return Booth(bytes(row[0]), hidden["registrars"][0], trustees, definition.k, definition.pad_len)

    def switch_mutex(self, on: bool) -> None:
        for node in self.cluster.nodes:
            node.stop_http()
            node.environment["BALLOT_MUTEX"] = str(int(on))
            node.start_http()
        self.cluster.wait_ready()

    def cpu(self) -> Mapping[str, float]:
        """Seconds used so far by kind of process, all nodes together."""
        nodes = self.cluster.nodes
        return {
            "HTTP": cpu_s(node.http_pid for node in nodes),
            "ledger": cpu_s(node.ledger_pid for node in nodes),
            "PostgreSQL": cpu_s(node.postgres.pid for node in nodes),
            "Redis": cpu_s([self.cluster.redis.pid]),
        }
