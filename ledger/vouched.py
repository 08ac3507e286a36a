"""Tree heads that were signed, by this node or by a majority: its tree must come to each of them (rule R6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from .merkle import TileId, Tree
from .raft.messages import Halt


class Vouched:
    """Heads wait here until this node has applied as much. Of each signer the largest covers the others."""

    def __init__(self) -> None:
        self.heads: dict[str, tuple[int, bytes]] = {}

    def add(self, signer: str, size: int, root: bytes) -> None:
        """`signer` is "this node" or "a majority"; a size of 0 says that there is nothing."""
        if size > self.heads.get(signer, (0, b""))[0]:
            self.heads[signer] = size, root

    def compare(self, applied: int, tree: Tree) -> None:
        """Holds the tree against each head up to `applied`, once. Raises Halt, MissingTile (see `fetch_tiles`)."""
        for signer, (size, root) in list(self.heads.items()):
            if size <= applied:
                del self.heads[signer]
                if tree.root(size) != root:
                    raise Halt(f"the tree of size {size} has another root than the one that {signer} signed")

    async def fetch_tiles(self, applied: int, tree: Tree, fetch: Callable[[Sequence[TileId]], Awaitable[None]]) -> None:
        """Gets into the tree what heads of long ago need."""
        for size, _ in self.heads.values():
            if size <= applied:
                await fetch(tree.consistency_tiles(size, tree.size))
