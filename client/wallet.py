"""What a voter keeps: the identity key, the secrets of each election, the newest checkpoint seen.

Lost secrets are a lost vote: a credential is issued once. So everything is stored before it is used.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

import msgspec

_NAME = re.compile(r"[a-z0-9-]{1,80}")


class WalletError(Exception):
    """A record that cannot be read back."""


class Store(Protocol):
    """Named records. `save` returns only when the record would survive a crash."""

    def load(self, name: str) -> bytes | None: ...

    def save(self, name: str, data: bytes) -> None: ...


class MemoryStore:
    """For a voter that lives no longer than its process."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self._records.get(name)

    def save(self, name: str, data: bytes) -> None:
        self._records[name] = data


class FolderStore:
    """One file a record, readable by its owner only, replaced as a whole. Names are a-z, 0-9 and hyphens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, name: str, data: bytes) -> None:
        path = self._path(name)
        beside = path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
        self._sync_folder()

    def names(self) -> list[str]:
        """The names of all records, sorted."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of a record: {name!r}")
        return self._folder / f"{name}.json"

    def _sync_folder(self) -> None:
        """The new name is in the folder, and the folder is what has to survive."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A voter's part in one election, as far as it got; what is not there yet is empty.

    `ballot_key` is PKCS #8 PEM, `inverse` unblinds (big-endian); `body` is the sealed ballot F(ballot, cast, sig) and
    `receipt` its verified receipt as text. `claim` is the signature of a claim that the credential was never cast, and
    `claimed_at` the entry in which it stands.

    `older` is the checkpoint (its body) that was the newest seen before the receipt's, and `consistency` the proof that
    both are of one log: with them anybody can check the record offline.
    """

    eid: bytes
    ballot_key: bytes
    prefix: bytes
    blinded: bytes
    inverse: bytes
    credential: bytes = b""
    body: bytes = b""
    receipt: bytes = b""
    claim: bytes = b""
    claimed_at: int = 0
    older: bytes = b""
    consistency: tuple[bytes, ...] = ()


def encode_secrets(secrets: Secrets) -> bytes:
    return msgspec.json.encode(secrets)


def decode_secrets(data: bytes) -> Secrets:
    """Raises WalletError."""
    try:
        return msgspec.json.decode(data, type=Secrets)
    except msgspec.DecodeError as error:
        raise WalletError(f"the stored secrets do not parse: {error}") from error
