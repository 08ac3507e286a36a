"""The log's Merkle tree as an auditor grows it: any past root, in memory that does not grow with the log."""

from __future__ import annotations

from ..ledger.merkle import TILE_WIDTH, TileId, Tree, leaf_hash
from .scratch import Scratch, Spool


class LogTree:
    """A `Tree` whose complete tiles go to a temporary file instead of being forgotten."""

    def __init__(self, scratch: Scratch) -> None:
        self._tree = Tree()
        self._tiles = Spool(scratch)
        self._places: dict[TileId, int] = {}

    @property
    def size(self) -> int:
        return self._tree.size

    def append(self, header: bytes) -> None:
        """Add an entry by its header, the leaf."""
        self._tree.append(leaf_hash(header))
        if self._tree.size % TILE_WIDTH:
            return
        for level, number, hashes in self._tree.completed_tiles():
            self._places[level, number] = self._tiles.append(hashes)

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` entries, by default of all. Raises ProofError when there are fewer."""
        if size is not None:
            for level, number in self._tree.consistency_tiles(size, self._tree.size):
                self._tree.put_tile(level, number, self._tiles.read(self._places[level, number]))
        return self._tree.root(size)
