"""The public state in memory: from headers and public payloads alone, in one digest."""

import hashlib
from collections.abc import Iterable

import msgpack

from ballot.ledger.entry import Entry, parse
from ballot.ledger.frame import frame
from ballot.projections.digest import PUBLIC_TABLES, RowValues, digest_rows, row_order
from ballot.replay.rebuild import rebuild_in_memory
from ballot.replay.state import PublicState
from ballot.voting.tables import TABLES
from tests.support.log_builder import ELECTION, VOTERS, ElectionLog, seal_drafts


def state_of(entries: Iterable[Entry]) -> PublicState:
    state = PublicState()
    for entry in entries:
        state.apply(entry)
    return state


def test_private_parts_make_no_difference(log: ElectionLog) -> None:
    assert any(entry.private is not None for entry in log.entries)
    public = state_of(parse(entry.header, entry.public) for entry in log.entries)
    assert public.digest() == state_of(log.entries).digest()


def test_a_rebuild_in_memory_gives_index_and_digest(log: ElectionLog) -> None:
    assert rebuild_in_memory(log.records()) == (len(log.entries), state_of(log.entries).digest())


def test_the_state_is_what_the_decisions_saw(log: ElectionLog) -> None:
    state = state_of(log.entries)
    for table in PUBLIC_TABLES:
        for key, row in log.tables[table.name].items():
            assert state.get(table.name, *key) == row
    election = state.get("elections", ELECTION)
    assert election is not None
    assert (election["status"], election["issued"], election["cast_count"]) == ("tallied", 4, 3)


def test_every_entry_that_changes_a_public_row_changes_the_digest(log: ElectionLog) -> None:
    state = PublicState()
    seen = set()
    for entry in log.entries:
        state.apply(entry)
        seen.add(state.digest())
    silent = [entry.kind for entry in log.entries if entry.kind in ("Genesis", "TermOpened", "PasswordChanged")]
    # What leaves the state as it is leaves the digest as it is, the first of them that of the empty state.
    assert len(seen) == len(log.entries) - len(silent) + 1


def test_another_log_has_another_digest(log: ElectionLog) -> None:
    changed = list(log.drafts)
    place = log.find("RoleGranted")
    changed[place] = changed[place].but(role="admin")
    assert rebuild_in_memory(seal_drafts(changed))[1] != rebuild_in_memory(log.records())[1]


def test_the_digest_is_the_framed_hash_of_all_rows() -> None:
    rows: list[RowValues] = [[b"\0", None, None, 3], [b"\1", b"n", b"i", 4]]
    expected = hashlib.sha256()
    for row in ({"user_id": b"\0", "at": 3}, {"user_id": b"\1", "identity_n": b"n", "identity": b"i", "at": 4}):
        expected.update(frame("state-row", b"users", msgpack.packb(row, use_bin_type=True)))
    assert digest_rows([("roles", []), ("users", rows)]) == expected.hexdigest()


def test_tables_come_in_name_order_and_rows_in_key_order() -> None:
    assert [table.name for table in PUBLIC_TABLES] == sorted(name for name in TABLES if TABLES[name].public)
    keys = [(b"b", "A"), (b"a", "é"), (b"a", "z"), (b"\xff", ""), (b"a", "Z")]
    assert sorted(keys, key=row_order) == [(b"a", "Z"), (b"a", "z"), (b"a", "é"), (b"b", "A"), (b"\xff", "")]
    assert sorted([(b"", 10), (b"", 9)], key=row_order) == [(b"", 9), (b"", 10)]


def test_the_roll_is_in_the_state(log: ElectionLog) -> None:
    state = state_of(log.entries)
    assert all(state.get("roll", ELECTION, voter.id) for voter in VOTERS)
