"""Who signs for the log at which size: one list of members after another, each put in force by the one before it.

A change of members is announced before it is made: `MembersAnnounced` carries the whole list to come. Only when a
majority of the members in force has signed a checkpoint that covers the announcement does the change itself follow,
with the same list and three fields more:

- `before`: the membership entry whose list it replaces (in the announcement, too);
- `announced`: the entry of the announcement, which stands after `before`;
- `note`: that checkpoint.

So whoever believes one list can tell whether the next is its true successor, however long ago that was and whoever
shows it: the old members' signatures are in the entry. A checkpoint is signed by the members of the newest membership
entry at or below its size. Only `ClusterRecovered` comes without those signatures; nobody follows it unasked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .checkpoint import Checkpoint, CheckpointError, Member, read_note, verify_note
from .entry import Entry, EntryError
from .membership import ANNOUNCED, CONF_KINDS, Membership, MembershipError, membership_of
from .recovery import KIND as RECOVERED

CHANGES = CONF_KINDS - {"Genesis"}
"""The kinds of entries that replace the list of members."""


class SuccessionError(ValueError):
    """A list of members that those before it did not put in force; the message says what is missing."""


class Recovered(SuccessionError):
    """The members were replaced without their signatures; `entry` says by whom. Only the operator can vouch for it."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(
            f"the cluster was recovered at entry {entry.index}: members were replaced without a majority of them."
            f" Accept that entry by its hash, {entry.hash.hex()}, only if the operator published this hash"
        )
        self.entry = entry


@dataclass(frozen=True)
class Handover:
    """What a membership entry says of how it came about. The checkpoint is signed by a majority of the list before.

    Whoever has the log still has to see that the checkpoint is of it, and that `announcement` passes `check`.
    """

    before: int
    announced: int
    membership: Membership
    checkpoint: Checkpoint

    def check(self, announcement: Entry | None) -> None:
        """`announcement` is what stands at `announced`. Raises SuccessionError unless it tells of this list."""
        if announcement is None or announcement.index != self.announced or announcement.kind != ANNOUNCED:
            raise SuccessionError(f"entry {self.announced} announces no members")
        if (_list_of(announcement), _number(announcement.fields, "before")) != (self.membership, self.before):
            raise SuccessionError(f"entry {self.announced} announces other members than were put in force")


@dataclass(frozen=True)
class Succession:
    """The lists believed so far, each with the index of its entry, oldest first; the genesis' is the first one."""

    lists: tuple[tuple[int, Membership], ...]

    @classmethod
    def founded(cls, genesis: Membership) -> Succession:
        return cls(((1, genesis),))

    @property
    def newest(self) -> int:
        """The index of the newest membership entry believed."""
        return self.lists[-1][0]

    @property
    def members(self) -> Membership:
        """The newest list."""
        return self.lists[-1][1]

    @property
    def origin(self) -> str:
        return self.members.origin

    def at(self, size: int) -> Membership:
        """The list whose members sign the first `size` entries."""
        return next((one for index, one in reversed(self.lists) if index <= size), self.lists[0][1])

    def signers(self, note: bytes) -> tuple[Member, ...]:
        """Those of whom a majority must have signed `note`, by the size it claims. Raises CheckpointError."""
        return self.at(read_note(note).size).members

    def verify(self, note: bytes) -> Checkpoint:
        """The checkpoint of a note that a majority of the members at its size signed. Raises CheckpointError."""
        return verify_note(note, self.origin, self.signers(note))

    def after(self, entry: Entry, accepted: Collection[bytes] = ()) -> tuple[Succession, Handover | None]:
        """These lists and the one that `entry` puts in force, once the members before it are seen to have signed.

        The entry's place in the log and its handover are still to be shown; None stands for a recovery whose hash is
        among the `accepted`. Raises SuccessionError, Recovered.
        """
        following = self.with_list(entry)
        if entry.kind == RECOVERED:
            if entry.hash not in accepted:
                raise Recovered(entry)
            return following, None
        return following, self._handover(entry, following.members)

    def with_list(self, entry: Entry) -> Succession:
        """These lists and the entry's, whoever signed for it. Raises SuccessionError when it cannot follow them."""
        if entry.kind not in CHANGES or entry.index <= self.newest:
            raise SuccessionError(f"entry {entry.index} of kind {entry.kind} does not change the members")
        membership = _list_of(entry)
        if membership.origin != self.origin:
            raise SuccessionError(f"entry {entry.index} changes the name of the log")
        return Succession((*self.lists, (entry.index, membership)))

    def _handover(self, entry: Entry, membership: Membership) -> Handover:
        before, announced = _number(entry.fields, "before"), _number(entry.fields, "announced")
        if before != self.newest:
            raise SuccessionError(f"entry {entry.index} replaces the members of entry {before}, not of {self.newest}")
        try:
            checkpoint = self.verify(_note(entry))
        except CheckpointError as error:
            raise SuccessionError(f"the members before entry {entry.index} did not sign for it: {error}") from error
        if not before < announced <= checkpoint.size < entry.index:
            raise SuccessionError(f"the signatures in entry {entry.index} do not cover its announcement")
        return Handover(before, announced, membership, checkpoint)


def handover_fields(before: int, announced: int, note: bytes) -> dict[str, Any]:
    """What a membership entry carries beside its list."""
    return {"before": before, "announced": announced, "note": note}


def places(entry: Entry) -> tuple[int, int]:
    """Where a membership entry says that it was announced, and the size that was signed for it: nothing is proven yet.

    Raises SuccessionError, also for a recovery, which has neither.
    """
    try:
        return _number(entry.fields, "announced"), read_note(_note(entry)).size
    except (CheckpointError, EntryError) as error:
        raise SuccessionError(f"entry {entry.index}: {error}") from error


def _list_of(entry: Entry) -> Membership:
    try:
        return membership_of(entry.fields)
    except (EntryError, MembershipError) as error:
        raise SuccessionError(f"entry {entry.index}: {error}") from error


def _number(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int:
        raise SuccessionError(f"the field {name} is missing: nobody signed for this change of members")
    return value


def _note(entry: Entry) -> bytes:
    value = entry.fields.get("note")
    if not isinstance(value, bytes):
        raise SuccessionError(f"entry {entry.index} carries no signatures of the members before it")
    return value
