"""The Merkle tree of the log: hashing and proofs of RFC 6962, kept as tiles of 256 hashes (C2SP tlog-tiles).

A tile at level L, number N, holds up to 256 hashes, each the root of a complete subtree of 256^L leaves;
tile (0, 0) holds the hashes of leaves 0 to 255. A complete tile never changes, so a caller stores it once and
the tree may forget it. Nodes inside a tile are not stored but recomputed: the tile's "rows".

A node is named by (height, index): the root of the complete subtree of leaves [index << height,
(index + 1) << height). Sizes and leaf indexes count from 0. Nothing here does I/O.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .proof import (
    EMPTY_ROOT,
    HASH_SIZE,
    ProofError,
    check_index,
    check_order,
    inclusion_of,
    last_peak,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "TILE_SIZE",
    "MissingTile",
    "ProofError",
    "TileError",
    "TileId",
    "Tree",
    "edge_tiles",
    "inclusion_of",
    "leaf_hash",
    "node_hash",
    "root_of",
    "verify_consistency",
    "verify_inclusion",
]

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_SIZE = TILE_WIDTH * HASH_SIZE

# Complete tiles of each level that always stay in memory: proofs for the last 8,192 leaves wait for nothing.
RECENT_TILES = 32
CACHED_TILES = 256
CACHED_EDGES = 64

TileId = tuple[int, int]  # level, number
Node = tuple[int, int]  # height, index


class TileError(ValueError):
    """A stored tile is not the one that belongs into the tree: the storage is damaged."""


class MissingTile(LookupError):
    """The proof needs a tile that is not in memory; `args[0]` is its (level, number)."""


def edge_tiles(size: int) -> list[TileId]:
    """The complete tiles from which `Tree.load` restores a tree of `size` leaves.

    At most 255 + RECENT_TILES of each level: those whose roots fill the partial tile above, and the recent ones.
    """
    return [(level, number) for level, full in enumerate(_full_tiles(size)) for number in _edge_numbers(full)]


class Tree:
    """An append-only tree in bounded memory, whatever its size.

    In memory are: the partial tile of every level, the latest RECENT_TILES complete ones of every level (so
    roots and proofs about recent leaves and sizes never wait), and CACHED_TILES others. What a proof needs
    beside them is named by `inclusion_tiles` and `consistency_tiles` and handed in with `put_tile`.
    """

    def __init__(self) -> None:
        self._size = 0
        self._partial = [_Tile()]
        self._recent: dict[TileId, _Tile] = {}
        self._cache: OrderedDict[TileId, _Tile] = OrderedDict()
        self._edges: OrderedDict[int, list[bytes]] = OrderedDict()
        self._completed: list[tuple[int, int, bytes]] = []

    @classmethod
    def load(cls, size: int, tail: Sequence[bytes], tiles: Mapping[TileId, bytes]) -> "Tree":
        """The tree of `size` leaves, from the last `size % 256` leaf hashes and the tiles `edge_tiles(size)`.

        Raises TileError when one is missing, has the wrong length or contradicts another. That is no proof
        against damage: the caller compares `root()` with the root it last signed.
        """
        if len(tail) != size % TILE_WIDTH:
            raise TileError(f"{len(tail)} leaf hashes after the last complete tile, not {size % TILE_WIDTH}")
        tree = cls()
        tree._size = size
        tree._partial = [_Tile.of(tail)]
        for level, full in enumerate(_full_tiles(size)):
            tree._load_level(level, full, tiles)
        for (level, number), tile in (*tree._recent.items(), *tree._cache.items()):
            tree._check_tile(level, number, tile)
        return tree

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash (32 bytes)."""
        if len(leaf) != HASH_SIZE:
            raise ValueError(f"a leaf hash of {len(leaf)} bytes")
        self._size += 1
        level, carry = 0, self._partial[0].add(leaf)
        while carry is not None:
            self._complete(level)
            level += 1
            if level == len(self._partial):
                self._partial.append(_Tile())
            carry = self._partial[level].add(carry)

    def completed_tiles(self) -> list[tuple[int, int, bytes]]:
        """(level, number, 8,192 bytes) of the tiles completed since the last call, in the order of completion."""
        completed, self._completed = self._completed, []
        return completed

    def root(self, size: int | None = None) -> bytes:
        """The root hash of the first `size` leaves, by default of all.

        Every size of the last 8,192 is ready in memory. Raises ProofError when the tree is smaller, and
        MissingTile for a long past size (see `consistency_tiles(size, tree.size)`).
        """
        if size is None:
            size = self._size
        self._check_size(size)
        return self._edge(size)[-1] if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The proof that leaf `index` is in the tree of the first `size` leaves (RFC 6962 section 2.1.1).

        Raises ProofError unless 0 <= index < size <= tree.size, MissingTile when a tile is not in memory.
        """
        self._check_size(size)
        check_index(index, size)
        return self._path(0, index, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `new` leaves continues that of `old` (RFC 6962 section 2.1.2).

        Empty when `old` is 0 or equals `new`. Raises ProofError unless 0 <= old <= new <= tree.size, MissingTile
        when a tile is not in memory.
        """
        self._check_size(new)
        check_order(old, new)
        if old in (0, new):
            return []
        height, index = last_peak(old)
        # The verifier of a tree of 2^k leaves has this node already: it is the old root.
        start = [self._node(height, index)] if index else []
        return start + self._path(height, index, new)

    def inclusion_tiles(self, index: int, size: int) -> list[TileId]:
        """The complete tiles that `inclusion_proof(index, size)` needs and memory lacks, in the order to put them.

        Raises ProofError like `inclusion_proof`.
        """
        self._check_size(size)
        check_index(index, size)
        return self._missing(_path_nodes(0, index, size))

    def consistency_tiles(self, old: int, new: int) -> list[TileId]:
        """The complete tiles that `consistency_proof(old, new)` and the roots of both sizes need and memory lacks,
        in the order to put them.

        Raises ProofError like `consistency_proof`.
        """
        self._check_size(new)
        check_order(old, new)
        nodes = [*_peaks(old), *_peaks(new)]
        if old not in (0, new):
            nodes += _path_nodes(*last_peak(old), new)
        return self._missing(nodes)

    def put_tile(self, level: int, number: int, data: bytes) -> None:
        """Hand in a stored complete tile, which memory may forget again.

        It is believed only if its root is the hash that the tile above holds, so a bit that flipped in storage
        never gets into a proof. Raises TileError when it is not, MissingTile when the tile above is not in
        memory: put tiles in the order they were asked for.
        """
        if not self._has(level, number):
            tile = _Tile.parse(data)
            self._check_tile(level, number, tile)
            self._remember((level, number), tile)

    def _load_level(self, level: int, full: int, tiles: Mapping[TileId, bytes]) -> None:
        above = _Tile()
        for number in _edge_numbers(full):
            data = tiles.get((level, number))
            if data is None:
                raise TileError(f"tile {level}/{number} is missing")
            tile = _Tile.parse(data)
            if number >= full & -TILE_WIDTH:
                above.add(tile.root)
            if number >= full - RECENT_TILES:
                self._recent[level, number] = tile
            else:
                self._remember((level, number), tile)
        self._partial.append(above)

    def _complete(self, level: int) -> None:
        number = (self._size >> TILE_HEIGHT * (level + 1)) - 1
        tile = self._partial[level]
        self._partial[level] = _Tile()
        self._completed.append((level, number, b"".join(tile.rows[0])))
        self._recent[level, number] = tile
        oldest = self._recent.pop((level, number - RECENT_TILES), None)
        if oldest is not None:
            self._remember((level, number - RECENT_TILES), oldest)

    def _remember(self, tile_id: TileId, tile: "_Tile") -> None:
        self._cache[tile_id] = tile
        if len(self._cache) > CACHED_TILES:
            self._cache.popitem(last=False)

    def _has(self, level: int, number: int) -> bool:
        return (
            number == self._size >> TILE_HEIGHT * (level + 1)
            or (level, number) in self._recent
            or (level, number) in self._cache
        )

    def _tile(self, level: int, number: int) -> "_Tile":
        if number == self._size >> TILE_HEIGHT * (level + 1):
            return self._partial[level]
        tile_id = level, number
        tile = self._recent.get(tile_id)
        if tile is None:
            tile = self._cache.get(tile_id)
            if tile is None:
                raise MissingTile(tile_id)
            self._cache.move_to_end(tile_id)
        return tile

    def _node(self, height: int, index: int) -> bytes:
        level, row = divmod(height, TILE_HEIGHT)
        width = TILE_HEIGHT - row
        return self._tile(level, index >> width).rows[row][index & ((1 << width) - 1)]

    def _check_tile(self, level: int, number: int, tile: "_Tile") -> None:
        if tile.root != self._node(TILE_HEIGHT * (level + 1), number):
            raise TileError(f"tile {level}/{number} does not match the hash above it")

    def _edge(self, size: int) -> list[bytes]:
        """The rightmost node of each height in the tree of `size` > 0 leaves, from the lowest peak to the root.

        Above the lowest peak these subtrees are not complete, so no tile holds them; all proofs for one size
        share them.
        """
        edge = self._edges.get(size)
        if edge is None:
            height, index = last_peak(size)
            edge = [self._node(height, index)]
            while index:
                left = self._node(height, index - 1) if index % 2 else None
                edge.append(edge[-1] if left is None else node_hash(left, edge[-1]))
                height, index = height + 1, index >> 1
            self._edges[size] = edge
            if len(self._edges) > CACHED_EDGES:
                self._edges.popitem(last=False)
        return edge

    def _path(self, height: int, index: int, size: int) -> list[bytes]:
        """The siblings of the node and of its ancestors, upwards, in the tree of `size` leaves."""
        edge, lowest = self._edge(size), last_peak(size)[0]
        return [
            edge[height - lowest] if ragged else self._node(height, index)
            for height, index, ragged in _siblings(height, index, size)
        ]

    def _missing(self, nodes: Iterable[Node]) -> list[TileId]:
        missing = set()
        for height, index in nodes:
            level, row = divmod(height, TILE_HEIGHT)
            number = index >> (TILE_HEIGHT - row)
            # With every tile goes the one above it, which vouches for it.
            while not self._has(level, number):
                missing.add((level, number))
                level, number = level + 1, number >> TILE_HEIGHT
        return sorted(missing, reverse=True)

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise ProofError(f"size {size} of a tree of {self._size} leaves")


class _Tile:
    """Hashes of one tile and the nodes inside it: `rows[r][i]` has 2^r hashes of `rows[0]` below it."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: tuple[list[bytes], ...] = tuple([] for _ in range(TILE_HEIGHT))

    @classmethod
    def of(cls, hashes: Iterable[bytes]) -> "_Tile":
        tile = cls()
        for value in hashes:
            if len(value) != HASH_SIZE:
                raise TileError(f"a hash of {len(value)} bytes")
            tile.add(value)
        return tile

    @classmethod
    def parse(cls, data: bytes) -> "_Tile":
        if len(data) != TILE_SIZE:
            raise TileError(f"a complete tile of {len(data)} bytes")
        return cls.of(data[start : start + HASH_SIZE] for start in range(0, TILE_SIZE, HASH_SIZE))

    @property
    def root(self) -> bytes:
        return node_hash(*self.rows[-1])

    def add(self, value: bytes) -> bytes | None:
        """Add a hash; the root of the tile if it was the last one."""
        for row in self.rows:
            row.append(value)
            if len(row) % 2:
                return None
            value = node_hash(row[-2], value)
        return value


def _siblings(height: int, index: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """(height, index, ragged) of the sibling at each height from the node up to the root of `size` leaves.

    A ragged one is the right edge of the tree where that is not a complete subtree.
    """
    last = (size - 1) >> height
    while last:
        sibling = index ^ 1
        if sibling <= last:
            yield height, sibling, sibling == last and (last + 1) << height != size
        height, index, last = height + 1, index >> 1, last >> 1


def _path_nodes(height: int, index: int, size: int) -> list[Node]:
    """The nodes of complete subtrees that a path up to the root of `size` leaves is made of."""
    path = [(h, i) for h, i, ragged in _siblings(height, index, size) if not ragged]
    return path + _peaks(size)


def _peaks(size: int) -> list[Node]:
    """The complete subtrees that `size` leaves consist of, one for each bit set."""
    return [(height, (size >> height) - 1) for height in range(size.bit_length()) if size >> height & 1]


def _full_tiles(size: int) -> Iterator[int]:
    """How many complete tiles each level has, for the levels that have any."""
    while size := size >> TILE_HEIGHT:
        yield size


def _edge_numbers(full: int) -> range:
    """Of a level with `full` complete tiles, those that a restored tree starts with."""
    return range(max(0, min(full & -TILE_WIDTH, full - RECENT_TILES)), full)
