"""Checkpoints: the leader announces a size, every node that has applied it signs, a majority makes it valid.

One round at a time: what is committed while a round runs is covered by the next one, so a checkpoint, like an fsync,
is shared by all who wait for it. A node signs only its applied prefix, and never a tree smaller than its last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .checkpoint import (
    Checkpoint,
    CheckpointError,
    Member,
    Signature,
    assemble,
    cosign,
    read_note,
    rsa_line,
    verify_line,
    verify_note,
)
from .membership import Membership
from .merkle import MissingTile, Tree
from .settings import NodeKeys

log = logging.getLogger("ballot.checkpoint")

ROUND_TIMEOUT_S = 0.3


@dataclass
class Round:
    """One size being signed. `lines` by node id; lines that arrive before our own tree got there wait in `early`."""

    size: int
    started: float
    checkpoint: Checkpoint | None = None
    lines: dict[int, str] = field(default_factory=dict)
    early: dict[int, tuple[bytes, str]] = field(default_factory=dict)


class Cosigner:
    """`tell(topic, body, peer)` sends to one peer, or to all when peer is 0."""

    def __init__(
        self,
        node: int,
        keys: NodeKeys,
        membership: Membership,
        tell: Callable[[str, Any, int], None],
        on_note: Callable[[Checkpoint, bytes], None],
    ) -> None:
        self.node, self._ring, self.membership = node, keys, membership
        self._tell, self._on_note = tell, on_note
        self._round: Round | None = None
        self._asked: dict[int, int] = {}
        self._signed: dict[int, int] = {}
        self._wanted = 0
        self._note = b""
        self._parked: tuple[int, bytes] | None = None
        self.signed_size = 0
        self.noted_size = 0
        self.alarm = ""
        self.applied = 0

    @property
    def _member(self) -> Member:
        return self.membership.node(self.node).member

    @property
    def keys(self) -> NodeKeys:
        """The own keys that count at the applied entry."""
        return self._ring.in_force(self.membership.node(self.node).ed25519)

    def want(self, index: int) -> None:
        """Someone waits for a checkpoint that covers entry `index`. One that does is told again: a peer may lack it."""
        self._wanted = max(self._wanted, index)
        if index <= self.noted_size and self._note:
            self._tell("note", self._note, 0)

    def covering(self, index: int) -> bytes:
        """A checkpoint that covers entry `index`; empty while there is none, and then it is wanted."""
        self.want(index)
        return self._note if index <= self.noted_size else b""

    # -- leader

    def advance(self, commit: int, tree: Tree) -> None:
        """Leader, whenever something moved: starts a round when one is wanted and none runs, repeats one that hangs.

        What is repeated keeps its size: peers that apply more slowly than the log grows would never reach a new one.
        """
        now = time.monotonic()
        if self._round is None:
            if self._wanted <= self.noted_size or commit < self._wanted:
                return
            self._round = Round(commit, now)
        elif now - self._round.started < ROUND_TIMEOUT_S:
            return
        self._round.started = now
        self._tell("sign", self._round.size, 0)
        self._sign_own(tree)

    def follow(self, membership: Membership) -> None:
        """The applied prefix ends with another list of members: what is signed must be so by those in force there."""
        self.membership, self._round = membership, None

    def abandon(self) -> None:
        """No longer the leader."""
        self._round = None
        self._signed.clear()

    def ask(self, peer: int) -> None:
        """Has `peer` sign the newest checkpoint once it has applied so much; `agrees` then tells."""
        if self.noted_size:
            self._tell("sign", self.noted_size, peer)

    def agrees(self, peer: int) -> bool:
        """Whether `peer`, since it connected, has signed a tree of ours that a majority's checkpoint covers."""
        return 0 < self._signed.get(peer, 0) <= self.noted_size

    def forget(self, peer: int) -> None:
        """The connection to `peer` was lost: it may come back with another database."""
        self._signed.pop(peer, None)

    def _sign_own(self, tree: Tree) -> None:
        current = self._round
        if current is None or current.checkpoint is not None or self.applied < current.size:
            return
        line = self._sign(current.size, tree)
        if line is None:
            return
        current.checkpoint = Checkpoint(self.membership.origin, current.size, tree.root(current.size))
        current.lines[self.node] = line
        for node, (root, early) in current.early.items():
            self._take_line(current, node, root, early)
        self._finish(current)

    def on_signed(self, peer: int, size: int, root: bytes, line: str, tree: Tree) -> None:
        """A peer's signature arrived, for the round that runs or for one that is over."""
        current = self._round
        if current is None or size != current.size:
            self._take_late(peer, size, root, line, tree)
        elif current.checkpoint is None:
            current.early[peer] = (root, line)
        else:
            self._take_line(current, peer, root, line)
            self._finish(current)

    def _take_line(self, current: Round, peer: int, root: bytes, line: str) -> None:
        """Keeps a voter's line; a learner's is valid, but makes no majority."""
        assert current.checkpoint is not None
        if self._is_good(peer, current.checkpoint, root, line) and peer in self.membership.conf.voters:
            current.lines[peer] = line

    def _take_late(self, peer: int, size: int, root: bytes, line: str, tree: Tree) -> None:
        """It makes no checkpoint any more; a learner's shows that its tree is ours, and nobody asks that of a voter."""
        try:
            if 0 < size <= self.applied and peer not in self.membership.conf.voters:
                self._is_good(peer, Checkpoint(self.membership.origin, size, tree.root(size)), root, line)
        except MissingTile:
            log.debug("a signature too late to be compared", extra={"peer": peer, "size": size})

    def _is_good(self, peer: int, ours: Checkpoint, root: bytes, line: str) -> bool:
        """Whether the line is a member's cosignature of our tree."""
        if not self.membership.holds(peer):
            return False
        if root != ours.root:
            log.critical("a peer's tree differs from ours", extra={"peer": peer, "size": ours.size})
            return False
        try:
            good = verify_line(line, ours, self.membership.node(peer).member) is Signature.COSIGNATURE
        except CheckpointError as error:
            log.error("a peer's cosignature is bad", extra={"peer": peer, "error": str(error)})
            return False
        if good:
            self._signed[peer] = max(ours.size, self._signed.get(peer, 0))
        return good

    def _finish(self, current: Round) -> None:
        voters = self.membership.conf.voters
        if current.checkpoint is None or len(current.lines) < len(voters) // 2 + 1:
            return
        lines = [rsa_line(self.keys.rsa, self._member.name, current.checkpoint), *current.lines.values()]
        note = assemble(current.checkpoint, lines)
        self._round = None
        self._tell("note", note, 0)
        self._accept(current.checkpoint, note)

    # -- every node

    def on_sign(self, leader: int, size: int, tree: Tree) -> None:
        """The leader asks for a signature of `size`; given as soon as this node has applied it."""
        self._asked[leader] = size
        self.on_applied(self.applied, tree)

    def on_applied(self, applied: int, tree: Tree) -> None:
        """This node's tables stand at entry `applied`; its tree may be ahead of them by the batch being written."""
        self.applied = applied
        for leader, size in list(self._asked.items()):
            if size <= applied:
                del self._asked[leader]
                line = self._sign(size, tree)
                if line is not None:
                    self._tell("signed", [size, tree.root(size), line], leader)
        self._sign_own(tree)
        if self._parked is not None and self._parked[0] <= applied:
            (_, note), self._parked = self._parked, None
            self.on_note(note)

    def _sign(self, size: int, tree: Tree) -> str | None:
        if not self.membership.holds(self.node):
            return None
        if self.alarm or size < self.signed_size:
            log.warning("not signing", extra={"size": size, "signed": self.signed_size, "alarm": self.alarm})
            return None
        self.signed_size = size
        checkpoint = Checkpoint(self.membership.origin, size, tree.root(size))
        return cosign(self.keys.ed25519, self._member.name, checkpoint, int(time.time()))

    def on_note(self, note: bytes) -> None:
        """A finished checkpoint from the leader: believed only as far as its signatures go."""
        try:
            checkpoint = verify_note(note, self.membership.origin, self.membership.members)
        except CheckpointError as error:
            if not self._park(note):
                log.error("a checkpoint from the leader does not verify", extra={"error": str(error)})
            return
        self._accept(checkpoint, note)

    def _park(self, note: bytes) -> bool:
        """Those who signed what is ahead of us may be members we do not know yet: one such note waits, the nearest."""
        try:
            size = read_note(note).size
        except CheckpointError:
            return False
        if size <= self.applied:
            return False
        if self._parked is None or size < self._parked[0]:
            self._parked = size, note
        return True

    def _accept(self, checkpoint: Checkpoint, note: bytes) -> None:
        if checkpoint.size > self.noted_size:
            self.noted_size, self._note = checkpoint.size, note
            log.info("checkpoint signed by a majority", extra={"size": checkpoint.size})
            self._on_note(checkpoint, note)

    def restore(self, applied: int, signed_size: int, noted_size: int) -> None:
        self.applied, self.signed_size, self.noted_size = applied, signed_size, noted_size
