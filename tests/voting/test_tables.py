"""Tables of rows: merging twice is harmless, and however a log is cut into batches, the rows are the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.voting.fold import fold
from ballot.voting.tables import TABLES, Change, Clear, Put, Row, Table, merge
from tests.support.life import Ledger, Life, State

KEY = (b"e",)


def put(**values: object) -> Put:
    return Put("elections", KEY, values)


def count(**add: int) -> Put:
    return Put("elections", KEY, {}, add)


def test_a_first_change_makes_the_row_with_its_key() -> None:
    assert merge(None, put(status="draft"), 5) == {"election": b"e", "status": "draft", "at": 5}
    assert merge(None, Put("roles", (b"u", "admin")), 5) == {"user_id": b"u", "role": "admin", "at": 5}


def test_later_values_replace_earlier_ones_and_the_rest_stays() -> None:
    row = merge(merge(None, put(status="draft", draft=b"1"), 5), put(status="open"), 7)
    assert row == {"election": b"e", "status": "open", "draft": b"1", "at": 7}


def test_counters_start_at_zero_and_add_up() -> None:
    row = merge(None, count(issued=2), 5)
    assert row["issued"] == 2
    row = merge(row | {"unused": None}, Put("elections", KEY, {}, {"issued": 3, "unused": 1}), 6)
    assert (row["issued"], row["unused"]) == (5, 1)


def test_merging_twice_or_late_is_harmless() -> None:
    once = merge(None, count(issued=2), 5)
    assert merge(once, count(issued=2), 5) is once
    newer = merge(once, count(issued=1), 9)
    assert merge(newer, count(issued=2), 5) is newer


def test_merging_leaves_the_earlier_row_as_it_was() -> None:
    row: Row = {"election": b"e", "issued": 1, "at": 1}
    merge(row, count(issued=1), 2)
    assert row == {"election": b"e", "issued": 1, "at": 1}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_a_table_has_its_key_among_its_columns_and_none_called_at(table: Table) -> None:
    assert set(table.key) <= set(table.columns)
    assert table.columns[: len(table.key)] == table.key
    assert "at" not in table.columns
    assert set(table.types.values()) <= {"bytea", "bigint", "text", "boolean"}


# -- any split into batches


def random_changes() -> st.SearchStrategy[list[Change]]:
    keys = st.sampled_from([(b"a",), (b"b",)])
    values = st.dictionaries(st.sampled_from(["status", "draft"]), st.integers(0, 9), max_size=2)
    counters = st.dictionaries(st.sampled_from(["issued", "unused"]), st.integers(1, 3), max_size=2)
    puts = st.builds(Put, st.just("elections"), keys, values, counters)
    clears = st.builds(Clear, st.just("elections"), st.just("status"), st.integers(0, 9))
    return st.lists(puts | clears, max_size=20)


@given(random_changes(), st.lists(st.integers(0, 20), max_size=6))
def test_batches_seen_twice_give_the_same_rows(changes: list[Change], cuts: list[int]) -> None:
    """Each batch is merged, and merged again: a reader may see it in the table before it is told of it."""
    numbered = list(enumerate(changes, 1))
    plain, batched = State(), State()
    for index, change in numbered:
        plain.merge(index, [change])
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(numbered)], strict=True):
        for index, change in numbered[start:end]:
            batched.merge(index, [change])
            if isinstance(change, Put):
                batched.merge(index, [change])
    assert batched.rows() == plain.rows()


def whole_log() -> list[tuple[int, list[Change]]]:
    made = Ledger()
    made.record_all(Life().whole())
    return [(entry.index, fold(entry)) for entry in made.entries]


LOG = whole_log()


@given(st.sets(st.integers(1, len(LOG) - 1)), st.integers(0, 3))
def test_any_split_of_a_whole_log_with_overlaps_gives_the_same_rows(cuts: set[int], overlap: int) -> None:
    """An overlap repeats the end of the batch before, as after a lost answer, where nothing was cleared."""
    plain, split = State(), State()
    for index, changes in LOG:
        plain.merge(index, changes)
    bounds = [0, *sorted(cuts), len(LOG)]
    for start, end in itertools.pairwise(bounds):
        for index, changes in LOG[max(0, start - overlap) : end]:
            if index <= start and any(change.table == "casts" for change in changes):
                continue
            split.merge(index, changes)
    assert split.rows() == plain.rows()
