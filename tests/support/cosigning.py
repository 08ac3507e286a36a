"""The language for checkpoints: that of the Raft core, and each node has a real tree and signs with a real cosigner.

A tree is shown by the last entry it covers. Requests, signatures and finished checkpoints travel when `cosign` says so,
over the links that are not cut. Whatever any node signs is held against what is committed, and against all that was
signed before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ballot.ledger.checkpoint import Checkpoint
from ballot.ledger.cosign import Cosigner
from ballot.ledger.merkle import ProofError, Tree, leaf_hash, root_of, verify_consistency
from ballot.ledger.settings import NodeKeys
from tests.support.invariants import require
from tests.support.keys import long_key, node_key, real_members
from tests.support.notation import show_item
from tests.support.raft import Item, Node
from tests.support.scenario import Scenario

Told = tuple[int, str, Any, int]  # Sender, topic, body, receiver.


def leaf(item: Item) -> bytes:
    return bytes.fromhex(item.hash)


class Signer:
    """What one node keeps besides its log. Of it, a crash leaves what it signed and the newest checkpoint."""

    def __init__(self, node: Node, language: Cosigning, signed: int = 0, noted: int = 0) -> None:
        self.node, self.tree = node, Tree()
        members = real_members(len(language.cluster.nodes))
        self.cosigner = Cosigner(
            node.id,
            NodeKeys(node_key(node.id), long_key(1)),
            members,
            lambda topic, body, peer: language.told_by(node.id, topic, body, peer),
            lambda checkpoint, _: language.published(node.id, checkpoint),
        )
        self.cosigner.restore(0, signed, noted)

    def follow(self) -> None:
        """The node's log or commit may have moved: what is applied goes into the tree, and is signed if asked for."""
        for item in self.node.disk.entries[self.tree.size : self.node.applied]:
            self.tree.append(leaf_hash(leaf(item)))
        self.cosigner.on_applied(self.node.applied, self.tree)
        if self.node.core.leadership is not None:
            self.cosigner.advance(self.node.core.commit, self.tree)
        else:
            self.cosigner.abandon()


class Cosigning(Scenario):
    VIOLATIONS = (*Scenario.VIOLATIONS, ProofError)

    def __init__(self) -> None:
        super().__init__()
        self._signers: dict[int, Signer] = {}
        self._told: list[Told] = []
        self._checkpoints: dict[int, Checkpoint] = {}

    def run(self, commands: list[str]) -> list[str]:
        """Every command may move every node."""
        shown: list[str] = []
        for command in commands:
            super().run([command])
            for signer in self._running():
                signer.follow()
                self._check_own(signer)
            shown += self.lines
        return shown or super().run([])

    def _running(self) -> list[Signer]:
        return [signer for signer in self._signers.values() if signer.node.running]

    def add_nodes(self, count: str, *settings: str) -> None:
        super().add_nodes(count, *settings)
        self._signers = {node.id: Signer(node, self) for node in self.cluster.nodes.values()}

    def restart(self, *nodes: str) -> None:
        for number in map(int, nodes):
            cosigner = self._signers[number].cosigner
            self._signers[number] = Signer(self.cluster.nodes[number], self, cosigner.signed_size, cosigner.noted_size)
        super().restart(*nodes)

    # -- signing

    def want(self, node: str, index: str = "") -> None:
        """want NODE [INDEX]: somebody waits there for a receipt of entry INDEX, or of the last one in its log."""
        core = self.cluster.nodes[int(node)].core
        self._signers[int(node)].cosigner.want(int(index or core.log.last_index))

    def ask(self, link: str, size: str) -> None:
        """ask 1->2 SIZE: 1 asks 2 to sign so many entries, whether or not they are committed."""
        sender, to = map(int, link.split("->"))
        self._told.append((sender, "sign", int(size), to))

    def cosign(self) -> None:
        """Delivers what the signers tell each other, until nothing is on its way."""
        while self._told:
            sender, topic, body, receiver = self._told.pop(0)
            signer = self._signers[receiver]
            if (sender, receiver) in self.cluster.cut or not signer.node.running:
                continue
            if topic == "sign":
                signer.cosigner.on_sign(sender, body, signer.tree)
            elif topic == "signed":
                size, root, line = body
                signer.cosigner.on_signed(sender, size, root, line, signer.tree)
            else:
                signer.cosigner.on_note(body)

    def told_by(self, sender: int, topic: str, body: Any, peer: int) -> None:
        if topic == "sign":
            self.lines.append(f"{sender} asks for signatures of {body} entries")
        elif topic == "signed":
            self._check(sender, *body[:2])
            self.lines.append(f"{sender} signs the log to {self._show(body[0])}")
        self._told += [(sender, topic, body, to) for to in ([peer] if peer else self._signers) if to != sender]

    def published(self, node: int, checkpoint: Checkpoint) -> None:
        """A node has, by its own judgement, a checkpoint that a majority signed."""
        self._check(node, checkpoint.size, checkpoint.root)
        self._checkpoints[checkpoint.size] = checkpoint
        self.lines.append(f"{node} has a checkpoint to {self._show(checkpoint.size)}")

    def _check(self, node: int, size: int, root: bytes) -> None:
        committed = self._committed()
        require(size <= len(committed), f"node {node} signs {size} entries, of which {len(committed)} are committed")
        require(root == root_of(map(leaf, committed[:size])), f"node {node} signs another log than is committed")

    def _check_own(self, signer: Signer) -> None:
        """A leader's own signature goes nowhere until there is a majority; it counts all the same."""
        size = signer.cosigner.signed_size
        if 0 < size <= signer.tree.size:
            self._check(signer.node.id, size, signer.tree.root(size))

    def _committed(self) -> list[Item]:
        return [committed.item for committed in self.cluster.invariants.committed]

    def _show(self, size: int) -> str:
        return show_item(self._committed()[size - 1])

    def checkpoints(self) -> None:
        """checkpoints: all that were ever published; each must continue the one before it."""
        tree = Tree()
        for item in self._committed():
            tree.append(leaf_hash(leaf(item)))
        found = [self._checkpoints[size] for size in sorted(self._checkpoints)]
        for old, new in pairwise(found):
            verify_consistency(old.size, new.size, old.root, new.root, tree.consistency_proof(old.size, new.size))
        self.lines += [f"to {self._show(checkpoint.size)}" for checkpoint in found]
        self.lines.append("each continues the one before it")
