"""Stands between one process and PostgreSQL, and breaks its connections at a place of choice.

It reads the messages of the wire protocol (PostgreSQL documentation, "Message Formats"), so a break falls between two
statements, or between a COMMIT and the news of it, and not somewhere in a stream of bytes.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from asyncio import StreamReader, StreamWriter
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

SOCKET = ".s.PGSQL.5432"
EXECUTE, QUERY, PARSE, SYNC = b"E", b"Q", b"P", b"S"
READY_FOR_QUERY = b"Z"


class Relay:
    """`dsn` reaches the server through it, over a Unix socket as the server's own."""

    def __init__(self, dsn: str, process: str) -> None:
        self._server = Path(str(conninfo_to_dict(dsn)["host"])) / SOCKET
        self._folder = Path(tempfile.mkdtemp(prefix="relay-"))
        self.dsn = make_conninfo(dsn, host=str(self._folder), application_name=process)
        self._listener: asyncio.Server | None = None
        self._open: set[StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: int | None = None
        self._torn = False
        self._may_commit = asyncio.Event()
        self._may_commit.set()
        self.holds_commit = False

    async def start(self) -> None:
        self._listener = await asyncio.start_unix_server(self._accept, self._folder / SOCKET)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def break_after(self, statements: int, *, torn: bool = False) -> None:
        """Breaks when the server has carried out as many statements from now on; 0: before the next one gets there.

        What it answers to the last of them is kept back; if `torn`, only the end of that is, the ReadyForQuery that
        says that COMMIT succeeded.
        """
        self._left, self._torn = statements, torn

    def hold_commits(self) -> None:
        """COMMIT statements stay on their way until `release_commits`."""
        self._may_commit.clear()

    def release_commits(self) -> None:
        self._may_commit.set()

    def cut(self) -> None:
        """Breaks every connection, as the end of the process would."""
        self._left = None
        for writer in self._open:
            writer.close()
        self._open.clear()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._server)
        self._open |= {writer, server_writer}
        for work in (self._forward(reader, server_writer), self._answer(server_reader, writer)):
            task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: StreamReader, server: StreamWriter) -> None:
        try:
            # Of all messages only the first, which starts the session, has no type.
            size = await reader.readexactly(4)
            server.write(size + await reader.readexactly(int.from_bytes(size, "big") - 4))
            while True:
                kind, message = await _read(reader)
                if kind == PARSE and b"\0COMMIT" in message and not self._may_commit.is_set():
                    self.holds_commit = True
                    await self._may_commit.wait()
                    self.holds_commit = False
                if kind in (EXECUTE, QUERY) and self._left is not None:
                    if self._left == 0:
                        self.cut()
                        return
                    self._left -= 1
                server.write(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            server.close()

    async def _answer(self, server: StreamReader, client: StreamWriter) -> None:
        try:
            while True:
                kind, message = await _read(server)
                if self._left == 0 and kind == READY_FOR_QUERY:
                    self.cut()
                    return
                if self._left != 0 or self._torn:
                    client.write(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            client.close()


async def _read(reader: StreamReader) -> tuple[bytes, bytes]:
    """(type, whole message)."""
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
