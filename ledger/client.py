"""An HTTP worker's line to its own node: a Unix socket, requests `[number, method, argument]`, answers out of order.

Whoever can open the socket may do what an operator may: its folder's permissions are its lock.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from .submit import Unavailable, give_up
from .wire import FrameProtocol

CONNECT_TIMEOUT_S = 1.0
# Beyond every limit the process sets itself: only one that hangs takes so long.
ANSWER_TIMEOUT_S = 30.0


class Answer(msgspec.Struct, frozen=True):
    """What became of a command. `refusal` is empty when it is recorded; then the rest describes its entry.

    `proof` and `note` are there only when a receipt was asked for: the inclusion proof of leaf `index - 1` in the
    checkpoint `note`.
    """

    index: int
    refusal: str = ""
    detail: str = ""
    new: bool = True
    kind: str = ""
    time_us: int = 0
    header: bytes = b""
    public: bytes = b""
    salt: bytes = b""
    proof: tuple[bytes, ...] = ()
    note: bytes = b""


class LedgerClient:
    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._link: FrameProtocol | None = None
        self._connecting = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._numbers = 0

    async def _connected(self) -> FrameProtocol:
        if self._link is not None and self._link.is_open:
            return self._link
        async with self._connecting:
            if self._link is None or not self._link.is_open:
                loop = asyncio.get_running_loop()
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        _, self._link = await loop.create_unix_connection(
                            lambda: FrameProtocol(self._on_frame, self._on_lost), str(self._socket)
                        )
                except (OSError, TimeoutError) as error:
                    raise Unavailable(f"this node's ledger process does not answer: {error}") from error
            return self._link

    def _on_frame(self, link: FrameProtocol, frame: Any) -> None:
        number, fine, body = frame
        future = self._asked.pop(number, None)
        if future is not None and not future.done():
            if fine:
                future.set_result(body)
            else:
                future.set_exception(Unavailable(str(body)))

    def _on_lost(self, link: FrameProtocol) -> None:
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Unavailable("this node's ledger process went away: outcome unknown"))

    async def call(self, method: str, argument: Any = None) -> Any:
        """Raises Unavailable: the outcome is then unknown, and the same call may be made again."""
        link = await self._connected()
        loop = asyncio.get_running_loop()
        self._numbers += 1
        number = self._numbers
        future = self._asked[number] = loop.create_future()
        hangs = Unavailable("this node's ledger process does not answer: outcome unknown")
        timer = loop.call_later(ANSWER_TIMEOUT_S, give_up, future, hangs)
        try:
            if not link.send([number, method, argument]):
                raise Unavailable("this node's ledger process went away")
            return await future
        finally:
            timer.cancel()
            self._asked.pop(number, None)

    async def submit(self, command: bytes, *, receipt: bool = False, timeout_s: float = 8.0) -> Answer:
        """Records a command, or says by name why not. Raises Unavailable."""
        fields = await self.call("submit", [command, receipt, timeout_s])
        fields["proof"] = tuple(fields.get("proof", ()))
        return Answer(**fields)

    async def status(self) -> dict[str, Any]:
        """Role, term, indexes, peers and clock of this node."""
        status: dict[str, Any] = await self.call("status")
        return status

    async def status_of(self, node: int) -> dict[str, Any]:
        """The same of any node, asked through this one. Raises Unavailable."""
        status: dict[str, Any] = await self.call("at", [node, "status", None])
        return status

    async def drill(self, node: int, action: str, argument: int = 0) -> int:
        """Makes a node `end` as if it crashed, `hand-over` leadership or `skew` its clock by `argument` microseconds.

        Returns the process id of its ledger process. Raises Unavailable, also where drills are not enabled.
        """
        pid: int = await self.call("at", [node, "drill", [action, argument]])
        return pid

    async def metrics(self) -> bytes:
        """The ledger process's figures, in Prometheus' text format."""
        text: bytes = await self.call("metrics")
        return text

    async def wait(self, index: int, timeout_s: float = 5.0) -> int:
        """Returns this node's applied index once it is at least `index`. Raises Unavailable."""
        applied: int = await self.call("wait", [index, timeout_s])
        return applied

    async def read_index(self, timeout_s: float = 5.0) -> int:
        """An applied index from which a read of this node's tables is linearizable. Raises Unavailable."""
        index: int = await self.call("read_index", timeout_s)
        return index

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """Inclusion proof of entry `index` in the tree of `size` entries."""
        proof: list[bytes] = await self.call("inclusion", [index, size])
        return proof

    async def consistency(self, old: int, new: int) -> list[bytes]:
        proof: list[bytes] = await self.call("consistency", [old, new])
        return proof

    async def checkpoint(self) -> bytes:
        """The newest checkpoint this node holds; empty before the first."""
        note: bytes = await self.call("checkpoint")
        return note

    async def witness(self, vkey: str, size: int, line: str) -> None:
        """Keeps a witness's line, which the caller has verified, under this node's checkpoint of `size` entries."""
        await self.call("witness", [vkey, size, line])

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
