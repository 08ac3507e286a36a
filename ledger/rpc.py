"""The node's side of its Unix socket: commands, proofs and status for its own HTTP workers and its operator."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .entry import Entry
from .node import Node
from .proof import ProofError
from .raft.messages import NotLeader
from .submit import Unavailable
from .transport import PeerLost
from .wire import FrameProtocol

log = logging.getLogger("ballot.rpc")

PEER_TIMEOUT_S = 2.0

Method = Callable[[Any], Awaitable[Any]]


class RpcServer:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._methods: dict[str, Method] = {
            "submit": self._submit,
            "status": self._status,
            "metrics": self._metrics,
            "wait": self._wait,
            "read_index": self._read_index,
            "inclusion": self._inclusion,
            "consistency": self._consistency,
            "checkpoint": self._checkpoint,
            "witness": self._witness,
            "at": self._at,
        }
        # What a peer may ask of this node as well.
        node.answers |= {"status": self._status, "drill": self._drill}

    async def start(self) -> None:
        path = self._node.settings.socket
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            path.unlink()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: FrameProtocol(self._on_frame), sock=private_socket(path))

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()

    def _on_frame(self, link: FrameProtocol, frame: Any) -> None:
        if not isinstance(frame, list) or len(frame) != 3 or not isinstance(frame[1], str):
            link.abort()
            return
        task = asyncio.ensure_future(self._answer(link, frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, link: FrameProtocol, frame: Any) -> None:
        number, method, argument = frame
        try:
            link.send([number, True, await self._methods[method](argument)])
        except (Unavailable, NotLeader, PeerLost, TimeoutError, ProofError, LookupError) as error:
            link.send([number, False, str(error) or type(error).__name__])
        except Exception:
            log.exception("a call failed", extra={"method": method})
            link.send([number, False, "internal error"])

    # -- methods

    async def _submit(self, argument: Any) -> dict[str, Any]:
        command, receipt, timeout_s = argument
        node = self._node
        verdict = await node.submitter.submit(command, receipt=receipt, timeout_s=timeout_s)
        if verdict.refusal:
            return {"index": verdict.index, "refusal": verdict.refusal, "detail": verdict.detail}
        entry = (await node.read_committed(verdict.index, verdict.index))[0]
        answer = {
            "index": entry.index,
            "new": verdict.new,
            "kind": entry.kind,
            "time_us": entry.time_us,
            "header": entry.header,
            "public": entry.public,
            "salt": entry.salt,
        }
        if receipt:
            if entry.private_digest and entry.private is None:
                # Without its salt a receipt would prove nothing. Only after the close is a cast erased.
                raise Unavailable("recorded, but its private part is being erased")
            answer |= await self._receipt(entry)
        return answer

    async def _receipt(self, entry: Entry) -> dict[str, Any]:
        try:
            async with asyncio.timeout(8):
                note = await self._node.notes.covering(entry.index)
                size = size_of(note)
                await self._node.applier.reached(size)
        except TimeoutError as error:
            raise Unavailable("recorded, but no majority has signed a checkpoint yet: ask again") from error
        return {"note": note, "proof": await self._inclusion([entry.index, size])}

    async def _status(self, _: Any) -> dict[str, Any]:
        node = self._node
        core, clock = node.core, node.clock
        return {
            "node": core.node,
            "origin": node.membership.origin,
            "member": node.members.is_member(core.log, node.applier.applied, core.leader),
            "role": core.role,
            "leader": core.leader,
            "term": core.term,
            "commit": core.commit,
            "last": core.log.last_index,
            "durable": core.log.durable,
            "writes": core.writes,
            "appends": node.transport.appends,
            "applied": node.applier.applied,
            "checkpoint": node.notes.newest_size,
            "voters": list(core.log.conf.voters),
            "learners": list(core.log.conf.learners),
            "connected": node.transport.connected(),
            "match": {peer: p.match for peer, p in core.leadership.peers.items()} if core.leadership else {},
            "waits_for": core.leadership.pace.waits_for if core.leadership else 0,
            "clock": {
                "now_us": clock.now_us(),
                "correction_us": clock.correction_us,
                "synchronised": clock.synchronised,
                "offsets": {peer: [s.offset_us, s.round_trip_us] for peer, s in clock.offsets().items()},
            },
        }

    async def _at(self, argument: Any) -> Any:
        """Asks any node, this one included, for its status or for a part in a drill."""
        number, topic, body = argument
        if number == self._node.core.node:
            return await self._node.answers[topic](body)
        return await self._node.transport.ask(number, topic, body, PEER_TIMEOUT_S)

    async def _drill(self, argument: Any) -> int:
        """Carries out a drill's order; returns this process's id. Raises Unavailable where drills are off."""
        node = self._node
        if not node.settings.drills:
            raise Unavailable(f"drills are not enabled on node {node.core.node}")
        action, number = argument
        log.warning("a drill", extra={"action": action, "argument": number})
        if action == "end":
            # As a crash would; a moment later, so that the answer still leaves.
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGKILL)
        elif action == "hand-over":
            node.hand_over()
        elif action == "skew":
            node.skew_us = int(number)
        else:
            raise ValueError(f"there is no such action: {action}")
        return os.getpid()

    async def _metrics(self, _: Any) -> bytes:
        return self._node.metrics.text()

    async def _wait(self, argument: Any) -> int:
        index, timeout_s = argument
        async with asyncio.timeout(timeout_s):
            await self._node.applier.reached(index)
        return self._node.applier.applied

    async def _read_index(self, timeout_s: Any) -> int:
        return await self._node.read_index(timeout_s)

    async def _inclusion(self, argument: Any) -> list[bytes]:
        index, size = argument
        tree = self._node.applier.tree
        await self._node.applier.fetch_tiles(tree.inclusion_tiles(index - 1, size))
        return tree.inclusion_proof(index - 1, size)

    async def _consistency(self, argument: Any) -> list[bytes]:
        old, new = argument
        tree = self._node.applier.tree
        await self._node.applier.fetch_tiles(tree.consistency_tiles(old, new))
        return tree.consistency_proof(old, new)

    async def _checkpoint(self, _: Any) -> bytes:
        return self._node.notes.newest

    async def _witness(self, argument: Any) -> None:
        await self._node.notes.keep_witness(*argument)


def private_socket(path: Path) -> socket.socket:
    """A Unix socket that only its owner may connect to, from the moment it is there."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    finally:
        os.umask(before)
    bound.setblocking(False)
    return bound


def size_of(note: bytes) -> int:
    """The size a checkpoint of our own states; its signatures were verified when it was made or arrived."""
    return int(note.split(b"\n", 2)[1])
