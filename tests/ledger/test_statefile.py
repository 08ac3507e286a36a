"""The state file: an ordinary crash starts again, a database that forgot something does not."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ballot.ledger.statefile import Amnesia, StateFile


@contextmanager
def opened(path: Path, node: int = 1) -> Iterator[StateFile]:
    file = StateFile(path, node)
    try:
        yield file
    finally:
        file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a node that stood at term 5, vote 2, entry 100 when it was last seen."""
    path = tmp_path / "state" / "file"
    with opened(path) as file:
        file.begin(5, 2, 90)
        file.record(5, 2, 100)
    return path


def begin(path: Path, term: int, vote: int, last: int) -> int:
    with opened(path) as file:
        return file.begin(term, vote, last)


def test_a_new_node_begins_with_incarnation_1(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "state"
    assert begin(path, 0, 0, 1) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_start_counts_as_one_incarnation(path: Path) -> None:
    assert [begin(path, 5, 2, 100) for _ in range(3)] == [2, 3, 4]


def test_what_was_recorded_is_read_back(path: Path) -> None:
    with opened(path) as file:
        assert (file.state.term, file.state.vote, file.state.last_index) == (5, 2, 100)


@pytest.mark.parametrize(
    ("term", "vote", "last"), [(5, 2, 101), (6, 0, 100), (6, 3, 100), (6, 3, 250)], ids=["entry", "term", "vote", "all"]
)
def test_a_database_ahead_of_the_file_is_an_ordinary_crash(path: Path, term: int, vote: int, last: int) -> None:
    """It committed and the node died before it could say so here."""
    assert begin(path, term, vote, last) == 2


def test_a_vote_committed_just_before_a_crash_is_no_amnesia(path: Path) -> None:
    """The term was known without a vote; the vote was committed, and the node died before it was recorded here."""
    with opened(path) as file:
        file.record(6, 0, 100)
    assert begin(path, 6, 3, 100) == 2


@pytest.mark.parametrize(
    ("term", "vote", "last"),
    [(0, 0, 0), (5, 2, 99), (4, 2, 100), (4, 1, 300), (5, 0, 100), (5, 3, 100)],
    ids=["wiped", "an entry lost", "term lost", "older backup", "vote lost", "another vote"],
)
def test_a_database_behind_the_file_is_refused(path: Path, term: int, vote: int, last: int) -> None:
    with pytest.raises(Amnesia, match="new node id"):
        begin(path, term, vote, last)
    assert begin(path, 5, 2, 100) == 2


def test_a_truncation_lowers_the_file_before_the_database(path: Path) -> None:
    """Whether or not the truncation was committed, the node starts again."""
    for last in (100, 80):
        with opened(path) as file:
            file.record(5, 2, 100)
            file.lower(80)
            assert file.state.last_index == 80
        begin(path, 5, 2, last)


def test_lowering_never_raises(path: Path) -> None:
    with opened(path) as file:
        file.lower(200)
        assert file.state.last_index == 100


def test_another_entry_in_the_newest_place_is_refused(path: Path) -> None:
    """Nothing after it tells what it was: the chain and the tree cannot."""
    with opened(path) as file:
        file.record(5, 2, 101, b"h" * 32)
    with opened(path) as file:
        file.compare(101, b"h" * 32)
        file.compare(100, b"x" * 32)
        with pytest.raises(Amnesia, match="entry 101"):
            file.compare(101, b"x" * 32)


def test_an_entry_that_was_truncated_is_not_held_against_its_successor(path: Path) -> None:
    with opened(path) as file:
        file.record(5, 2, 101, b"h" * 32)
        file.lower(101)
        assert file.last == (101, b"h" * 32)
        file.lower(90)
        file.compare(90, b"x" * 32)
        file.begin(5, 2, 90, b"g" * 32)
    with opened(path) as file, pytest.raises(Amnesia):
        file.compare(90, b"x" * 32)


def test_a_file_of_an_earlier_version_is_read_and_knows_no_hash(path: Path) -> None:
    record = struct.pack(">8sIQQQQ", b"BLSTATE1", 1, 7, 5, 2, 100)
    path.write_bytes(record + struct.pack(">I", zlib.crc32(record)))
    with opened(path) as file:
        file.compare(100, b"x" * 32)
    assert begin(path, 5, 2, 100) == 8
    assert begin(path, 5, 2, 100) == 9


def test_another_nodes_file_is_refused(path: Path) -> None:
    with pytest.raises(Amnesia, match="belongs to node 1"):
        StateFile(path, 2)


def test_a_torn_file_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Amnesia, match="damaged"):
            StateFile(path, 1)


def test_a_changed_byte_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(Amnesia, match="damaged"):
            StateFile(path, 1)


def test_bytes_in_another_order_are_refused(path: Path) -> None:
    """A plain sum would not see that term and vote changed places."""
    whole = path.read_bytes()
    place = whole.index((5).to_bytes(8, "big") + (2).to_bytes(8, "big"))
    path.write_bytes(whole[:place] + whole[place + 8 : place + 16] + whole[place : place + 8] + whole[place + 16 :])
    with pytest.raises(Amnesia, match="damaged"):
        StateFile(path, 1)


@pytest.mark.parametrize(
    ("act", "synced"),
    [
        (lambda file: file.record(5, 2, 101), 0),
        (lambda file: file.record(5, 3, 101), 1),
        (lambda file: file.record(6, 2, 100), 1),
        (lambda file: file.lower(50), 1),
        (lambda file: file.begin(5, 2, 100), 1),
    ],
    ids=["an entry", "a vote", "a term", "a truncation", "a start"],
)
def test_what_was_promised_is_synced_and_the_last_index_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[StateFile], object], synced: int
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    with opened(path) as file:
        act(file)
    assert len(calls) == synced
