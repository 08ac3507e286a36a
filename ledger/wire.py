"""Length-prefixed msgpack frames on a stream: `be32(length) ‖ msgpack`, for peers and for the node's own socket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import msgpack

from .unpack import UnpackError
from .unpack import unpack as unpack_bounded

MAX_FRAME_BYTES = 64 << 20
_LENGTH = struct.Struct(">I")
_PACKER = msgpack.Packer(use_bin_type=True)


class WireError(ValueError):
    """A frame that is too long or is not msgpack."""


def pack(message: Any) -> bytes:
    body = cast(bytes, _PACKER.pack(message))
    return _LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> Any:
    """Raises WireError."""
    try:
        return unpack_bounded(body, text_keys=False)
    except UnpackError as error:
        raise WireError(str(error)) from error


class FrameProtocol(asyncio.Protocol):
    """Splits a stream into frames. A malformed stream is closed: nothing after it could be trusted."""

    def __init__(
        self,
        on_frame: Callable[[FrameProtocol, Any], None],
        on_lost: Callable[[FrameProtocol], None] | None = None,
        on_made: Callable[[FrameProtocol], None] | None = None,
    ) -> None:
        self._on_frame, self._on_lost, self._on_made = on_frame, on_lost, on_made
        self._buffer = bytearray()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self.frame_bytes = 0
        """The length of the frame that was handed over last."""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._on_made is not None:
            self._on_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._buffer.clear()
        if self._on_lost is not None:
            self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        if not self.is_open:
            return
        self._buffer += data
        position = 0
        try:
            while self.is_open and len(self._buffer) - position >= 4:
                (length,) = _LENGTH.unpack_from(self._buffer, position)
                if length > MAX_FRAME_BYTES:
                    raise WireError(f"a frame of {length} bytes")
                if len(self._buffer) - position - 4 < length:
                    break
                body = bytes(memoryview(self._buffer)[position + 4 : position + 4 + length])
                position += 4 + length
                self.frame_bytes = length
                self._on_frame(self, unpack(body))
        except WireError:
            self.close()
            return
        del self._buffer[:position]

    def send(self, message: Any) -> bool:
        """False when the connection is gone: the message is lost.

        All that is sent within one turn of the event loop leaves in one write: one system call, one TLS record.
        """
        if not self.is_open:
            return False
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        frame = pack(message)
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        return True

    def _flush(self) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if self.transport is not None and self.is_open:
            self.transport.write(b"".join(unsent))

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return self._unsent_bytes + (self.transport.get_write_buffer_size() if self.transport is not None else 0)

    def close(self) -> None:
        """What was sent still leaves."""
        if self.transport is not None:
            self._flush()
            self.transport.close()

    def abort(self) -> None:
        """At once, waiting for nothing from the other end."""
        if self.transport is not None:
            self.transport.abort()
