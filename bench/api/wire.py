"""A lean HTTP/1.1 client for a load generator: kept connections, one request at a time on each, no parsing to spare."""

from __future__ import annotations

import asyncio
from typing import cast

HEAD = (
    "POST /api/votes HTTP/1.1\r\nHost: {host}\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
)


class Unexpected(Exception):
    """An answer that is not the one a load test may count."""


class Poster(asyncio.Protocol):
    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None

    async def post(self, body: bytes) -> int:
        """The status of the answer, once all of it has come. Raises OSError, Unexpected."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            await loop.create_connection(lambda: self, self._host, self._port)
        self._answer = loop.create_future()
        head = HEAD.format(host=self._host, length=len(body)).encode()
        assert self._transport is not None
        self._transport.write(head + body)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, rule, rest = self._buffer.partition(b"\r\n\r\n")
        if not rule:
            return
        place = head.lower().find(b"content-length:")
        if place < 0:
            self._end(Unexpected("an answer without a length"))
            return
        length = int(head[place + 15 :].split(b"\r\n", 1)[0])
        if len(rest) >= length:
            self._buffer = b""
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(OSError("the connection was closed"))

    def _end(self, error: Exception) -> None:
        self._buffer = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
