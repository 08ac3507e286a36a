"""Verification of Merkle proofs: what is one change away from a true proof is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger.merkle import Tree
from ballot.ledger.proof import (
    EMPTY_ROOT,
    ProofError,
    inclusion_of,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

MOST = 300


def leaf(index: int) -> bytes:
    return leaf_hash(b"entry %d" % index)


@pytest.fixture(scope="module")
def medium() -> Tree:
    tree = Tree()
    for index in range(MOST):
        tree.append(leaf(index))
    return tree


def mutations(proof: list[bytes]) -> list[list[bytes]]:
    """Every proof that is one change away: a node changed, cut short, dropped, doubled, swapped, or added."""
    changed = []
    for place, node in enumerate(proof):
        before, after = proof[:place], proof[place + 1 :]
        flipped = bytes([node[0] ^ 1]) + node[1:]
        changed += [
            [*before, flipped, *after],
            [*before, node[:-1], *after],
            [*before, *after],
            [*before, node, node, *after],
        ]
        if after and after[0] != node:
            changed.append([*before, after[0], node, *after[1:]])
    return [*changed, [EMPTY_ROOT, *proof], [*proof, EMPTY_ROOT], [*proof, b""]]


@given(st.integers(1, MOST), st.data())
def test_every_mutation_of_an_inclusion_proof_is_refused(medium: Tree, size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root, proof = medium.root(size), medium.inclusion_proof(index, size)
    for mutation in mutations(proof):
        with pytest.raises(ProofError):
            verify_inclusion(leaf(index), index, size, mutation, root)
    for other in {index - 1, index + 1, index ^ 2, size, size + index} - {index}:
        with pytest.raises(ProofError):
            verify_inclusion(leaf(index), other, size, proof, root)
    for wrong_leaf, wrong_root in ((leaf(index + 1), root), (leaf(index), EMPTY_ROOT), (b"", root)):
        with pytest.raises(ProofError):
            verify_inclusion(wrong_leaf, index, size, proof, wrong_root)


@given(st.integers(2, MOST), st.data())
def test_every_mutation_of_a_consistency_proof_is_refused(medium: Tree, new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new - 1))
    old_root, new_root = medium.root(old), medium.root(new)
    proof = medium.consistency_proof(old, new)
    for mutation in [*mutations(proof), []]:
        with pytest.raises(ProofError):
            verify_consistency(old, new, old_root, new_root, mutation)
    for roots in ((new_root, old_root), (EMPTY_ROOT, new_root), (old_root, EMPTY_ROOT)):
        with pytest.raises(ProofError):
            verify_consistency(old, new, *roots, proof)
    with pytest.raises(ProofError):
        verify_consistency(new, old, new_root, old_root, proof)


def test_a_proof_in_a_tree_of_another_height_is_refused(medium: Tree) -> None:
    proof, root = medium.inclusion_proof(5, 8), medium.root(8)
    for size in (4, 9, 16):
        with pytest.raises(ProofError):
            verify_inclusion(leaf(5), 5, size, proof, root)


def test_consistency_with_a_tree_of_another_height_is_refused(medium: Tree) -> None:
    proof, roots = medium.consistency_proof(6, 8), (medium.root(6), medium.root(8))
    verify_consistency(6, 8, *roots, proof)
    for old, new in ((6, 16), (6, 9), (5, 8), (4, 8)):
        with pytest.raises(ProofError):
            verify_consistency(old, new, *roots, proof)


def test_equal_sizes_need_equal_roots_and_no_proof(medium: Tree) -> None:
    verify_consistency(7, 7, medium.root(7), medium.root(7), [])
    with pytest.raises(ProofError, match="two roots"):
        verify_consistency(7, 7, medium.root(7), medium.root(8), [])
    with pytest.raises(ProofError, match="extra"):
        verify_consistency(7, 7, medium.root(7), medium.root(7), [medium.root(7)])


def test_the_empty_tree_precedes_every_tree(medium: Tree) -> None:
    assert medium.consistency_proof(0, 9) == []
    verify_consistency(0, 9, EMPTY_ROOT, medium.root(9), [])
    with pytest.raises(ProofError, match="two roots"):
        verify_consistency(0, 9, medium.root(1), medium.root(9), [])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=40), st.data())
def test_short_lists_have_roots_and_proofs_of_their_own(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    verify_inclusion(leaf_hash(leaves[index]), index, len(leaves), inclusion_of(leaves, index), root_of(leaves))
    with pytest.raises(ProofError):
        inclusion_of(leaves, len(leaves))
