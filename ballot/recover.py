"""`ballot node recover`: one node goes on alone because a majority of the cluster is gone for good.

The last resort of an operator, on the node that is left: its ledger process must have ended, and the others must not
come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from .config import Settings
from .ledger.entry import Entry
from .ledger.members import address_of
from .ledger.membership import Membership
from .ledger.migrate import migrate
from .ledger.raft.quorum import has_majority
from .ledger.recovery import Recovery, nodes_in_words
from .ledger.survivor import RecoveryRefused, Survivor

CONNECT_TIMEOUT_S = 2.0


async def recover(
    settings: Settings, *, force: bool, confirm: Callable[[Sequence[str]], bool], restored: bool = False
) -> Entry | None:
    """Returns the entry that says it, None when `confirm`, which is shown what will happen, returns False.

    `force`: even while a majority of the nodes may be running. `restored`: from a copy of its database.
    Raises RecoveryRefused, SchemaTooNew, and what
    `Survivor.examine` and `Survivor.go_on` raise.
    """
    if await _answers(asyncio.open_unix_connection(str(settings.socket))):
        raise RecoveryRefused(f"the ledger process of node {settings.node} still runs: stop it first")
    await asyncio.to_thread(migrate, settings.dsn)
    survivor = Survivor(settings.node_settings(), settings.genesis())
    try:
        recovery = await survivor.examine(restored=restored)
        running = await _maybe_running(settings, survivor.members)
        if not force and has_majority({settings.node, *running}, survivor.members.conf.voters):
            raise RecoveryRefused(
                f"{nodes_in_words(running)} may still be running (something listens at that address, or BALLOT_PEERS "
                "lacks it): with them this node is a majority and needs no recovery; --force goes on all the same"
            )
        if not confirm(_plan(recovery, survivor.last, running)):
            return None
        return await survivor.go_on(recovery)
    finally:
        await survivor.close()


async def _maybe_running(settings: Settings, members: Membership) -> list[int]:
    """The other voters that cannot be told to be down: those whose address is not known, or answers."""
    known = {node.id: address_of(node.address) for node in members.nodes if node.address} | dict(settings.peers)
    others = [voter for voter in members.conf.voters if voter != settings.node]

    async def maybe(voter: int) -> bool:
        return voter not in known or await _answers(asyncio.open_connection(*known[voter]))

    found = await asyncio.gather(*map(maybe, others))
    return [voter for voter, there in zip(others, found, strict=True) if there]


async def _answers(connecting: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    """Whether anything listens there: a process that hangs may wake up again."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await connecting
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _plan(recovery: Recovery, last: Entry, running: Collection[int]) -> list[str]:
    lines = [
        f"node {recovery.survivor} goes on alone: {nodes_in_words(recovery.lost)} will be members no longer",
        f"its last entry is {last.index} of term {last.term}, its last checkpoint is of {recovery.checkpoint} entries",
        *recovery.in_words(),
    ]
    if running:
        lines.append(f"{nodes_in_words(running)} may still be running: stop them for good")
    return lines
