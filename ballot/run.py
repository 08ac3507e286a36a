"""`ballot node`: the ledger process of one node, from start to an orderly end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from contextlib import suppress
from typing import Any

import uvloop

from .config import Settings
from .ledger.migrate import migrate, require_migrated
from .ledger.node import Node
from .ledger.raft.core import LEADER
from .ledger.raft.messages import ConfRefused, NotLeader
from .ledger.rpc import RpcServer
from .ledger.table import install_genesis
from .post import make_post
from .projections.duties import Duties
from .projections.machine import ElectionMachine
from .projections.mailing import Mailing

log = logging.getLogger("ballot.run")

HANDOVER_S = 1.0


def prepare_database(settings: Settings) -> None:
    """Migrates, or sees that a job of its own has; puts the genesis in place.

    Raises SchemaTooNew, SchemaTooOld, UnsafeDatabase, psycopg.Error.
    """
    (migrate if settings.migrate else require_migrated)(settings.dsn)
    install_genesis(settings.dsn, settings.genesis())


def relax_collector() -> None:
    """For a process that has loaded what it runs: Python's collector passes over it no more, and looks more rarely.

    Every entry makes some dozens of objects, hardly any of them in cycles; by default that is a pass every few entries.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def run_node(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT, or raises what made the node fail."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))


async def _run(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    machine = ElectionMachine(settings.dsn)
    node = Node(settings.node_settings(), machine)
    rpc = RpcServer(node)
    await node.start()
    mailing = Mailing(node, settings.dsn, make_post(settings))
    node.spawn(Duties(node, settings.dsn).run())
    node.spawn(mailing.run())
    await rpc.start()
    relax_collector()
    log.info("node is up", extra={"socket": str(settings.socket)})
    ending = asyncio.ensure_future(asked_to_end.wait())
    waited: set[asyncio.Future[Any]] = {ending, node.failed}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if node.failed.done():
        node.failed.result()
    await mailing.stop()
    await _hand_over(node)
    await rpc.stop()
    await node.stop()
    log.info("node has ended")


async def _hand_over(node: Node) -> None:
    """A leader that ends on purpose gives the cluster a new one first."""
    if node.core.role != LEADER:
        return
    try:
        best = node.hand_over()
    except (NotLeader, ConfRefused) as error:
        log.warning("leadership was not handed over", extra={"error": str(error)})
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(node.no_longer_leader(), HANDOVER_S)
    log.info("leadership handed over", extra={"to": best, "still_leader": node.core.role == LEADER})
