"""The door for peers: who may come in, how long they may take to say who they are, how many may try at once.

Whoever has no certificate of the cluster's authority, or one that names none of its nodes, is shut out before a byte of
theirs is read, and costs a bounded number of sockets for a bounded time. Each peer has one connection: its newest.
A node that was removed is told so in one frame: it hears nothing else, and would go on as if it belonged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from .settings import Address
from .wire import FrameProtocol

log = logging.getLogger("ballot.transport")

# A peer's handshake takes milliseconds. Where more are under way than this, the oldest is broken off: a stranger that
# dawdles gives way to a peer, and never the other way round.
MAX_HANDSHAKES = 64
HANDSHAKE_S = 3.0
BACKLOG = 128
TELL_EVERY_S = 1.0
REMOVED = ["removed"]
"""The one frame that is ever sent to whoever connected."""


class Door:
    """`is_peer` says whether a node id belongs to the cluster now, `was_removed` whether it did once and never will;
    `on_frame(peer, link, frame)` gets what it sends.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        is_peer: Callable[[int], bool],
        was_removed: Callable[[int], bool],
        on_frame: Callable[[int, FrameProtocol, Any], None],
    ) -> None:
        self._context, self._on_frame = context, on_frame
        self._is_peer, self._was_removed = is_peer, was_removed
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._greeting: dict[asyncio.Task[None], None] = {}
        self._inside: dict[FrameProtocol, int] = {}
        self._leaving: dict[int, FrameProtocol] = {}
        self._told_at, self._untold = float("-inf"), 0

    async def open(self, listen: Address) -> None:
        """Listens on every address that `listen` stands for. Raises OSError."""
        loop = asyncio.get_running_loop()
        host, port = listen
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self._sockets = [_listening(family, address) for family, _, _, _, address in found]
        self._accepting = [asyncio.ensure_future(self._accept(one)) for one in self._sockets]

    async def close(self) -> None:
        tasks = [*self._accepting, *self._greeting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in self._sockets:
            one.close()
        for link in [*self._inside, *self._leaving.values()]:
            link.close()

    def shut_out(self, peer: int) -> None:
        """It is no member any more."""
        for link in [link for link, inside in self._inside.items() if inside == peer]:
            del self._inside[link]
            link.abort()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                stranger, address = await loop.sock_accept(listening)
            except OSError as error:
                # Out of file descriptors, most likely: what is under way must end first.
                self._turned_away(f"not accepted: {error}", "")
                await asyncio.sleep(0.1)
                continue
            if len(self._greeting) >= MAX_HANDSHAKES:
                oldest = next(iter(self._greeting))
                del self._greeting[oldest]
                oldest.cancel()
            task = asyncio.ensure_future(self._greet(stranger, str(address[0])))
            self._greeting[task] = None
            task.add_done_callback(lambda done: self._greeting.pop(done, None))
            await asyncio.sleep(0)

    async def _greet(self, stranger: socket.socket, address: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: FrameProtocol(self._on_inside_frame, self._on_lost, self._on_certified),
                stranger,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=HANDSHAKE_S,
            )
        except (OSError, ssl.SSLError) as error:
            self._turned_away(type(error).__name__, address)
        except asyncio.CancelledError:
            self._turned_away("too many at once", address)
            raise

    def _on_certified(self, link: FrameProtocol) -> None:
        """The handshake is over: the certificate is one of the authority's."""
        assert link.transport is not None
        peer = node_named(link.transport.get_extra_info("peercert") or {})
        if not self._is_peer(peer):
            self._turned_away("not a node of this cluster", str((link.transport.get_extra_info("peername") or "?")[0]))
            self._dismiss(link, peer)
            return
        self.shut_out(peer)
        self._inside[link] = peer

    def _dismiss(self, link: FrameProtocol, peer: int) -> None:
        if not self._was_removed(peer):
            link.abort()
            return
        # Saying so takes as long as the other end likes, so at most one such connection a number stays open.
        if (before := self._leaving.get(peer)) is not None:
            before.abort()
        self._leaving[peer] = link
        link.send(REMOVED)
        link.close()

    def _on_inside_frame(self, link: FrameProtocol, frame: Any) -> None:
        if (peer := self._inside.get(link)) is not None:
            self._on_frame(peer, link, frame)

    def _on_lost(self, link: FrameProtocol) -> None:
        self._inside.pop(link, None)

    def _turned_away(self, why: str, address: str) -> None:
        """Logged at most once a second: whoever knocks must not fill the disk."""
        self._untold += 1
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= TELL_EVERY_S:
            log.warning("strangers were turned away", extra={"count": self._untold, "reason": why, "from": address})
            self._told_at, self._untold = now, 0


def node_named(certificate: Mapping[str, Any]) -> int:
    """The id in a certificate whose one common name is exactly `node-<id>`; 0 for any other."""
    subject: Iterable[Any] = certificate.get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    if len(names) != 1 or not names[0].startswith("node-"):
        return 0
    with suppress(ValueError):
        node = int(names[0].removeprefix("node-"))
        return node if names[0] == f"node-{node}" else 0
    return 0


def _listening(family: int, address: Any) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(BACKLOG)
        one.setblocking(False)
    except OSError:
        one.close()
        raise
    return one
