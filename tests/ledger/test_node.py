"""The node: it ends when its tree is not the one that was signed (rule R6)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from ballot.ledger import node as module
from ballot.ledger.checkpoint import Checkpoint
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.node import Node
from ballot.ledger.vouched import Vouched


class Died(Exception):
    pass


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node that has applied three entries, as far as its tree is concerned."""

    def die(reason: str) -> NoReturn:
        raise Died(reason)

    monkeypatch.setattr(module, "die", die)
    tree = Tree()
    for number in range(3):
        tree.append(leaf_hash(b"%d" % number))
    made = cast(Any, object.__new__(Node))
    made.applier = SimpleNamespace(applied=3, tree=tree)
    made.cosigner = SimpleNamespace(on_applied=lambda applied, tree: None, signed_size=0)
    made.core = SimpleNamespace(apply_done=int)
    made.notes = SimpleNamespace(keep=lambda size, note: None, write_out=lambda: None)
    made.wake = lambda: None
    made.vouched = Vouched()
    return cast(Node, made)


def test_a_signed_root_that_is_not_its_own_ends_the_node(node: Node) -> None:
    node._on_note(Checkpoint("log", 2, node.applier.tree.root(2)), b"")
    with pytest.raises(Died, match="size 3"):
        node._on_note(Checkpoint("log", 3, bytes(32)), b"")


def test_a_root_ahead_of_the_node_is_compared_when_it_gets_there(node: Node) -> None:
    node._on_note(Checkpoint("log", 4, bytes(32)), b"")
    node.applier.tree.append(leaf_hash(b"3"))
    node.applier.applied = 4
    with pytest.raises(Died, match="size 4"):
        node._on_applied([cast(Any, SimpleNamespace(index=4, kind="BallotCast"))])


def test_a_root_that_agrees_is_compared_once(node: Node) -> None:
    tree = node.applier.tree
    tree.append(leaf_hash(b"3"))
    node._on_note(Checkpoint("log", 4, tree.root(4)), b"")
    node.applier.applied = 4
    node._on_applied([cast(Any, SimpleNamespace(index=4, kind="BallotCast"))])
    assert node.vouched.heads == {}


def test_of_many_roots_ahead_only_the_newest_is_kept(node: Node) -> None:
    for size in (5, 9, 7):
        node._on_note(Checkpoint("log", size, bytes(32)), b"")
    assert node.vouched.heads == {"a majority": (9, bytes(32))}


def test_the_checkpoint_that_ends_the_node_is_stored_before(node: Node) -> None:
    written: list[str] = []
    cast(Any, node.notes).write_out = lambda: written.append("out")
    with pytest.raises(Died):
        node._on_note(Checkpoint("log", 3, bytes(32)), b"")
    assert written == ["out"]
