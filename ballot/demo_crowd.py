"""The demo's people: their keys, their mail, their accounts."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from email import message_from_bytes
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .client.account import Account
from .client.api import Api, Line, Public
from .client.log import Log
from .client.trust import Trust
from .client.voter import Voter
from .client.wallet import FolderStore
from .ledger import rsa
from .ledger.entry import Entry

MAIL_TIMEOUT_S = 60.0
MAIL_POLL_S = 0.05
# Anyone who can read this can log in as a voter of the demo, on this machine, while it runs.
PASSWORD = "correct horse battery staple"  # noqa: S105

_CODE = re.compile(r"^Your code: (\d{6}|\d{12})$", re.MULTILINE)


class NoMail(Exception):
    """A code that should have been e-mailed did not come."""


class KeyPool:
    """Implements `client.voter.KeyMaker` with keys begun ahead of time, in the order of `wanted` (bits to how many).

    OpenSSL makes them without the interpreter's lock, so threads are enough.
    """

    def __init__(self, wanted: Mapping[int, int], threads: int, made: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="keys")
        self._keys: dict[int, deque[Future[RSAPrivateKey]]] = {}
        for bits, count in wanted.items():
            self._keys[bits] = deque(self._pool.submit(rsa.generate, bits) for _ in range(count))
            for future in self._keys[bits]:
                future.add_done_callback(lambda _: made())

    async def make(self, bits: int) -> RSAPrivateKey:
        return await asyncio.wrap_future(self._keys[bits].popleft())

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class Postbox:
    """Reads the codes out of a Maildir, for all addresses at once."""

    def __init__(self, folder: Path) -> None:
        self._new = folder / "new"
        self._read: set[str] = set()
        self._codes: dict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)

    async def watch(self) -> None:
        """Runs until cancelled."""
        while True:
            for path in self._arrived():
                self._sort(path.read_bytes())
            await asyncio.sleep(MAIL_POLL_S)

    async def code(self, address: str) -> str:
        """The newest code mailed to this address that was not given before. Raises NoMail."""
        codes = self._codes[address]
        try:
            async with asyncio.timeout(MAIL_TIMEOUT_S):
                code = await codes.get()
        except TimeoutError:
            raise NoMail(f"no code for {address}") from None
        while not codes.empty():
            code = codes.get_nowait()
        return code

    def _arrived(self) -> list[Path]:
        if not self._new.exists():
            return []
        paths = [path for path in self._new.iterdir() if path.name not in self._read]
        self._read.update(path.name for path in paths)
        return sorted(paths, key=lambda path: path.stat().st_mtime_ns)

    def _sort(self, mail: bytes) -> None:
        message = message_from_bytes(mail)
        body = message.get_payload(decode=True)
        found = _CODE.search(body.decode() if isinstance(body, bytes) else "")
        if found is not None:
            self._codes[str(message["To"])].put_nowait(found[1])


class Crowd:
    """Makes the demo's people on one line to the cluster. `folder` is where voters keep their secrets."""

    def __init__(self, line: Line, genesis: Entry, postbox: Postbox, keys: KeyPool, folder: Path) -> None:
        self._line, self._genesis, self._postbox, self._keys, self._folder = line, genesis, postbox, keys, folder

    async def account(self, address: str, node: int) -> Account:
        """Registers and logs in, each with its own e-mailed code, first at this node."""
        account = Account(Api(self._line, node), address, PASSWORD, self._postbox.code)
        await account.register()
        await account.login()
        return account

    async def voter(self, number: int, node: int) -> Voter:
        """A voter with an account and an enrolled identity key, who trusts nothing but the genesis entry."""
        account = await self.account(address_of(number), node)
        store = FolderStore(self._folder / f"voter{number}")
        trust = Trust.in_genesis(self._genesis.header, self._genesis.public)
        voter = Voter(account, Log(Public(self._line, node), trust, store), store, self._keys)
        await voter.enrol()
        return voter


def address_of(number: int) -> str:
    return f"voter{number}@example.org"


async def each(numbers: Iterable[int], work: Callable[[int], Awaitable[None]], at_once: int) -> None:
    """Does the work for every number, some at once; stops at the first exception, which comes out in a group."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with gate:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(one(number))
