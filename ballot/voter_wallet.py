"""A voter's wallet folder on the voter's machine: one command at work in it, and what one leaves for the next."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .client.account import Login
from .client.api import b64
from .client.vote import Election
from .client.wallet import FolderStore, Secrets, WalletError, decode_secrets

RECORD = "session"
EID_DIGITS = 64


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which nodes, as whom, and the names (election id, title) of elections by their eid in hex.

    `ca` is the path of an authority's certificates, or empty.
    """

    nodes: tuple[str, ...] = ()
    ca: str = ""
    email: str = ""
    login: Login | None = None
    elections: Mapping[str, tuple[str, str]] = {}


class Wallet:
    """Everything is stored before it is used; `held` keeps two commands from doing so at once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, FolderStore(folder)

    @property
    def session(self) -> Session:
        """Raises WalletError."""
        data = self.store.load(RECORD)
        try:
            return Session() if data is None else msgspec.json.decode(data, type=Session)
        except msgspec.DecodeError as error:
            raise WalletError(f"what the wallet remembers of earlier commands does not parse: {error}") from error

    def keep(self, **changes: object) -> None:
        self.store.save(RECORD, msgspec.json.encode(msgspec.structs.replace(self.session, **changes)))

    def name(self, election: Election) -> None:
        """Remembers how the election is called, so that later commands need not ask a node."""
        named = {election.eid.hex(): (b64(election.id), election.definition.title)}
        self.keep(elections={**self.session.elections, **named})

    def secrets(self, eid: str) -> Secrets | None:
        """What is kept of an election. Raises WalletError."""
        data = self.store.load(eid)
        return None if data is None else decode_secrets(data)

    @property
    def eids(self) -> list[str]:
        """The elections of which something is kept."""
        return [name for name in self.store.names() if is_eid(name)]

    def find(self, text: str) -> str | None:
        """The eid of what was named by it or by the election's id; None if nothing is kept of it."""
        if is_eid(text):
            return text if text in self.eids else None
        return next((eid for eid, (name, _) in self.session.elections.items() if name == text), None)


def is_eid(text: str) -> bool:
    return len(text) == EID_DIGITS and not set(text) - set("0123456789abcdef")


@contextmanager
def held(folder: Path) -> Iterator[Wallet]:
    """The wallet, for one command at a time: two that ask for a credential at once would lose one. Raises WalletError.

    A folder that is not there is made.
    """
    wallet = Wallet(folder)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield wallet
    except BlockingIOError:
        raise WalletError(f"another command is at work in {folder}: wait until it has ended") from None
    finally:
        os.close(lock)
