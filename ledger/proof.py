"""Merkle trees without a tree: the hashes of RFC 6962, trees of short lists, and the verification of proofs.

This is all that a holder of a receipt needs. Proofs about the log itself are made by `merkle.Tree`.
Sizes and leaf indexes count from 0. Nothing here does I/O.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


class ProofError(ValueError):
    """The proof does not prove what it is said to, or no such proof can exist."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 6962 section 2.1."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1."""
    return sha256(b"\x01" + left + right).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over a short list of leaf data (not hashes), by the recursive definition of RFC 6962 section 2.1."""
    return _subroot([leaf_hash(leaf) for leaf in leaves])


def inclusion_of(leaves: Iterable[bytes], index: int) -> list[bytes]:
    """The inclusion proof of leaf `index` in a short list of leaf data: PATH(m, D[n]) of RFC 6962 section 2.1.1.

    Raises ProofError when there is no such leaf.
    """
    hashes = [leaf_hash(leaf) for leaf in leaves]
    check_index(index, len(hashes))
    proof = []
    while len(hashes) > 1:
        split = _split(len(hashes))
        near, far = hashes[:split], hashes[split:]
        if index >= split:
            near, far, index = far, near, index - split
        proof.append(_subroot(far))
        hashes = near
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with hash `leaf` is number `index` of the tree with this size and root.

    RFC 9162 section 2.1.3.2. Raises ProofError otherwise, also for an extra or missing node.
    """
    check_index(index, size)
    _check_lengths(leaf, root, *proof)
    position, last, computed = index, size - 1, leaf
    for node in proof:
        if last == 0:
            raise ProofError("the proof has extra nodes")
        if position % 2 or position == last:
            computed = node_hash(node, computed)
            position, last = _skip_promotions(position, last)
        else:
            computed = node_hash(computed, node)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the proof lacks nodes")
    if computed != root:
        raise ProofError("the proof leads to another root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `new` leaves starts with exactly the `old` leaves of the other.

    RFC 9162 section 2.1.4.2; the empty tree precedes every tree, by an empty proof. Raises ProofError otherwise,
    also for an extra or missing node.
    """
    check_order(old, new)
    _check_lengths(old_root, new_root, *proof)
    if old in (0, new):
        if proof:
            raise ProofError("the proof has extra nodes")
        if old_root != (new_root if old else EMPTY_ROOT):
            raise ProofError("two roots for one size")
        return
    # A power of two: the old root itself is the first node, and is left out of the proof.
    nodes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not nodes:
        raise ProofError("the proof lacks nodes")
    height = last_peak(old)[0]
    old_computed, new_computed = _climb((old - 1) >> height, (new - 1) >> height, nodes)
    if old_computed != old_root or new_computed != new_root:
        raise ProofError("the proof leads to other roots")


def check_index(index: int, size: int) -> None:
    """Raises ProofError unless 0 <= index < size."""
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} of {size}")


def check_order(old: int, new: int) -> None:
    """Raises ProofError unless 0 <= old <= new."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} leaves does not continue one of {old}")


def last_peak(size: int) -> tuple[int, int]:
    """(height, index) of the smallest of the complete subtrees that `size` > 0 leaves consist of."""
    height = (size & -size).bit_length() - 1
    return height, (size >> height) - 1


def _climb(position: int, last: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes]:
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            raise ProofError("the proof has extra nodes")
        if position % 2 or position == last:
            old, new = node_hash(node, old), node_hash(node, new)
            position, last = _skip_promotions(position, last)
        else:
            new = node_hash(new, node)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the proof lacks nodes")
    return old, new


def _skip_promotions(position: int, last: int) -> tuple[int, int]:
    """Up past the heights where a rightmost node has no sibling and stands for its parent."""
    while position and position % 2 == 0:
        position, last = position >> 1, last >> 1
    return position, last


def _split(count: int) -> int:
    """The largest power of two smaller than `count` > 1."""
    return 1 << (count - 1).bit_length() - 1


def _subroot(hashes: list[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else EMPTY_ROOT
    split = _split(len(hashes))
    return node_hash(_subroot(hashes[:split]), _subroot(hashes[split:]))


def _check_lengths(*hashes: bytes) -> None:
    if any(len(value) != HASH_SIZE for value in hashes):
        raise ProofError("a hash is not 32 bytes long")
