"""The Merkle tree against the published vectors and against the slow recursive definitions of RFC 6962."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger import merkle
from ballot.ledger.merkle import (
    CACHED_TILES,
    EMPTY_ROOT,
    RECENT_TILES,
    TILE_SIZE,
    MissingTile,
    ProofError,
    TileError,
    TileId,
    Tree,
    edge_tiles,
    inclusion_of,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The reference tree of the Certificate Transparency code, as published in its merkle_tree_test.cc.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
# (leaf index, size): proof
INCLUSION = {
    (0, 1): "",
    (0, 8): "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    (5, 8): "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    (2, 3): "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    (1, 5): "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
}
# (old size, new size): proof
CONSISTENCY = {
    (1, 1): "",
    (1, 8): "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    (6, 8): "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    (2, 5): "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
}

MOST = 1500
LARGE = 65_536 + 300


def hashes_of(text: str) -> list[bytes]:
    joined = bytes.fromhex(text)
    return [joined[start : start + 32] for start in range(0, len(joined), 32)]


@cache
def leaf(index: int) -> bytes:
    return leaf_hash(b"entry %d" % index)


@cache
def slow_root(start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962 section 2.1."""
    if end - start < 2:
        return leaf(start) if end > start else EMPTY_ROOT
    split = start + (1 << (end - start - 1).bit_length() - 1)
    return node_hash(slow_root(start, split), slow_root(split, end))


def slow_inclusion(index: int, start: int, end: int) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1."""
    if end - start == 1:
        return []
    split = start + (1 << (end - start - 1).bit_length() - 1)
    if index < split:
        return [*slow_inclusion(index, start, split), slow_root(split, end)]
    return [*slow_inclusion(index, split, end), slow_root(start, split)]


def slow_consistency(old: int, start: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2; `old` counts from leaf 0."""
    if old == end:
        return [] if whole else [slow_root(start, end)]
    split = start + (1 << (end - start - 1).bit_length() - 1)
    if old <= split:
        return [*slow_consistency(old, start, split, whole), slow_root(split, end)]
    return [*slow_consistency(old, split, end, False), slow_root(start, split)]


def grown(size: int) -> tuple[Tree, dict[TileId, bytes]]:
    """A tree grown leaf by leaf, and the storage its caller keeps."""
    tree, store = Tree(), {}
    for index in range(size):
        tree.append(leaf(index))
        store.update({(level, number): data for level, number, data in tree.completed_tiles()})
    return tree, store


def restored(size: int, store: dict[TileId, bytes]) -> Tree:
    tail = [leaf(index) for index in range(size - size % 256, size)]
    return Tree.load(size, tail, {tile: store[tile] for tile in edge_tiles(size)})


@pytest.fixture(scope="module")
def medium() -> Tree:
    return grown(MOST)[0]


@pytest.fixture(scope="module")
def large() -> tuple[Tree, dict[TileId, bytes]]:
    return grown(LARGE)


def reference_tree() -> Tree:
    tree = Tree()
    for data in INPUTS:
        tree.append(leaf_hash(data))
    return tree


def test_roots_are_those_of_the_reference_tree() -> None:
    tree = Tree()
    assert tree.root() == ROOTS[0] == EMPTY_ROOT == root_of([])
    for size, data in enumerate(INPUTS, 1):
        tree.append(leaf_hash(data))
        assert tree.root() == ROOTS[size] == root_of(INPUTS[:size])
    assert [tree.root(size) for size in range(9)] == ROOTS


@pytest.mark.parametrize("index, size", INCLUSION)
def test_inclusion_proofs_are_those_of_the_reference_tree(index: int, size: int) -> None:
    proof = hashes_of(INCLUSION[index, size])
    assert reference_tree().inclusion_proof(index, size) == proof
    assert inclusion_of(INPUTS[:size], index) == proof
    verify_inclusion(leaf_hash(INPUTS[index]), index, size, proof, ROOTS[size])


@pytest.mark.parametrize("old, new", CONSISTENCY)
def test_consistency_proofs_are_those_of_the_reference_tree(old: int, new: int) -> None:
    proof = hashes_of(CONSISTENCY[old, new])
    assert reference_tree().consistency_proof(old, new) == proof
    verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


def test_roots_of_every_size_follow_the_definition(medium: Tree) -> None:
    tree = Tree()
    for size in range(MOST + 1):
        assert tree.root() == medium.root(size) == slow_root(0, size)
        if size < MOST:
            tree.append(leaf(size))


@given(st.integers(1, MOST), st.data())
def test_inclusion_proofs_follow_the_definition(medium: Tree, size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = medium.inclusion_proof(index, size)
    assert proof == slow_inclusion(index, 0, size)
    verify_inclusion(leaf(index), index, size, proof, slow_root(0, size))


@given(st.integers(1, MOST), st.data())
def test_consistency_proofs_follow_the_definition(medium: Tree, new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = medium.consistency_proof(old, new)
    assert proof == slow_consistency(old, 0, new, True)
    verify_consistency(old, new, slow_root(0, old), slow_root(0, new), proof)


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 1024, 1280])
def test_proofs_at_the_borders_of_tiles_follow_the_definition(medium: Tree, size: int) -> None:
    for index in (0, 1, 254, min(size - 1, 255), size - 2, size - 1):
        assert medium.inclusion_proof(index, size) == slow_inclusion(index, 0, size)
    for old in (1, 128, 254, 255, size - 1):
        assert medium.consistency_proof(old, size) == slow_consistency(old, 0, size, True)


def test_a_large_tree_with_three_levels_follows_the_definition(large: tuple[Tree, dict[TileId, bytes]]) -> None:
    tree, store = large
    for size in (65_535, 65_536, 65_537, LARGE):
        assert tree.root(size) == slow_root(0, size)
        for index in (size - 1, size - 300, 60_000):
            assert tree.inclusion_proof(index, size) == slow_inclusion(index, 0, size)
        assert tree.consistency_proof(size - 257, size) == slow_consistency(size - 257, 0, size, True)
    assert sorted(store) == [*((0, number) for number in range(257)), (1, 0)]
    assert {len(data) for data in store.values()} == {TILE_SIZE}


def test_an_old_proof_names_the_tiles_it_needs_and_then_succeeds(large: tuple[Tree, dict[TileId, bytes]]) -> None:
    store = large[1]
    tree = restored(LARGE, store)
    with pytest.raises(MissingTile) as missing:
        tree.inclusion_proof(70, 40_000)
    assert missing.value.args[0] in tree.inclusion_tiles(70, 40_000)
    for level, number in tree.inclusion_tiles(70, 40_000):
        tree.put_tile(level, number, store[level, number])
    assert tree.inclusion_tiles(70, 40_000) == []
    assert tree.inclusion_proof(70, 40_000) == slow_inclusion(70, 0, 40_000)


def test_an_old_consistency_proof_and_both_roots_need_only_the_named_tiles(
    large: tuple[Tree, dict[TileId, bytes]],
) -> None:
    store = large[1]
    tree = restored(LARGE, store)
    for level, number in tree.consistency_tiles(777, 50_001):
        tree.put_tile(level, number, store[level, number])
    assert tree.root(777) == slow_root(0, 777)
    assert tree.root(50_001) == slow_root(0, 50_001)
    assert tree.consistency_proof(777, 50_001) == slow_consistency(777, 0, 50_001, True)


@given(st.integers(1, LARGE), st.integers(0, LARGE - 1))
def test_the_named_tiles_always_suffice(large: tuple[Tree, dict[TileId, bytes]], size: int, index: int) -> None:
    index %= size
    tree, store = large
    for level, number in tree.inclusion_tiles(index, size):
        tree.put_tile(level, number, store[level, number])
    verify_inclusion(leaf(index), index, size, tree.inclusion_proof(index, size), slow_root(0, size))


def test_recent_leaves_and_sizes_never_need_a_tile(large: tuple[Tree, dict[TileId, bytes]]) -> None:
    tree, store = large
    for candidate in (tree, restored(LARGE, store)):
        for size in range(LARGE - RECENT_TILES * 256, LARGE, 97):
            assert candidate.inclusion_tiles(size - 1, LARGE) == []
            assert candidate.inclusion_tiles(size, size + 1) == []
            assert candidate.consistency_tiles(size, LARGE) == []


@given(size=st.integers(0, MOST), more=st.integers(0, 600))
def test_a_restored_tree_equals_the_grown_one(size: int, more: int) -> None:
    tree, store = grown(size)
    copy = restored(size, store)
    assert copy.size == size and copy.root() == tree.root()
    for index in range(size, size + more):
        tree.append(leaf(index))
        copy.append(leaf(index))
    assert copy.completed_tiles() == tree.completed_tiles()
    assert copy.root() == tree.root() == slow_root(0, size + more)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 65_536 + 256, LARGE])
def test_a_large_tree_is_restored_at_every_kind_of_border(large: tuple[Tree, dict[TileId, bytes]], size: int) -> None:
    copy = restored(size, large[1])
    assert copy.root() == slow_root(0, size)
    for index in range(size, LARGE):
        copy.append(leaf(index))
    assert copy.root() == slow_root(0, LARGE)


def test_completed_tiles_are_handed_out_once() -> None:
    tree = Tree()
    for index in range(512):
        tree.append(leaf(index))
    tiles = tree.completed_tiles()
    assert [tile[:2] for tile in tiles] == [(0, 0), (0, 1)]
    assert tiles[1][2] == b"".join(leaf(index) for index in range(256, 512))
    assert tree.completed_tiles() == []


def test_memory_holds_a_bounded_number_of_tiles() -> None:
    tree, store = Tree(), {}
    for index in range(256 * (CACHED_TILES + RECENT_TILES + 2)):
        tree.append(leaf(index % 1000))
        store.update({(level, number): data for level, number, data in tree.completed_tiles()})
    assert tree.inclusion_tiles(0, tree.size) == [(0, 0)]
    assert tree.inclusion_tiles(3 * 256, tree.size) == []
    tree.put_tile(0, 0, store[0, 0])
    tree.put_tile(0, 1, store[0, 1])
    assert tree.inclusion_tiles(0, tree.size) == []
    assert tree.inclusion_tiles(3 * 256, tree.size) == [(0, 3)]


def test_a_tile_with_a_flipped_bit_is_refused_when_it_is_put(large: tuple[Tree, dict[TileId, bytes]]) -> None:
    store = large[1]
    tree = restored(LARGE, store)
    damaged = bytearray(store[0, 5])
    damaged[77] ^= 1
    tree.put_tile(1, 0, store[1, 0])
    with pytest.raises(TileError, match="0/5"):
        tree.put_tile(0, 5, bytes(damaged))
    with pytest.raises(TileError, match="8191"):
        tree.put_tile(0, 5, store[0, 5][1:])
    with pytest.raises(TileError, match="0/5"):
        tree.put_tile(0, 5, store[0, 6])


def test_a_tile_is_not_believed_without_the_tile_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle, "RECENT_TILES", 0)
    monkeypatch.setattr(merkle, "CACHED_TILES", 2)
    tree, store = grown(256 * 258)
    assert tree.inclusion_tiles(70, 200) == [(1, 0), (0, 0)]
    with pytest.raises(MissingTile) as missing:
        tree.put_tile(0, 0, store[0, 0])
    assert missing.value.args[0] == (1, 0)
    for level, number in tree.inclusion_tiles(70, 200):
        tree.put_tile(level, number, store[level, number])
    assert tree.inclusion_proof(70, 200) == slow_inclusion(70, 0, 200)


def test_a_bit_flipped_in_storage_changes_or_stops_the_restored_tree() -> None:
    size = 256 * 34 + 3
    tree, store = grown(size)
    for tile in store:
        damaged = bytearray(store[tile])
        damaged[4000] ^= 0x10
        assert restored(size, {**store, tile: bytes(damaged)}).root() != tree.root()


def test_a_flipped_bit_below_a_complete_tile_stops_loading(large: tuple[Tree, dict[TileId, bytes]]) -> None:
    store = large[1]
    damaged = bytearray(store[0, 250])
    damaged[0] ^= 1
    with pytest.raises(TileError, match="0/250"):
        restored(LARGE, {**store, (0, 250): bytes(damaged)})


def test_loading_refuses_missing_tiles_and_wrong_tails() -> None:
    store = grown(600)[1]
    tail = [leaf(index) for index in range(512, 600)]
    with pytest.raises(TileError, match="0/1 is missing"):
        Tree.load(600, tail, {(0, 0): store[0, 0]})
    with pytest.raises(TileError, match="87 leaf hashes"):
        Tree.load(600, tail[1:], store)
    with pytest.raises(TileError, match="31 bytes"):
        Tree.load(600, [*tail[1:], tail[0][1:]], store)


def test_appending_something_that_is_no_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="31 bytes"):
        Tree().append(bytes(31))


@pytest.mark.parametrize("index, size", [(-1, 5), (5, 5), (0, 0), (3, MOST + 1), (0, -1)])
def test_a_proof_about_no_leaf_of_the_tree_is_refused(medium: Tree, index: int, size: int) -> None:
    for ask in (medium.inclusion_proof, medium.inclusion_tiles):
        with pytest.raises(ProofError):
            ask(index, size)


@pytest.mark.parametrize("old, new", [(-1, 5), (6, 5), (3, MOST + 1)])
def test_consistency_backwards_or_beyond_the_tree_is_refused(medium: Tree, old: int, new: int) -> None:
    for ask in (medium.consistency_proof, medium.consistency_tiles):
        with pytest.raises(ProofError):
            ask(old, new)


@pytest.mark.parametrize("size", [-1, MOST + 1])
def test_the_root_of_no_size_of_the_tree_is_refused(medium: Tree, size: int) -> None:
    with pytest.raises(ProofError):
        medium.root(size)
