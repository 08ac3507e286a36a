"""The auditor's tree: any past root, though the tree itself forgets."""

import pytest

from ballot.ledger.merkle import Tree
from ballot.ledger.proof import ProofError, leaf_hash
from ballot.replay.logtree import LogTree
from ballot.replay.scratch import Scratch

LEAVES = 9000  # More than the 8,192 of which a tree keeps the tiles.


def test_a_root_of_long_ago_is_found() -> None:
    scratch = Scratch()
    kept, plain, roots = LogTree(scratch), Tree(), {}
    for number in range(1, LEAVES + 1):
        header = b"%d" % number
        kept.append(header)
        plain.append(leaf_hash(header))
        if number in (1, 255, 256, 257, 511, 700, LEAVES):
            roots[number] = plain.root()
    assert {size: kept.root(size) for size in roots} == roots
    assert kept.root() == roots[LEAVES]
    with pytest.raises(ProofError):
        kept.root(LEAVES + 1)
    scratch.close()
