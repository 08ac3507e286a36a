"""Which log this machine takes part in: named once by the hash of its genesis, and remembered."""

from __future__ import annotations

from collections.abc import Callable

from .client.api import Public, unb64
from .client.trust import Trust, Untrusted
from .client.wallet import Store
from .ledger.entry import EntryError, decode_map, encode_map

RECORD = "genesis"


async def recall(public: Public, store: Store, named: bytes | None, compare: Callable[[str], None]) -> Trust:
    """Trust from the remembered genesis; the first time from a node's, which must have the hash `named`.

    Where none is named, `compare` is given the hash in hex and raises unless somebody vouches for it. Raises Untrusted,
    Refused, NoAnswer.
    """
    kept = store.load(RECORD)
    if kept is not None:
        trust = _from_record(kept)
        if named is not None and named != trust.genesis_hash:
            raise Untrusted("this machine remembers another log than the one named by --genesis")
        return trust
    header, public_part = await _first_entry(public)
    trust = Trust.in_genesis(header, public_part)
    if named is None:
        compare(trust.genesis_hash.hex())
    elif named != trust.genesis_hash:
        raise Untrusted(f"the node has another log: its genesis is {trust.genesis_hash.hex()}")
    store.save(RECORD, encode_map({"header": header, "public": public_part}))
    return trust


def _from_record(kept: bytes) -> Trust:
    try:
        fields = decode_map(kept)
        return Trust.in_genesis(fields["header"], fields["public"])
    except (EntryError, KeyError) as error:
        raise Untrusted("the remembered genesis does not parse") from error


async def _first_entry(public: Public) -> tuple[bytes, bytes]:
    reply = await public.get("/api/ledger/entries", {"from": 1, "to": 1})
    try:
        [shown] = reply.json()["entries"]
        return unb64(shown["header"]), unb64(shown["public"])
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted("the genesis entry shown does not parse") from error
