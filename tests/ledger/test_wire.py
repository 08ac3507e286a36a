"""Frames on a stream: however it is cut, whole messages come out, and nothing after a malformed one."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger.wire import MAX_FRAME_BYTES, FrameProtocol, WireError, pack, unpack

MESSAGES: list[Any] = [[1, "vote", b"\0\xff"], {}, None, {"a": [True, -1]}, b"x" * 300]
STREAM = b"".join(map(pack, MESSAGES))


class FakeTransport:
    """What a FrameProtocol uses of asyncio's transport."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    @property
    def sent(self) -> bytes:
        return b"".join(self.written)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return len(self.sent)


class Ends:
    """A protocol on a fake transport, and what came out of it."""

    def __init__(self, *, close_after: int = 0) -> None:
        self.frames: list[Any] = []
        self.lost = 0
        self._close_after = close_after
        self.link = FrameProtocol(self._on_frame, self._on_lost)
        self.transport = FakeTransport()
        self.link.connection_made(cast(asyncio.Transport, self.transport))

    def _on_frame(self, link: FrameProtocol, frame: Any) -> None:
        self.frames.append(frame)
        if len(self.frames) == self._close_after:
            link.close()

    def _on_lost(self, link: FrameProtocol) -> None:
        self.lost += 1


@given(st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_a_stream_cut_anywhere_gives_the_same_frames(cuts: list[int]) -> None:
    ends = Ends()
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        ends.link.data_received(STREAM[start:end])
    assert ends.frames == MESSAGES
    assert not ends.transport.closed


def test_a_stream_byte_by_byte_gives_the_same_frames() -> None:
    ends = Ends()
    for byte in STREAM:
        ends.link.data_received(bytes([byte]))
    assert ends.frames == MESSAGES


def send(ends: Ends, *messages: Any) -> list[bool]:
    """Sends them in one turn of an event loop, and lets the next turn come."""

    async def work() -> list[bool]:
        sent = [ends.link.send(message) for message in messages]
        assert ends.link.backlog == (len(STREAM) if all(sent) else 0)
        await asyncio.sleep(0)
        return sent

    return asyncio.run(work())


def test_what_is_sent_is_what_the_other_end_receives_in_one_write() -> None:
    here, there = Ends(), Ends()
    assert all(send(here, *MESSAGES))
    assert here.transport.written == [STREAM]
    there.link.data_received(here.transport.sent)
    assert there.frames == MESSAGES


def test_what_was_sent_before_closing_still_leaves() -> None:
    ends = Ends()

    async def work() -> None:
        ends.link.send("last words")
        ends.link.close()

    asyncio.run(work())
    assert ends.transport.sent == pack("last words")
    assert ends.transport.closed


def test_an_oversized_frame_closes_the_connection_before_it_is_read() -> None:
    ends = Ends()
    ends.link.data_received(pack("fine") + struct.pack(">I", MAX_FRAME_BYTES + 1))
    assert ends.frames == ["fine"]
    assert ends.transport.closed


MALFORMED = {
    "empty": b"",
    "cut": b"\x92\1",
    "trailing": b"\1\1",
    "not UTF-8": b"\xa1\xff",
    "deep": b"\x91" * 3000 + b"\0",
    "list as a key": b"\x81\x91\1\2",
    "reserved": b"\xc1",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_closes_the_connection_and_nothing_after_it_is_read(body: bytes) -> None:
    with pytest.raises(WireError):
        unpack(body)
    ends = Ends()
    ends.link.data_received(pack("before") + struct.pack(">I", len(body)) + body + pack("after"))
    ends.link.data_received(pack("later"))
    assert ends.frames == ["before"]
    assert ends.transport.closed


def test_nothing_is_read_after_the_receiver_closed() -> None:
    """A stranger's second frame must not be looked at because it came in one packet with the first."""
    ends = Ends(close_after=2)
    ends.link.data_received(STREAM)
    ends.link.data_received(STREAM)
    assert ends.frames == MESSAGES[:2]


def test_a_message_to_a_closed_connection_is_lost_and_says_so() -> None:
    ends = Ends()
    ends.link.close()
    assert send(ends, "late") == [False]
    ends.link.connection_lost(None)
    assert send(ends, "later") == [False]
    assert ends.link.backlog == 0
    assert ends.transport.sent == b""
    assert ends.lost == 1


@given(st.binary(max_size=60))
def test_no_bytes_make_the_decoder_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(WireError):
        unpack(data)
