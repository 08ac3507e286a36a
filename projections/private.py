"""Reads the private parts of committed entries out of this node's table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection

from ..ledger.entry import SALT_BYTES, Entry, EntryError, parse
from ..ledger.frame import u64
from ..ledger.vault import Vault

_AT_ONCE = 500


class PrivateReader:
    """Opens what the vault sealed and checks it against the digest in the entry's header."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def fields(self, connection: AsyncConnection[Any], index: int) -> dict[str, Any]:
        """The private payload of entry `index`; empty when it has none, or none any more.

        Raises EntryError, VaultError when what is stored is not what was committed.
        """
        return (await self.many(connection, [index])).get(index, {})

    async def many(self, connection: AsyncConnection[Any], indexes: Iterable[int]) -> dict[int, dict[str, Any]]:
        """As `fields`, for several entries; those without a private part are left out."""
        wanted = sorted(set(indexes))
        found: dict[int, dict[str, Any]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            cursor = await connection.execute(
                "select index, header, public, sealed from ledger_entry join ledger_private using (index)"
                " where index = any(%s)",
                (wanted[start : start + _AT_ONCE],),
                binary=True,
            )
            for index, header, public, sealed in await cursor.fetchall():
                found[index] = self._open(index, header, public, sealed).private_fields
        return found

    def _open(self, index: int, header: bytes, public: bytes, sealed: bytes) -> Entry:
        bare = parse(header, public)
        if bare.index != index:
            raise EntryError(f"entry {bare.index} is stored as entry {index}")
        opened = self._vault.open(sealed, u64(index) + bare.private_digest)
        return parse(header, public, opened[SALT_BYTES:], opened[:SALT_BYTES])


def address_in(fields: dict[str, Any], tag: bytes) -> str | None:
    """The address with this tag in the private payload of a UserRegistered or VotersAdded."""
    if fields.get("tag") == tag:
        return str(fields["address"])
    return next((address for _, known, address, _ in fields.get("addresses", ()) if known == tag), None)
