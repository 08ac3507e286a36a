"""The TCP ports of a cluster on this machine: the same at every start, so that noted addresses go on working."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

HOST = "127.0.0.1"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def hold_port(port: int = 0) -> socket.socket:
    """A socket bound to a free port of 127.0.0.1, which nobody else is given before it is closed; or to this one.

    It does not listen, so a server that sets SO_REUSEADDR may, now and after every restart: socket(7). Raises OSError
    when somebody listens at `port`.
    """
    held = socket.socket()
    try:
        # Connections that an earlier server left behind, and that are dying, do not take its port.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(port > 0))
        held.bind((HOST, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        held.close()
        raise
    return held


class Ports:
    """Holds ports by name. `file` keeps them from one start to the next; `moved` are those at which somebody else
    listened by now, name to old port.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._before: dict[str, int] = {}
        self._held: dict[str, socket.socket] = {}
        self.moved: dict[str, int] = {}
        # A file that cannot be read costs the old addresses and nothing else.
        with suppress(OSError, msgspec.MsgspecError):
            self._before = msgspec.json.decode(file.read_bytes(), type=dict[str, int])

    def take(self, name: str) -> int:
        """The port of that name, the same however often it is asked for, and its own until `close`."""
        if name not in self._held:
            self._held[name] = self._hold(name)
            self._save()
        return _port(self._held[name])

    def close(self) -> None:
        for held in self._held.values():
            held.close()
        self._held = {}

    def _hold(self, name: str) -> socket.socket:
        port = self._before.get(name, 0)
        if 0 < port < 65536 and port not in map(_port, self._held.values()):
            with suppress(OSError):
                return hold_port(port)
        if port:
            self.moved[name] = port
        return hold_port()

    def _save(self) -> None:
        draft = self._file.with_suffix(".draft")
        now = {name: _port(held) for name, held in self._held.items()}
        draft.write_bytes(msgspec.json.encode(self._before | now))
        os.replace(draft, self._file)


def _port(held: socket.socket) -> int:
    port: int = held.getsockname()[1]
    return port
