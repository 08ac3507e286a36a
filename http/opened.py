"""Elections that were opened, ready for the hot path. A definition never changes, so they are kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from psycopg import AsyncConnection

from ..ledger import rsa
from ..ledger.client import LedgerClient
from ..ledger.frame import frame
from ..projections import queries
from ..projections.private import PrivateReader
from ..voting.ballot import BALLOT_KEY_BYTES, CREDENTIAL_BYTES, EID_BYTES, PREFIX_BYTES, cast_frame
from ..voting.blind import BlindSigner
from ..voting.definition import ElectionDefinition, decode_definition
from ..voting.envelope import Context, envelope_size
from .position import Position
from .problems import Refused

KEEP = 256

K = TypeVar("K")
V = TypeVar("V")


class Reading(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]: ...


@dataclass(frozen=True)
class Opened:
    """What is needed to issue for an election and to check its ballots."""

    election: bytes
    eid: bytes
    opened_at: int
    definition: ElectionDefinition

    @cached_property
    def registrars(self) -> dict[int, bytes]:
        """The registrar's modulus of each weight."""
        return {registrar.weight: bytes.fromhex(registrar.n) for registrar in self.definition.registrars}

    @cached_property
    def trustees(self) -> tuple[bytes, ...]:
        return tuple(bytes.fromhex(trustee.n) for trustee in self.definition.trustees)

    @cached_property
    def body_bytes(self) -> int:
        """The one size that every ballot of this election has."""
        envelope = bytes(envelope_size(len(self.trustees), self.definition.pad_len))
        eid, bpk, prefix, credential = map(bytes, (EID_BYTES, BALLOT_KEY_BYTES, PREFIX_BYTES, CREDENTIAL_BYTES))
        return len(frame("ballot", cast_frame(eid, bpk, prefix, credential, envelope), bytes(BALLOT_KEY_BYTES)))

    def context(self, bid: bytes) -> Context:
        return Context(self.eid, bid, self.definition.k, self.trustees, self.definition.pad_len)


class OpenedElections:
    """Looks elections up in this node's tables, once a worker."""

    def __init__(self, reading: Reading, private: PrivateReader, ledger: LedgerClient, position: Position) -> None:
        self._reading, self._private, self._ledger, self._position = reading, private, ledger, position
        self._by_eid: OrderedDict[bytes, Opened] = OrderedDict()
        self._signers: OrderedDict[tuple[bytes, int], BlindSigner] = OrderedDict()
        self._loading = asyncio.Lock()

    async def by_eid(self, eid: bytes) -> Opened:
        """Raises Refused(UnknownElection), Unavailable."""
        if (known := self._by_eid.get(eid)) is not None:
            return known
        found = await self._find(eid)
        if found is None:
            # This node may be behind the one that opened it: unknown is only what a majority does not know.
            self._position.note(await self._ledger.read_index())
            found = await self._find(eid)
        if found is None:
            raise Refused("UnknownElection", "no election has this eid")
        return self._keep(found)

    async def _find(self, eid: bytes) -> queries.Election | None:
        async with self._reading() as connection:
            return await queries.election_by_eid(connection, eid)

    def of_row(self, row: queries.Election) -> Opened:
        """Raises Refused(ElectionNotOpen)."""
        known = self._by_eid.get(row.eid or b"")
        return known or self._keep(row)

    def _keep(self, row: queries.Election) -> Opened:
        if row.eid is None or row.definition is None or row.opened_at is None:
            raise Refused("ElectionNotOpen", "the election has not opened yet")
        opened = Opened(row.election, row.eid, row.opened_at, decode_definition(row.definition))
        _remember(self._by_eid, row.eid, opened)
        return opened

    async def signer(self, opened: Opened, weight: int) -> BlindSigner:
        """The registrar's key for voters of this weight, out of the private part of the entry that opened it."""
        key = (opened.eid, weight)
        if (known := self._signers.get(key)) is not None:
            return known
        async with self._loading:
            if (known := self._signers.get(key)) is not None:
                return known
            async with self._reading() as connection:
                hidden = await self._private.fields(connection, opened.opened_at)
            place = list(opened.registrars).index(weight)
            signer = await asyncio.to_thread(_load_signer, hidden["registrars"][place])
            _remember(self._signers, key, signer)
            return signer


def _load_signer(pem: bytes) -> BlindSigner:
    return BlindSigner(rsa.load_private(pem))


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    while len(kept) > KEEP:
        kept.popitem(last=False)
