"""Entries for tests: sealed in a row, as a leader would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ballot.ledger.decision import Draft
from ballot.ledger.entry import ZERO_HASH, Entry, encode_map, seal
from ballot.ledger.membership import Membership, NodeRecord

ORIGIN = "ballot.example"
SALT = bytes(range(32))
START_US = 1_700_000_000_000_000


def node_record(number: int, *, voter: bool = True) -> NodeRecord:
    """A member with made-up keys of the right sizes."""
    return NodeRecord(number, f"{ORIGIN}/node{number}", bytes([number]) * 32, bytes([number]) * 384, voter)


def membership(nodes: int = 3) -> Membership:
    return Membership(ORIGIN, tuple(node_record(number) for number in range(1, nodes + 1)))


def genesis(members: Membership | None = None) -> Entry:
    return seal(
        prev_hash=ZERO_HASH,
        index=1,
        term=0,
        time_us=START_US,
        kind="Genesis",
        public=encode_map((members or membership()).to_fields()),
    )


def follow(before: Entry, draft: Draft, term: int = 1, time_us: int = 0) -> Entry:
    """The entry that comes after `before`, a microsecond later unless told."""
    return seal(
        prev_hash=before.hash,
        index=before.index + 1,
        term=term,
        time_us=time_us or before.time_us + 1,
        kind=draft.kind,
        public=draft.public,
        private=draft.private,
        salt=SALT if draft.private is not None else b"",
    )


def chain(drafts: Iterable[Draft], after: Entry | None = None, term: int = 1) -> list[Entry]:
    """The genesis, unless `after` is given, and an entry a draft."""
    entries = [genesis()] if after is None else [after]
    for draft in drafts:
        entries.append(follow(entries[-1], draft, term))
    return entries if after is None else entries[1:]


def notes(texts: Sequence[str]) -> list[Draft]:
    """Drafts of a kind that nobody folds."""
    return [Draft("Note", encode_map({"text": text})) for text in texts]
