"""RaftLog against a plain list of entries, and its edges one by one."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballot.ledger.raft.log import Durable, RaftLog
from ballot.ledger.raft.messages import Conf, Halt, HardState
from tests.support.disk import Disk
from tests.support.raft import Item, make_item, seal

FIRST = Conf((1, 2, 3))
GENESIS = make_item("", 1, 0, FIRST)


def chain(*terms: int, before: Item = GENESIS) -> list[Item]:
    """Entries of these terms, following `before`."""
    items: list[Item] = []
    for term in terms:
        items.append(seal((items or [before])[-1], term, f"x{term}"))
    return items


def log_of(*terms: int) -> RaftLog:
    """A log whose entries from 2 on have these terms, none of them durable."""
    log = RaftLog(Disk([GENESIS]).read())
    log.append(chain(*terms))
    return log


def write_all(log: RaftLog) -> None:
    log.take_unwritten(1 << 30, 1 << 30)
    log.wrote(log.last_index)


def test_terms_are_known_inside_the_log_only() -> None:
    log = log_of(1, 1, 3)
    assert [log.term(index) for index in range(-1, 6)] == [0, 0, 0, 1, 1, 3, -1]
    assert [log.first_of_term(index) for index in range(1, 5)] == [1, 2, 2, 4]


def test_a_log_without_genesis_is_refused() -> None:
    with pytest.raises(Halt):
        RaftLog(Durable(HardState(), [], [], []))


def test_a_gap_is_refused() -> None:
    log = log_of(1)
    with pytest.raises(Halt, match="gap"):
        log.append(chain(1, 1, 1)[2:])


def test_committed_entries_are_never_truncated() -> None:
    log = log_of(1, 1)
    with pytest.raises(Halt, match="at or below commit"):
        log.truncate(3, commit=3)


def test_truncation_takes_back_terms_configurations_and_marks() -> None:
    log = log_of(1, 1)
    log.append([seal(log.last, 2, Conf((1, 2)))])
    write_all(log)
    dropped = log.truncate(3, commit=2)
    assert [(item.index, item.term) for item in dropped] == [(3, 1), (4, 2)]
    assert (log.last_index, log.last_term, log.conf, log.conf_index) == (2, 1, FIRST, 1)
    assert (log.durable, log.written) == (2, 2)


def test_a_truncation_of_what_was_written_goes_into_the_next_write_once() -> None:
    log = log_of(1, 1, 1)
    write_all(log)
    log.truncate(4, commit=1)
    log.truncate(3, commit=1)
    new = chain(2, before=chain(1)[0])
    log.append(new)
    assert log.take_unwritten(1 << 30, 10) == (3, new)
    assert log.take_unwritten(1 << 30, 10) == (0, [])


def test_a_truncation_of_what_was_never_written_needs_no_write() -> None:
    log = log_of(1, 1)
    log.truncate(3, commit=1)
    assert log.take_unwritten(1 << 30, 10)[0] == 0


def test_a_completion_counts_only_up_to_what_was_not_truncated_meanwhile() -> None:
    log = log_of(1, 1, 1)
    log.take_unwritten(1 << 30, 10)
    log.truncate(3, commit=1)
    log.append(chain(2, 2, before=chain(1)[0]))
    log.wrote(4)
    assert log.durable == 2


def test_a_write_takes_at_least_one_entry_and_no_more_than_its_limits() -> None:
    log = log_of(1, 1, 1, 1)
    assert len(log.take_unwritten(1, 10)[1]) == 1
    assert len(log.take_unwritten(1 << 30, 2)[1]) == 2
    assert log.written == 4


def test_a_slice_takes_at_least_one_entry_and_stops_at_its_limits() -> None:
    log = log_of(1, 1, 1)
    assert [item.index for item in log.slice(2, 1) or []] == [2]
    assert [item.index for item in log.slice(2, 2 * log.last.size) or []] == [2, 3]
    assert [item.index for item in log.slice(2, 1 << 30, 3) or []] == [2, 3]
    assert log.slice(5, 1 << 30) == []


def test_trimming_keeps_what_is_not_durable_and_what_must_be_kept() -> None:
    log = log_of(1, 1, 1, 1)
    log.trim(5, 0)
    assert log.first_in_memory == 1
    write_all(log)
    log.trim(3, 0)
    assert log.first_in_memory == 3
    assert log.slice(2, 1 << 30) is None
    assert [log.term(index) for index in range(1, 6)] == [0, 1, 1, 1, 1]


def test_a_node_may_lead_while_its_removal_is_in_doubt() -> None:
    log = log_of(1)
    log.append([seal(log.last, 1, Conf((1, 2)))])
    assert log.may_lead(3, commit=2)
    assert not log.may_lead(3, commit=3)
    assert not log.may_lead(4, commit=2)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["append", "truncate", "take", "wrote", "reopen"]), st.integers(1, 4))))
def test_the_log_agrees_with_a_plain_list_and_a_disk(steps: list[tuple[str, int]]) -> None:
    disk, twin = Disk([GENESIS]), [GENESIS]
    log, term, out = RaftLog(disk.read()), 1, 0
    for step, size in steps:
        if step == "append":
            new = chain(*[term] * size, before=twin[-1])
            log.append(new)
            twin += new
        elif step == "truncate" and len(twin) > 1:
            first = max(2, len(twin) - size + 1)
            assert log.truncate(first, commit=1) == twin[first - 1 :]
            del twin[first - 1 :]
            term += 1
        elif step == "take" and not out:
            truncate_from, entries = log.take_unwritten(1 << 30, size)
            if truncate_from:
                del disk.entries[truncate_from - 1 :]
            disk.entries += cast(list[Item], entries)
            out = log.written if entries else 0
        elif step == "wrote" and out:
            log.wrote(out)
            out = 0
        elif step == "reopen":
            log, twin, out = RaftLog(disk.read()), list(disk.entries), 0
        assert [log.term(index) for index in range(1, log.last_index + 1)] == [item.term for item in twin]
        assert log.durable <= log.written <= log.last_index
        assert disk.entries[: log.durable] == twin[: log.durable]
