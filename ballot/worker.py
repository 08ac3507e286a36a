"""gunicorn's ASGI worker with what it lacks against slow and greedy clients (docs/adr/0019-edges-of-http.md).

Of its own it waits for a first request's head for ever, serves as many connections as come, and lets a client that does
not read keep an answer, and whatever produces it, waiting.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from gunicorn.asgi.parser import InvalidHeader
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from .http.events import STOPPING
from .http.problems import MEDIA_TYPE, Refused, problem_of

HEAD_S = 10.0
"""How long the head of a connection's first request may take; later ones have gunicorn's keep-alive time."""
STALL_S, STALL_BYTES = 20.0, 20_000
"""A client that takes fewer bytes than this of an answer in such a time is cut off."""
LINGER_S = 10.0
"""How long a connection that is closed may take to deliver what is left."""

_REFUSALS = {
    400: "MalformedRequest",
    408: "RequestTimeout",
    414: "AddressTooLong",
    431: "HeadersTooLarge",
    501: "UnknownTransferCoding",
    503: "TooManyConnections",
}


class Protocol(ASGIProtocol):  # type: ignore[misc]
    """One connection."""

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.worker.connections.add(self)
        if self.worker.nr_conns > self.worker.worker_connections:
            self._refuse(503)
        else:
            self._after(HEAD_S, self._refuse, 408)

    def _on_headers_complete(self) -> bool:
        self._forget_timer()
        parser = self._callback_parser
        if parser.http_version >= (1, 1) and not any(name.lower() == b"host" for name, _ in parser.headers):
            raise InvalidHeader("no Host (RFC 9112, section 3.2)")
        skip_body: bool = super()._on_headers_complete()
        return skip_body

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._forget_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        self.worker.connections.discard(self)
        super().connection_lost(exc)

    def close_if_idle(self) -> None:
        """Ends a connection on which no request is being served."""
        if self._awaiting_request and not self._finishing_calls:
            self._hang_up()

    def _watch_reader(self) -> None:
        waiting: int = self.transport.get_write_buffer_size()
        self._after(STALL_S, self._check_reader, waiting)

    def _check_reader(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < STALL_BYTES:
            self.transport.abort()
        else:
            self._watch_reader()

    def _refuse(self, status: int) -> None:
        self._send_error_response(status, "")
        self._hang_up()

    def _hang_up(self) -> None:
        self._close_transport()
        # Ends the task that waits for a request.
        if self._request_ready is not None:
            self._request_ready.set()

    def _close_transport(self) -> None:
        super()._close_transport()
        if not self._conn_lost_handled:
            self._after(LINGER_S, self.transport.abort)

    def _send_error_response(self, status: int, message: str, extra_headers: Any = ()) -> None:
        """What the server itself refuses, as a problem document like any other; never a word of the request."""
        problem = problem_of(Refused(_REFUSALS.get(status, "InternalError")))
        body = msgspec.json.encode(problem)
        head = (
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
            f"Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
        )
        self._safe_write(head.encode() + body)

    def _after(self, seconds: float, work: Any, *arguments: Any) -> None:
        self._forget_timer()
        self._timer = self.worker.loop.call_later(seconds, work, *arguments)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]
    """When it is to end, its app learns so from the lifespan state, for streams without an end, and connections that
    wait for a request are closed: it would wait for both.
    """

    def init_process(self) -> None:
        self.state[STOPPING] = asyncio.Event()
        self.connections: set[Protocol] = set()
        # The worker looks its protocol up there and has no setting for it.
        gasgi.ASGIProtocol = Protocol
        super().init_process()

    def handle_exit_signal(self) -> None:
        super().handle_exit_signal()
        self.state[STOPPING].set()
        for connection in list(self.connections):
            connection.close_if_idle()
