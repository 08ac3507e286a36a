"""gunicorn's worker, fortified: who takes nothing of an answer is cut off, and only so many are connected at once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from ballot.http.events import STOPPING
from ballot.worker import HEAD_S, LINGER_S, STALL_BYTES, STALL_S, Protocol, Worker


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


class Clock:
    """The worker's event loop, on which time passes when the test says so."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[tuple[float, asyncio.TimerHandle]] = []
        self.create_task = asyncio.get_running_loop().create_task

    def call_later(self, delay: float, work: Any, *arguments: Any) -> asyncio.TimerHandle:
        due = self._now + delay
        timer = asyncio.TimerHandle(due, work, arguments, asyncio.get_running_loop())
        self._timers.append((due, timer))
        return timer

    def passes(self, seconds: float) -> None:
        self._now += seconds
        due = [timer for at, timer in self._timers if at <= self._now]
        self._timers = [(at, timer) for at, timer in self._timers if at > self._now]
        for timer in due:
            if not timer.cancelled():
                timer._run()


def connected(most: int = 10) -> tuple[Protocol, Transport, Clock]:
    """A new connection of a worker that takes `most`; to be called in a running loop."""
    log, clock = SimpleNamespace(access_log_enabled=False, debug=print, exception=print, info=print), Clock()
    owner = SimpleNamespace(cfg=Config(), log=log, asgi=None, loop=clock, nr_conns=0, worker_connections=most)
    owner.connections = set()
    protocol, transport = Protocol(owner), Transport()
    protocol.connection_made(transport)
    return protocol, transport, clock


def test_who_takes_nothing_of_an_answer_is_cut_off() -> None:
    async def run() -> list[bool]:
        protocol, transport, clock = connected()
        protocol.pause_writing()
        aborted = []
        for seconds in (0.9 * STALL_S, 0.2 * STALL_S):
            clock.passes(seconds)
            aborted.append(transport.aborted)
        protocol.connection_lost(None)
        return aborted

    assert asyncio.run(run()) == [False, True]


@pytest.mark.parametrize(("taken", "aborted"), [(STALL_BYTES, False), (STALL_BYTES - 1, True)])
def test_who_takes_an_answer_slowly_gets_all_of_it(taken: int, aborted: bool) -> None:
    """But it must not be slower than that."""

    async def run() -> bool:
        protocol, transport, clock = connected()
        protocol.pause_writing()
        for _ in range(4):
            transport.waiting -= taken
            clock.passes(STALL_S)
        protocol.resume_writing()
        clock.passes(2 * STALL_S)
        protocol.connection_lost(None)
        return transport.aborted

    assert asyncio.run(run()) == aborted


def test_one_connection_too_many_is_told_so() -> None:
    async def run() -> Transport:
        protocol, transport, _ = connected(most=0)
        protocol.connection_lost(None)
        return transport

    transport = asyncio.run(run())
    assert transport.closed
    assert transport.written.startswith(b"HTTP/1.1 503 ") and b'"TooManyConnections"' in transport.written


def test_who_sends_no_head_in_time_is_told_so_and_cut_off() -> None:
    async def run() -> tuple[Transport, bytes]:
        protocol, transport, clock = connected()
        clock.passes(0.9 * HEAD_S)
        before = transport.written
        clock.passes(0.2 * HEAD_S)
        protocol.connection_lost(None)
        return transport, before

    transport, before = asyncio.run(run())
    assert before == b"" and transport.closed
    assert transport.written.startswith(b"HTTP/1.1 408 ") and b'"RequestTimeout"' in transport.written


def test_a_connection_that_does_not_end_is_ended() -> None:
    async def run() -> bool:
        _, transport, clock = connected(most=0)
        clock.passes(LINGER_S)
        return transport.aborted

    assert asyncio.run(run())


def test_a_connection_that_waits_for_a_request_is_closed_when_the_worker_is_to_end() -> None:
    async def run() -> Transport:
        protocol, transport, _ = connected()
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
