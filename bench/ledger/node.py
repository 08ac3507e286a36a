"""A node of the ledger alone: a state machine that records whatever it is given, and no projections."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import uvloop
from psycopg import AsyncConnection

from ballot.config import read_settings
from ballot.ledger.decision import Decision, Draft
from ballot.ledger.entry import Entry, encode_map
from ballot.ledger.node import Node
from ballot.ledger.rpc import RpcServer
from ballot.logs import configure
from ballot.run import prepare_database, relax_collector


class NoteMachine:
    """Implements `ledger.machine.StateMachine`: every command becomes a Note."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def prepare(self, commands: Sequence[bytes]) -> None: ...

    def decide(self, command: bytes, now_us: int) -> Decision:
        return [Draft("Note", encode_map({"data": command}))]

    def proposed(self, entries: Sequence[Entry]) -> None: ...

    def rewind(self) -> None: ...

    async def apply(self, connection: AsyncConnection[Any], entries: Sequence[Entry]) -> None: ...

    def applied(self, entries: Sequence[Entry]) -> None: ...


async def run() -> None:
    settings = read_settings()
    node = Node(settings.node_settings(), NoteMachine())
    rpc = RpcServer(node)
    await node.start()
    await rpc.start()
    relax_collector()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    waiting = asyncio.ensure_future(ended.wait())
    either: set[asyncio.Future[Any]] = {waiting, node.failed}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    os._exit(1 if node.failed.done() else 0)


def main() -> None:
    settings = read_settings()
    configure(settings.log_level, node=settings.node)
    prepare_database(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    main()
