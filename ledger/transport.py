"""Peers over mutual TLS 1.3: one outgoing connection to each peer, messages one way on each, lost ones are lost.

A frame is `[channel, ...]`: RAFT carries the core's messages, ASK and ANSWER a question to a peer and its answer,
TELL a statement that wants none. Whoever connects is known by its certificate's common name `node-<id>`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Protocol

from .clock import Clock, measure
from .codec import CodecError, decode, encode
from .entry import EntryError
from .raft.messages import Append, Heartbeat, HeartbeatReply, Message
from .settings import Address, PeerTls
from .wire import FrameProtocol

log = logging.getLogger("ballot.transport")

RAFT, ASK, ANSWER, TELL = range(4)
MAX_BACKLOG_BYTES = 64 << 20
RECONNECT_S = 0.1
CONNECT_TIMEOUT_S = 2.0


class PeerLost(Exception):
    """The peer is not connected or did not answer in time: whether it acted is unknown."""


class PeerHandler(Protocol):
    """What a node does with what its peers say."""

    def on_message(self, message: Message) -> None: ...
    def on_unreachable(self, peer: int) -> None: ...
    async def on_ask(self, peer: int, topic: str, body: Any) -> Any: ...
    def on_tell(self, peer: int, topic: str, body: Any) -> None: ...


class Transport:
    """`appends`: how many messages with entries were sent so far."""

    def __init__(
        self, node: int, listen: Address, peers: dict[int, Address], tls: PeerTls, clock: Clock, handler: PeerHandler
    ) -> None:
        self.node, self._listen, self._peers = node, listen, peers
        self._tls, self._clock, self._handler = tls, clock, handler
        self._links: dict[int, FrameProtocol] = {}
        self._inbound: dict[FrameProtocol, int] = {}
        self._stamps: dict[int, tuple[int, int]] = {}
        self._asked: dict[int, tuple[int, asyncio.Future[Any]]] = {}
        self._next_ask = 0
        self.appends = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialling: dict[int, asyncio.Task[None]] = {}

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: FrameProtocol(self._on_frame, self._on_inbound_lost),
            *self._listen,
            ssl=self._tls.context(server=True),
        )
        for peer, address in self._peers.items():
            self._dial(peer, address)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for link in [*self._links.values(), *self._inbound]:
            link.close()

    def connected(self) -> list[int]:
        return sorted(self._links)

    @property
    def peers(self) -> tuple[int, ...]:
        return tuple(self._peers)

    def follow(self, peers: dict[int, Address]) -> None:
        """Members changed: connects to the new ones, hangs up on those that are gone."""
        gone = [peer for peer, address in self._peers.items() if peers.get(peer) != address]
        new = {peer: address for peer, address in peers.items() if self._peers.get(peer) != address}
        self._peers = dict(peers)
        if self._server is None:
            return
        for peer in gone:
            self._hang_up(peer)
        for peer, address in new.items():
            self._dial(peer, address)

    def _hang_up(self, peer: int) -> None:
        if (dialling := self._dialling.pop(peer, None)) is not None:
            dialling.cancel()
        inbound = [link for link, known in self._inbound.items() if known == peer]
        for link in [*inbound, *filter(None, [self._links.get(peer)])]:
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
            lambda: FrameProtocol(self._on_frame, lambda _: lost.set()),
            *address,
            ssl=context,
            server_hostname=f"node-{peer}",
        )
        _, link = await asyncio.wait_for(connecting, CONNECT_TIMEOUT_S)
        return link, lost

    async def _keep_connected(self, peer: int, address: Address) -> None:
        context = self._tls.context(server=False)
        while True:
            with suppress(OSError, ssl.SSLError, asyncio.TimeoutError):
                link, lost = await self._connect(peer, address, context)
                self._links[peer] = link
                log.info("peer connected", extra={"peer": peer})
                await lost.wait()
                log.info("peer lost", extra={"peer": peer})
                self._drop(peer)
            await asyncio.sleep(RECONNECT_S)

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

    def _sender(self, link: FrameProtocol) -> int:
        """The node id in the certificate of whoever sent a frame; 0 when it is none of the peers."""
        known = self._inbound.get(link)
        if known is None and link.transport is not None:
            certificate = link.transport.get_extra_info("peercert") or {}
            names = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
            text = names[0].removeprefix("node-") if names else ""
            known = int(text) if text.isdigit() and int(text) in self._peers else 0
            self._inbound[link] = known
        return known or 0

    def _on_inbound_lost(self, link: FrameProtocol) -> None:
        self._inbound.pop(link, None)

    def _on_frame(self, link: FrameProtocol, frame: Any) -> None:
        peer = self._sender(link)
        if not peer:
            log.warning("a stranger was turned away")
            link.close()
            return
        try:
            self._dispatch(peer, frame)
        except (CodecError, EntryError, ValueError, TypeError, IndexError) as error:
            log.error("malformed frame from a peer", extra={"peer": peer, "error": str(error)})
            link.close()

    def _dispatch(self, peer: int, frame: Any) -> None:
        channel = frame[0]
        if channel == RAFT:
            message = decode(frame[1], peer, self.node)
            self._take_stamp(peer, message, frame[2])
            self._handler.on_message(message)
        elif channel == ASK:
            self._spawn(self._answer(peer, *frame[1:]))
        elif channel == ANSWER:
            _, number, fine, body = frame
            asked = self._asked.pop(number, None)
            if asked is not None and not asked[1].done():
                if fine:
                    asked[1].set_result(body)
                else:
                    asked[1].set_exception(PeerLost(str(body)))
        elif channel == TELL:
            self._handler.on_tell(peer, frame[1], frame[2])

    async def _answer(self, peer: int, number: int, topic: str, body: Any) -> None:
        try:
            answer = await self._handler.on_ask(peer, topic, body)
            self._push(peer, [ANSWER, number, True, answer])
        except Exception as error:
            log.exception("a peer's question failed", extra={"peer": peer, "topic": topic})
            self._push(peer, [ANSWER, number, False, type(error).__name__])

    def _take_stamp(self, peer: int, message: Message, stamp: list[Any]) -> None:
        now = self._clock.raw_us()
        if isinstance(message, Heartbeat) and stamp:
            self._stamps[peer] = (stamp[0], now)
            if stamp[1] is not None:
                self._clock.accept_correction(stamp[1])
        elif isinstance(message, HeartbeatReply) and stamp and stamp[0]:
            self._clock.observe(peer, measure(stamp[0], stamp[1], stamp[2], now))
