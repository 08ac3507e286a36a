"""Server-sent events: changes only, steps that are the same for all, few listeners, an end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from falcon.asgi import Request, SSEvent

from ballot.http import events
from ballot.http.events import STOPPING, Changes, Listeners, StatusEvent, moments
from ballot.http.problems import Refused


def request(stopping: asyncio.Event | None = None) -> Request:
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "http_version": "1.1"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    return Request({**scope, "state": {STOPPING: stopping} if stopping else {}}, receive)


def test_a_state_that_stays_is_told_once() -> None:
    changes = Changes()
    first = changes.event("status", StatusEvent("open"), 7)
    assert first is not None
    assert (first.event, first.event_id, first.data) == ("status", "7", b'{"status":"open"}')
    assert changes.event("status", StatusEvent("open"), 8) is None
    assert changes.event("status", StatusEvent("closed"), 9) is not None


def test_a_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = Changes()
    assert changes.heartbeat() is None
    monkeypatch.setattr(events, "HEARTBEAT_S", 0)
    beat = changes.heartbeat()
    assert beat is not None and beat.comment and beat.data is None


def test_all_listeners_look_at_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connect, and whenever: what they see together is no finer than what one sees."""
    now = [0.0]

    @asynccontextmanager
    async def passes(seconds: float) -> AsyncIterator[None]:
        now[0] += seconds
        raise TimeoutError
        yield

    monkeypatch.setattr(events, "time", lambda: now[0])
    monkeypatch.setattr("asyncio.timeout", passes)

    async def listen(began: float) -> list[float]:
        now[0] = began
        looked = moments(request())
        return [await anext(looked) for _ in range(4)]

    for began in (100.0, 100.25, 101.875):
        assert asyncio.run(listen(began)) == [began, 102.0, 104.0, 106.0]


def test_a_worker_that_is_to_end_ends_its_streams() -> None:
    async def run() -> int:
        stopping = asyncio.Event()
        count = 0
        async with asyncio.timeout(60):
            async for _ in moments(request(stopping)):
                count += 1
                stopping.set()
        return count

    assert asyncio.run(run()) == 1


def test_a_stream_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LASTS_S", 0)

    async def run() -> int:
        return len([moment async for moment in moments(request())])

    assert asyncio.run(run()) == 1


async def endless() -> AsyncIterator[SSEvent]:
    while True:
        yield SSEvent(comment="on")


def test_one_user_listens_only_so_often_and_may_come_back() -> None:
    async def run() -> None:
        listeners = Listeners()
        open_streams = []
        for _ in range(events.LISTENERS_A_USER):
            listeners.refuse_more(b"ada")
            stream = listeners.hold(b"ada", endless())
            await anext(stream)
            open_streams.append(stream)
        with pytest.raises(Refused) as caught:
            listeners.refuse_more(b"ada")
        assert caught.value.refusal == "TooManyRequests" and "Retry-After" in caught.value.headers
        listeners.refuse_more(b"grace")
        await open_streams[0].aclose()  # type: ignore[attr-defined]
        listeners.refuse_more(b"ada")

    asyncio.run(run())


def test_a_worker_has_only_so_many_listeners() -> None:
    async def run() -> None:
        listeners = Listeners()
        streams = [listeners.hold(str(number).encode(), endless()) for number in range(events.LISTENERS)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(Refused):
            listeners.refuse_more(b"one more")

    asyncio.run(run())


def test_strangers_together_leave_room_for_who_has_logged_in() -> None:
    async def run() -> None:
        listeners = Listeners()
        for _ in range(events.STRANGERS):
            listeners.refuse_more(events.STRANGER)
            await anext(listeners.hold(events.STRANGER, endless()))
        with pytest.raises(Refused):
            listeners.refuse_more(events.STRANGER)
        listeners.refuse_more(b"ada")

    asyncio.run(run())


def test_an_error_ends_a_stream_and_frees_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> AsyncIterator[SSEvent]:
        yield SSEvent(comment="on")
        raise ConnectionError("database gone")

    async def run() -> list[SSEvent]:
        listeners = Listeners()
        return [event async for event in listeners.hold(b"ada", failing())]

    assert len(asyncio.run(run())) == 1
    assert "events ended" in caplog.text
