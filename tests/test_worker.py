"""gunicorn's worker, fortified: who takes nothing of an answer is cut off, and only so many are connected at once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from ballot import worker
from ballot.http.events import STOPPING
from ballot.worker import Protocol, Worker


class Transport:
    """A connection whose other end reads as told."""

    def __init__(self) -> None:
        self.waiting = 100_000
        self.aborted = self.closed = False
        self.written = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, **limits: int) -> None: ...


def connected(most: int = 10) -> tuple[Protocol, Transport]:
    """A new connection of a worker that takes `most`; to be called in a running loop."""
    log = SimpleNamespace(access_log_enabled=False, debug=print, exception=print, info=print)
    owner = SimpleNamespace(
        cfg=Config(), log=log, asgi=None, loop=asyncio.get_running_loop(), nr_conns=0, worker_connections=most
    )
    owner.connections = set()
    protocol, transport = Protocol(owner), Transport()
    protocol.connection_made(transport)
    return protocol, transport


def test_who_takes_nothing_of_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STALL_S", 0.02)

    async def run() -> bool:
        protocol, transport = connected()
        protocol.pause_writing()
        await asyncio.sleep(0.06)
        protocol.connection_lost(None)
        return transport.aborted

    assert asyncio.run(run())


def test_who_takes_an_answer_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STALL_S", 0.05)
    monkeypatch.setattr(worker, "STALL_BYTES", 1000)

    async def run() -> bool:
        protocol, transport = connected()
        protocol.pause_writing()
        for _ in range(10):
            await asyncio.sleep(0.02)
            transport.waiting -= 1500
        protocol.resume_writing()
        await asyncio.sleep(0.1)
        protocol.connection_lost(None)
        return transport.aborted

    assert not asyncio.run(run())


def test_one_connection_too_many_is_told_so() -> None:
    async def run() -> Transport:
        protocol, transport = connected(most=0)
        protocol.connection_lost(None)
        return transport

    transport = asyncio.run(run())
    assert transport.closed
    assert transport.written.startswith(b"HTTP/1.1 503 ") and b'"TooManyConnections"' in transport.written


def test_a_connection_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LINGER_S", 0.02)

    async def run() -> bool:
        _, transport = connected(most=0)
        await asyncio.sleep(0.05)
        return transport.aborted

    assert asyncio.run(run())


def test_a_connection_that_waits_for_a_request_is_closed_when_the_worker_is_to_end() -> None:
    async def run() -> Transport:
        protocol, transport = connected()
        await asyncio.sleep(0)
        protocol.close_if_idle()
        protocol.connection_lost(None)
        return transport

    assert asyncio.run(run()).closed


def test_streams_hear_that_the_worker_is_to_end() -> None:
    one = Worker.__new__(Worker)
    one.state, one.alive, one.connections = {STOPPING: asyncio.Event()}, True, set()
    one.handle_exit_signal()
    assert one.state[STOPPING].is_set() and not one.alive
