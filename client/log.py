"""Reading the public log with trust: every checkpoint followed, every entry proven."""

from __future__ import annotations

import asyncio
import time

from ..ledger.checkpoint import Checkpoint, parse_body
from ..ledger.entry import Entry
from .api import NoAnswer, Public, Refused, Reply, unb64
from .trust import Trust, Untrusted
from .wallet import Store

RECORD = "checkpoint"
PATIENCE_S = 20.0
POLL_S = 0.1


class Log:
    """One client's view of the log. The newest checkpoint is stored, so that a fork shows in later runs too."""

    def __init__(self, public: Public, trust: Trust, store: Store) -> None:
        self.public, self.trust, self._store = public, trust, store
        kept = store.load(RECORD)
        if kept is not None:
            trust.resume(parse_body(kept))

    async def follow(self, checkpoint: Checkpoint) -> None:
        """Accepts a verified checkpoint after asking for its consistency proof. Raises Untrusted, NoAnswer."""
        old, new = self.trust.span(checkpoint)
        proof = await self._proof("consistency", {"old": old, "new": new}) if old != new else []
        self.trust.follow(checkpoint, proof)
        self._store.save(RECORD, self.trust.newest.body())

    async def checkpoint(self, at_least: int) -> Checkpoint:
        """A followed checkpoint of at least so many entries. Raises Untrusted, NoAnswer when none comes in time."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            size = await self._newest()
            if size >= at_least:
                return self.trust.newest
            if time.monotonic() > deadline:
                raise NoAnswer(f"no checkpoint covers entry {at_least} yet")
            await asyncio.sleep(POLL_S)

    async def entry(self, index: int) -> Entry:
        """Entry `index`, proven to be under a majority-signed checkpoint. Raises Untrusted, NoAnswer."""
        checkpoint = await self.checkpoint(index)

        def reaches(reply: Reply) -> None:
            if _last(reply) < index:
                raise NoAnswer(f"this node has not reached entry {index}")

        reply = await self.public.get("/api/ledger/entries", {"from": index, "to": index}, reaches)
        proof = await self._proof("inclusion", {"index": index, "size": checkpoint.size})
        try:
            (fields,) = reply.json()["entries"]
            header, public = unb64(fields["header"]), unb64(fields["public"])
        except (KeyError, TypeError, ValueError) as error:
            raise Untrusted(f"entry {index} was not shown") from error
        return self.trust.entry(header, public, index, checkpoint, proof)

    async def _newest(self) -> int:
        """Follows the newest checkpoint of some node; the size of the largest one followed so far, 0 if none."""
        try:
            reply = await self.public.get("/api/ledger/checkpoint")
        except Refused as error:
            if error.refusal == "NoCheckpoint":
                return 0
            raise
        await self.follow(self.trust.verify(reply.body))
        return self.trust.newest.size

    async def _proof(self, kind: str, query: dict[str, int]) -> list[bytes]:
        reply = await self.public.get(f"/api/ledger/proof/{kind}", query)
        try:
            return [unb64(node) for node in reply.json()["proof"]]
        except (KeyError, TypeError, ValueError) as error:
            raise Untrusted(f"the {kind} proof does not parse") from error


def _last(reply: Reply) -> int:
    try:
        return int(reply.json()["last"])
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted("the entries shown do not parse") from error
