"""Levels structure, chain and signatures of the log itself: entries, tree, checkpoints, members."""

from __future__ import annotations

import re

from ..ledger.checkpoint import Checkpoint, CheckpointError, read_note
from ..ledger.entry import Entry, EntryError, check_link, parse
from ..ledger.frame import FrameError, parse_frame, read_u64
from ..ledger.membership import ANNOUNCED, CONF_KINDS, MembershipError, membership_of
from ..ledger.recovery import KIND as RECOVERED
from ..ledger.succession import Recovered, Succession, SuccessionError
from .checks_recovery import check_recovery
from .export import EndRecord
from .report import Level
from .scene import Scene
from .succession import Follower
from .verify import check_note, weakness

FOLLOWED = CONF_KINDS | {ANNOUNCED}


class ChainCheck:
    """Takes the records of an export in order. `entry` gives back the entry, if its payload can be believed. `covered`
    is the size of the newest checkpoint that belongs where it stands.
    """

    def __init__(self, scene: Scene, genesis_hash: bytes | None) -> None:
        self._scene, self._pinned = scene, genesis_hash
        self._before: Entry | None = None
        self._members: Follower | None = None
        self.covered = 0
        self._largest = 0
        self.checkpoints = 0

    def entry(self, header: bytes, public: bytes) -> Entry | None:
        scene = self._scene
        place = scene.tree.size + 1
        scene.tree.append(header)
        entry, problem = _read(header, public)
        if problem:
            scene.find(Level.STRUCTURE, "MalformedEntry", place, problem)
        if place == 1:
            self._check_first(entry)
        if entry is not None:
            self._check_link(entry, place)
        before, self._before = self._before, entry
        if entry is None or problem:
            return None
        self._follow_members(entry, before, place)
        return entry

    def _check_link(self, entry: Entry, place: int) -> None:
        if self._before is None and place != 1:
            return  # What stands before it was reported already.
        try:
            check_link(self._before, entry)
        except EntryError as error:
            self._scene.find(Level.CHAIN, "ChainBroken", place, str(error))

    def _check_first(self, entry: Entry | None) -> None:
        if entry is None or entry.kind != "Genesis" or entry.term != 0:
            self._scene.find(Level.CHAIN, "GenesisMissing", 1, "the log does not start with its genesis")
            return
        self._scene.genesis = entry.hash
        if self._pinned is not None and entry.hash != self._pinned:
            detail = f"the genesis is {entry.hash.hex()}, not the pinned {self._pinned.hex()}"
            self._scene.find(Level.CHAIN, "GenesisDiffers", 1, detail)

    def _follow_members(self, entry: Entry, before: Entry | None, place: int) -> None:
        if entry.kind not in FOLLOWED:
            return
        scene = self._scene
        try:
            if entry.kind == "Genesis":
                self._found(entry, place)
            elif self._members is not None:
                if entry.kind == RECOVERED:
                    check_recovery(scene, entry, before, self.covered)
                self._members.entry(entry)
        except Recovered:
            pass  # Nobody signed for it, and nobody overlooks it: the report begins with it.
        except MembershipError as error:
            scene.find(Level.STRUCTURE, "MalformedEvent", place, str(error))
        except SuccessionError as error:
            scene.find(Level.SIGNATURES, "NotHandedOver", place, str(error))
        if self._members is not None and self._members.succession.members is not scene.membership:
            scene.membership = self._members.succession.members
            for node in scene.membership.nodes:
                check_key(scene, place, node.rsa, f"node {node.id}")

    def _found(self, entry: Entry, place: int) -> None:
        if place != 1:
            self._scene.find(Level.CHAIN, "GenesisRepeated", place, "a log has one genesis, its first entry")
            return
        self._members = Follower(Succession.founded(membership_of(entry.fields)), self._scene.tree)

    def checkpoint(self, note: bytes) -> None:
        scene, place = self._scene, self._scene.tree.size
        self.checkpoints += 1
        try:
            checkpoint = read_note(note)
        except CheckpointError as error:
            scene.find(Level.STRUCTURE, "MalformedCheckpoint", place, str(error))
            return
        if self._check_place(checkpoint, place):
            self.covered = place
        self._largest = max(self._largest, checkpoint.size)
        if scene.membership is not None:
            scene.check(place, check_note, note, scene.membership.origin, scene.membership.members)

    def _check_place(self, checkpoint: Checkpoint, place: int) -> bool:
        find = self._scene.find
        if checkpoint.size <= self._largest:
            detail = f"a checkpoint of {checkpoint.size} entries after one of {self._largest}"
            find(Level.CHAIN, "CheckpointRolledBack", place, detail)
        elif checkpoint.size != place:
            find(Level.CHAIN, "CheckpointMisplaced", place, f"a checkpoint of {checkpoint.size} entries after {place}")
        elif checkpoint.root != self._scene.tree.root():
            find(Level.CHAIN, "RootDiffers", place, "the entries do not lead to the root that was signed")
        else:
            return True
        return False

    def end(self, record: EndRecord | None) -> None:
        """At the end of the export; without a record when it breaks off."""
        find, count = self._scene.find, self._scene.tree.size
        if count == 0:
            find(Level.CHAIN, "GenesisMissing", 0, "the export has no entries")
        if record is None:
            find(Level.STRUCTURE, "ExportBreaksOff", count, "the closing record is missing")
        elif record.count != count:
            find(Level.STRUCTURE, "EndDiffers", count, f"{record.count} entries are announced, {count} are there")
        if self.covered < count:
            detail = f"the last good checkpoint covers {self.covered} of {count} entries"
            find(Level.CHAIN, "EndNotCovered", count, detail)


def check_key(scene: Scene, index: int, modulus: bytes, owner: str) -> None:
    """A key of the cluster: a node's, a trustee's or a registrar's. It is strong, and nobody else's."""
    scene.own(index, modulus, owner)
    if flaw := weakness(modulus):
        scene.find(Level.SIGNATURES, "WeakKey", index, f"the key of {owner}: {flaw}")


def read_header(header: bytes) -> Entry | None:
    """The entry as far as its header tells, without any payload; None when it is no header."""
    try:
        index, term, time_us, kind, _hash, digest, prev_hash = parse_frame("entry", header, 7)
        numbers = (read_u64(index), read_u64(term), read_u64(time_us))
        return Entry(*numbers, kind.decode(), prev_hash, digest, header, b"", None, b"")
    except (FrameError, UnicodeDecodeError):
        return None


def _read(header: bytes, public: bytes) -> tuple[Entry | None, str]:
    """The entry, and what is wrong with it. A bad payload leaves the header, so that the chain can be followed."""
    try:
        return parse(header, public), ""
    except EntryError as error:
        return read_header(header), re.sub(r"^entry \d+: ", "", str(error))  # A finding names its entry by itself.
