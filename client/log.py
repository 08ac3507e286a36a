"""Reading the public log with trust: every checkpoint followed, every entry proven."""

from __future__ import annotations

import asyncio
import time

from ..ledger.checkpoint import Checkpoint, CheckpointError, parse_body, read_note
from ..ledger.entry import Entry, EntryError, parse
from ..ledger.recovery import KIND as RECOVERED
from ..ledger.succession import SuccessionError, places
from .api import NoAnswer, Public, Refused, Reply, unb64
from .trust import Fork, Recovered, ShownChange, Trust, Untrusted, note_of
from .wallet import Store

CHECKPOINT_RECORD, MEMBERS_RECORD = "checkpoint", "members"
PATIENCE_S = 20.0
POLL_S = 0.1
MOST_CHANGES = 10_000


class Log:
    """One client's view of the log. What it believes is stored: the newest checkpoint, so that a fork shows in later
    runs too, and the members, so that it need not walk from the genesis again.
    """

    def __init__(self, public: Public, trust: Trust, store: Store) -> None:
        self.public, self.trust, self._store = public, trust, store
        kept = store.load(CHECKPOINT_RECORD)
        trust.resume(parse_body(kept) if kept is not None else None, store.load(MEMBERS_RECORD))

    async def believe(self, note: bytes) -> Checkpoint:
        """The checkpoint of a note, once a majority of the members at its size is seen to have signed it and it
        continues what was seen before. Changes of members up to there are followed, each proven.

        Raises Untrusted (Fork; Recovered, see there), NoAnswer.
        """
        checkpoint, proof = self._signed(note), list[bytes]()
        if checkpoint is not None:
            proof, newest = await self._consistency(*self.trust.span(checkpoint))
            # Members who signed may do so no longer; whoever was removed long ago may even have lost its keys.
            if newest <= self.trust.succession.newest:
                return self._follow(checkpoint, proof)
        failure = await self._follow_changes(note)
        if failure is None:
            return self.trust.verify(note)
        if checkpoint is None or isinstance(failure, Recovered):
            raise failure
        return self._follow(checkpoint, proof)  # Nobody could prove the changes that some node spoke of.

    async def receipt(self, text: bytes, body: bytes) -> int:
        """The index at which a receipt proves this very ballot to be recorded. Raises Untrusted, NoAnswer."""
        await self.believe(note_of(text))
        return self.trust.receipt(text, body)[0]

    def _signed(self, note: bytes) -> Checkpoint | None:
        try:
            return self.trust.verify(note)
        except Untrusted:
            return None

    def _follow(self, checkpoint: Checkpoint, proof: list[bytes]) -> Checkpoint:
        self.trust.follow(checkpoint, proof)
        self._store.save(CHECKPOINT_RECORD, self.trust.newest.body())
        return checkpoint

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
            if _number(reply, "last") < index:
                raise NoAnswer(f"this node has not reached entry {index}")

        reply = await self.public.get("/api/ledger/entries", {"from": index, "to": index}, reaches)
        query = {"index": index, "size": checkpoint.size}
        proof = _hashes(await self.public.get("/api/ledger/proof/inclusion", query))
        return self.trust.entry(*_only(reply, index), index, checkpoint, proof)

    async def _newest(self) -> int:
        """Follows the newest checkpoint of some node; the size of the largest one followed so far, 0 if none."""
        try:
            reply = await self.public.get("/api/ledger/checkpoint")
        except Refused as error:
            if error.refusal == "NoCheckpoint":
                return 0
            raise
        await self.believe(reply.body)
        return self.trust.newest.size

    async def _consistency(self, old: int, new: int) -> tuple[list[bytes], int]:
        """The proof, and which membership entry is the newest of the first `new` entries, as a node says."""
        if old == new:
            return [], 0
        reply = await self.public.get("/api/ledger/proof/consistency", {"old": old, "new": new})
        return _hashes(reply), _number(reply, "members")

    # -- changes of members

    async def _follow_changes(self, note: bytes) -> Exception | None:
        """Asks one node after another who the members up to `note` are, until one can prove it; else what failed."""
        failures: list[Exception] = []
        for node in self.public.nodes:
            try:
                await self._follow_changes_at(node, note)
            except (Untrusted, Refused, NoAnswer) as error:
                failures.append(error)
            else:
                return None
        return min(failures, key=_rank)

    async def _follow_changes_at(self, node: int, note: bytes) -> None:
        claimed = _claimed(note)
        entries = await self._changes_at(node, claimed.size)
        changes = [await self._shown(node, entry, claimed.size) for entry in entries]
        old, new = self.trust.span(claimed)
        proof = await self._consistency_at(node, old, new)
        self.trust.follow_changes(changes, note, proof)
        self._store.save(MEMBERS_RECORD, self.trust.kept())
        self._store.save(CHECKPOINT_RECORD, self.trust.newest.body())

    async def _changes_at(self, node: int, size: int) -> list[Entry]:
        """The membership entries that this node shows beyond those believed and within the first `size`, unproven."""
        found: list[Entry] = []
        while len(found) <= MOST_CHANGES:
            first = (found[-1].index if found else self.trust.succession.newest) + 1
            reply = await self.public.get_at(node, "/api/ledger/members", {"from": first})
            if _number(reply, "last") < size:
                raise NoAnswer(f"this node has not reached entry {size}")
            page = [_parsed(header, public) for header, public in _entries(reply)]
            if not page or page[0].index > size:
                return found
            if page[0].index < first:
                raise Untrusted("the members shown are out of order")
            found += [entry for entry in page if entry.index <= size]
        raise Untrusted("the members change without end")

    async def _shown(self, node: int, entry: Entry, size: int) -> ShownChange:
        inclusion = await self._inclusion_at(node, entry.index, size)
        if entry.kind == RECOVERED:
            return ShownChange(entry, inclusion)
        try:
            announced, signed = places(entry)
        except SuccessionError as error:
            raise Untrusted(f"the members: {error}") from error
        reply = await self.public.get_at(node, "/api/ledger/entries", {"from": announced, "to": announced})
        announcement = _parsed(*_only(reply, announced))
        proof = await self._inclusion_at(node, announced, size)
        return ShownChange(entry, inclusion, announcement, proof, await self._consistency_at(node, signed, size))

    async def _inclusion_at(self, node: int, index: int, size: int) -> list[bytes]:
        return _hashes(await self.public.get_at(node, "/api/ledger/proof/inclusion", {"index": index, "size": size}))

    async def _consistency_at(self, node: int, old: int, new: int) -> list[bytes]:
        if old == new:
            return []
        return _hashes(await self.public.get_at(node, "/api/ledger/proof/consistency", {"old": old, "new": new}))


def _rank(failure: Exception) -> int:
    """What to report when no node could prove who the members are: the gravest, or what asking again may mend."""
    kinds = (Recovered, Fork, NoAnswer, Untrusted, Refused)
    return next(rank for rank, kind in enumerate(kinds) if isinstance(failure, kind))


def _claimed(note: bytes) -> Checkpoint:
    try:
        return read_note(note)
    except CheckpointError as error:
        raise Untrusted(f"the checkpoint: {error}") from error


def _parsed(header: bytes, public: bytes) -> Entry:
    try:
        return parse(header, public)
    except EntryError as error:
        raise Untrusted(f"an entry that was shown: {error}") from error


def _only(reply: Reply, index: int) -> tuple[bytes, bytes]:
    """Header and public payload of the one entry that was asked for."""
    entries = _entries(reply)
    if len(entries) != 1:
        raise Untrusted(f"entry {index} was not shown")
    return entries[0]


def _entries(reply: Reply) -> list[tuple[bytes, bytes]]:
    try:
        return [(unb64(fields["header"]), unb64(fields["public"])) for fields in reply.json()["entries"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted("the entries shown do not parse") from error


def _hashes(reply: Reply) -> list[bytes]:
    try:
        return [unb64(node) for node in reply.json()["proof"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted("a proof does not parse") from error


def _number(reply: Reply, name: str) -> int:
    try:
        return int(reply.json()[name])
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted(f"an answer without {name}") from error
