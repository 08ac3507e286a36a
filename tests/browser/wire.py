"""What a browser really sends: every node's address once more, with its requests written down on the way."""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_HEAD = re.compile(rb"([A-Z]+) (/\S*) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)+)\r\n")
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) ")
CHUNK = 65536


@dataclass(frozen=True)
class Seen:
    """One request; names of `headers` are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


class Connection:
    """What went each way over one connection of the browser."""

    def __init__(self) -> None:
        self.sent, self.received = bytearray(), bytearray()

    @property
    def requests(self) -> list[Seen]:
        found = []
        for method, path, lines in _HEAD.findall(self.sent):
            pairs = (line.partition(":") for line in lines.decode().splitlines())
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            found.append(Seen(method.decode(), path.decode(), headers))
        return found

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _ANSWER.findall(self.received)]


class Wire:
    """Passes octets on to the node at `url` and back, unread."""

    def __init__(self, url: str) -> None:
        self._node = urlsplit(url)
        self.connections: list[Connection] = []

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        connection = Connection()
        self.connections.append(connection)
        back, forth = await asyncio.open_connection(self._node.hostname, self._node.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass(reader, forth, connection.sent))
            group.create_task(_pass(back, writer, connection.received))


async def _pass(reader: StreamReader, writer: StreamWriter, written: bytearray) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(CHUNK):
            written += piece
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tapped(urls: list[str]) -> AsyncIterator[list[tuple[str, Wire]]]:
    """For each node an address to give to the browser, and what is seen there."""
    wires = [Wire(url) for url in urls]
    servers = [await asyncio.start_server(wire.carry, "127.0.0.1", 0) for wire in wires]
    addresses = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers]
    try:
        yield list(zip(addresses, wires, strict=True))
    finally:
        for server in servers:
            server.close()
