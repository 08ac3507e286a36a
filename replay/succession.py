"""The members, as whoever reads the whole log follows them: every handover is seen in the log itself."""

from __future__ import annotations

from collections.abc import Collection

from ..ledger.checkpoint import Checkpoint
from ..ledger.entry import Entry
from ..ledger.membership import ANNOUNCED
from ..ledger.succession import CHANGES, Succession, SuccessionError
from .logtree import LogTree


class Follower:
    """Feed it every entry from the second on, once it is in `tree`. `accepted`: the hashes of recoveries to follow."""

    def __init__(self, founded: Succession, tree: LogTree, accepted: Collection[bytes] = ()) -> None:
        self.succession = founded
        self._tree, self._accepted = tree, accepted
        self._announced: dict[int, Entry] = {}

    def entry(self, entry: Entry) -> None:
        """Raises SuccessionError when a list of members was not put in force by those before it.

        It is followed all the same, as far as it can be read: what comes after is judged by it.
        """
        if entry.kind == ANNOUNCED:
            self._announced[entry.index] = entry
        elif entry.kind in CHANGES:
            announced, self._announced = self._announced, {}
            before, self.succession = self.succession, self.succession.with_list(entry)
            _, handover = before.after(entry, self._accepted)
            if handover is not None:
                handover.check(announced.get(handover.announced))
                self._check_root(entry, handover.checkpoint)

    def _check_root(self, entry: Entry, signed: Checkpoint) -> None:
        if signed.size > self._tree.size or self._tree.root(signed.size) != signed.root:
            raise SuccessionError(f"the members before entry {entry.index} signed another log")
