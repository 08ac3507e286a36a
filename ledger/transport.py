"""Peers over mutual TLS 1.3: one outgoing connection to each peer, messages one way on each, lost ones are lost.

A frame is `[channel, ...]`: RAFT carries the core's messages, ASK and ANSWER a question to a peer and its answer,
TELL a statement that wants none. The sender is whom the certificate names (`door`), never what a frame says.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from .clock import Clock, measure
from .codec import CodecError, decode, decode_parts, decode_question, decode_stamp, decode_tell, encode
from .door import REMOVED, Door
from .entry import EntryError
from .raft.messages import Append, Heartbeat, HeartbeatReply, Message
from .settings import Address, PeerTls
from .wire import FrameProtocol

log = logging.getLogger("ballot.transport")

RAFT, ASK, ANSWER, TELL = range(4)
MAX_BACKLOG_BYTES = 64 << 20
MAX_QUESTION_BYTES = 64 << 20
MAX_QUESTIONS = 10_000
RECONNECT_S = 0.1
CONNECT_TIMEOUT_S = 2.0
# A connection that was lost sooner than this was refused by the other side: it is not asked again at once.
REFUSED_S = 1.0


class PeerLost(Exception):
    """The peer is not connected or did not answer in time: whether it acted is unknown."""


class PeerHandler(Protocol):
    """What a node does with what its peers say."""

    def on_message(self, message: Message) -> None: ...
    def on_unreachable(self, peer: int) -> None: ...
    async def on_ask(self, peer: int, topic: str, body: Any) -> Any: ...
    def on_tell(self, peer: int, topic: str, body: Any) -> None: ...


@dataclass(slots=True)
class _Waiting:
    """A peer's questions that are being answered, and the bytes of their frames."""

    count: int = 0
    size: int = 0

    def add(self, count: int, size: int) -> None:
        self.count, self.size = self.count + count, self.size + size


class Transport:
    """`appends`: how many messages with entries were sent so far."""

    def __init__(
        self, node: int, listen: Address, peers: dict[int, Address], tls: PeerTls, clock: Clock, handler: PeerHandler
    ) -> None:
        self.node, self._listen, self._peers = node, listen, peers
        self._tls, self._clock, self._handler = tls, clock, handler
        self._links: dict[int, FrameProtocol] = {}
        self._stamps: dict[int, tuple[int, int]] = {}
        self._asked: dict[int, tuple[int, asyncio.Future[Any]]] = {}
        self._next_ask = 0
        self._waiting: dict[int, _Waiting] = defaultdict(_Waiting)
        self._door: Door | None = None
        self._was_removed: Callable[[int], bool] = lambda peer: False
        self.appends = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialling: dict[int, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Raises OSError when it cannot listen."""
        context = self._tls.context(server=True)
        self._door = Door(
            context, lambda peer: peer in self._peers, lambda peer: self._was_removed(peer), self._on_frame
        )
        await self._door.open(self._listen)
        for peer, address in self._peers.items():
            self._dial(peer, address)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for link in self._links.values():
            link.close()
        if self._door is not None:
            await self._door.close()

    def connected(self) -> list[int]:
        return sorted(self._links)

    @property
    def peers(self) -> tuple[int, ...]:
        return tuple(self._peers)

    def follow(self, peers: dict[int, Address], was_removed: Callable[[int], bool] | None = None) -> None:
        """Members changed: connects to the new ones, hangs up on those that are gone, which are told if they ask."""
        self._was_removed = was_removed or self._was_removed
        gone = [peer for peer, address in self._peers.items() if peers.get(peer) != address]
        new = {peer: address for peer, address in peers.items() if self._peers.get(peer) != address}
        self._peers = dict(peers)
        if self._door is None:
            return
        for peer in gone:
            self._hang_up(peer)
        for peer, address in new.items():
            self._dial(peer, address)

    def _hang_up(self, peer: int) -> None:
        if (dialling := self._dialling.pop(peer, None)) is not None:
            dialling.cancel()
        if self._door is not None:
            self._door.shut_out(peer)
        if (link := self._links.get(peer)) is not None:
            link.close()
        self._stamps.pop(peer, None)
        self._drop(peer)

    def _dial(self, peer: int, address: Address) -> None:
        self._dialling[peer] = self._spawn(self._keep_connected(peer, address))

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- outgoing

    async def _connect(
        self, peer: int, address: Address, context: ssl.SSLContext
    ) -> tuple[FrameProtocol, asyncio.Event]:
        """A connection, and what tells that it is lost. Raises OSError, ssl.SSLError, TimeoutError."""
        lost = asyncio.Event()
        connecting = asyncio.get_running_loop().create_connection(
            lambda: FrameProtocol(lambda link, frame: self._on_reply(peer, link, frame), lambda _: lost.set()),
            *address,
            ssl=context,
            server_hostname=f"node-{peer}",
        )
        _, link = await asyncio.wait_for(connecting, CONNECT_TIMEOUT_S)
        return link, lost

    def _on_reply(self, peer: int, link: FrameProtocol, frame: Any) -> None:
        """What a peer has to say comes over the connection that it makes itself, but for one thing."""
        link.abort()
        if frame == REMOVED:
            self._handler.on_tell(peer, "removed", None)

    async def _keep_connected(self, peer: int, address: Address) -> None:
        context = self._tls.context(server=False)
        loop = asyncio.get_running_loop()
        while True:
            wait_s = RECONNECT_S
            with suppress(OSError, ssl.SSLError, asyncio.TimeoutError):
                link, lost = await self._connect(peer, address, context)
                self._links[peer], since = link, loop.time()
                log.info("peer connected", extra={"peer": peer})
                await lost.wait()
                log.info("peer lost", extra={"peer": peer})
                self._drop(peer)
                if loop.time() - since < REFUSED_S:
                    wait_s = REFUSED_S
            await asyncio.sleep(wait_s)

    def _drop(self, peer: int) -> None:
        self._links.pop(peer, None)
        self._handler.on_unreachable(peer)
        for number, (asked, future) in list(self._asked.items()):
            if asked == peer and not future.done():
                future.set_exception(PeerLost(f"the connection to node {peer} was lost"))
                del self._asked[number]

    def _push(self, peer: int, frame: list[Any]) -> bool:
        link = self._links.get(peer)
        return link is not None and link.backlog < MAX_BACKLOG_BYTES and link.send(frame)

    def send(self, message: Message) -> None:
        """Best effort, as Raft expects. Heartbeats and their replies carry the clock's timestamps along."""
        stamp: list[int | None] = []
        if isinstance(message, Heartbeat):
            stamp = [self._clock.raw_us(), self._clock.correction_for(message.to)]
        elif isinstance(message, HeartbeatReply):
            sent, received = self._stamps.get(message.to, (0, 0))
            stamp = [sent, received, self._clock.raw_us()]
        elif isinstance(message, Append) and message.entries:
            self.appends += 1
        self._push(message.to, [RAFT, encode(message), stamp])

    def tell(self, peer: int, topic: str, body: Any) -> bool:
        return self._push(peer, [TELL, topic, body])

    async def ask(self, peer: int, topic: str, body: Any, timeout_s: float) -> Any:
        """One question, one answer. Raises PeerLost."""
        self._next_ask += 1
        number = self._next_ask
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = (peer, future)
        try:
            if not self._push(peer, [ASK, number, topic, body]):
                raise PeerLost(f"node {peer} is not connected")
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError as error:
            raise PeerLost(f"node {peer} did not answer within {timeout_s} s") from error
        finally:
            self._asked.pop(number, None)

    # -- incoming

    def _on_frame(self, peer: int, link: FrameProtocol, frame: Any) -> None:
        try:
            self._dispatch(peer, frame, link.frame_bytes)
        except (CodecError, EntryError) as error:
            log.error("malformed frame from a peer", extra={"peer": peer, "error": str(error)})
            link.abort()

    def _dispatch(self, peer: int, frame: Any, size: int) -> None:
        """Raises CodecError, EntryError."""
        channel, *parts = decode_parts(frame)
        if channel == RAFT:
            data, stamp = decode_parts(parts, 2)
            message = decode(data, peer, self.node)
            self._take_stamp(peer, message, decode_stamp(message, stamp))
            self._handler.on_message(message)
        elif channel == ASK:
            self._on_question(peer, size, *decode_question(*decode_parts(parts, 3)))
        elif channel == ANSWER:
            self._on_answer(peer, *decode_parts(parts, 3))
        elif channel == TELL:
            self._handler.on_tell(peer, *decode_tell(*decode_parts(parts, 2)))
        else:
            raise CodecError("no such channel")

    def _on_answer(self, peer: int, number: Any, fine: Any, body: Any) -> None:
        """One that was not asked for, or of another peer than was asked, is passed over."""
        asked, future = self._asked.get(number, (0, None)) if type(number) is int else (0, None)
        if asked != peer or future is None or future.done():
            return
        if fine is True:
            future.set_result(body)
        else:
            future.set_exception(PeerLost(str(body)[:200]))

    def _on_question(self, peer: int, size: int, number: int, topic: str, body: Any) -> None:
        """A peer that asks faster than it can be answered is told so, before its questions fill the memory."""
        waiting = self._waiting[peer]
        if waiting.count >= MAX_QUESTIONS or waiting.size + size > MAX_QUESTION_BYTES:
            self._push(peer, [ANSWER, number, False, "too many questions at once"])
            return
        waiting.add(1, size)
        self._spawn(self._answer(peer, number, topic, body)).add_done_callback(lambda _: waiting.add(-1, -size))

    async def _answer(self, peer: int, number: int, topic: str, body: Any) -> None:
        try:
            answer = await self._handler.on_ask(peer, topic, body)
            self._push(peer, [ANSWER, number, True, answer])
        except Exception as error:
            log.exception("a peer's question failed", extra={"peer": peer, "topic": topic})
            self._push(peer, [ANSWER, number, False, type(error).__name__])

    def _take_stamp(self, peer: int, message: Message, stamp: list[int]) -> None:
        now = self._clock.raw_us()
        if isinstance(message, Heartbeat) and stamp:
            self._stamps[peer] = (stamp[0], now)
            if len(stamp) == 2:
                self._clock.accept_correction(stamp[1])
        elif isinstance(message, HeartbeatReply) and stamp and stamp[0]:
            sent, received, replied = stamp
            self._clock.observe(peer, measure(sent, received, replied, now))
