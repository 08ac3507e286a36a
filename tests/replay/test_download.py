"""A download that breaks off goes on where it broke: at the same node, at another, in a log that has grown since."""

import io
from pathlib import Path

import pytest

from ballot.replay import download as module
from ballot.replay.answer import SourceError
from ballot.replay.download import Progress, download, records_of
from ballot.replay.export import CheckpointRecord, EndRecord, EntryRecord, Record, write_records
from ballot.replay.source import open_source
from tests.support.exporting import Exporting, serving
from tests.support.log_builder import ElectionLog, seal_drafts


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES_S", (0.0,))


def written(records: list[Record]) -> bytes:
    stream = io.BytesIO()
    write_records(stream, records)
    return stream.getvalue()


def prefix(records: list[Record], entries: int) -> list[Record]:
    """The export of a node whose newest checkpoint is of so many entries."""
    kept: list[Record] = []
    for record in records:
        if isinstance(record, EntryRecord) and sum(isinstance(one, EntryRecord) for one in kept) == entries:
            break
        kept.append(record)
    assert isinstance(kept[-1], CheckpointRecord)
    return [*kept, EndRecord(entries, entries)]


def test_a_download_that_breaks_off_again_and_again_is_whole_in_the_end(log: ElectionLog, tmp_path: Path) -> None:
    data = written(log.records())
    exporting = Exporting(log.records(), [10, 5000, 7000, 3, 4000, 6000])
    with serving(exporting) as node:
        done = download(node, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert done.count == len(log.entries) and not (tmp_path / "copy.part").exists()
    assert len(exporting.asked) == 7 and exporting.asked == sorted(exporting.asked)


def test_every_place_to_break_off_is_a_place_to_go_on_from(log: ElectionLog, tmp_path: Path) -> None:
    data, file = written(log.records()), tmp_path / "copy"
    with serving(Exporting(log.records())) as node:
        for end in range(0, len(data), 997):
            (tmp_path / "copy.part").write_bytes(data[:end])
            download(node, file)
            assert file.read_bytes() == data


def test_a_node_that_goes_away_leaves_a_part_that_the_next_command_goes_on_from(
    log: ElectionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    first, second = Exporting(log.records(), [30000]), Exporting(log.records())
    with serving(first) as node, pytest.raises(SourceError, match="entries so far: "):
        download(node, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with serving(second) as node:
        download(node, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == written(log.records())
    assert second.asked[0] > 1


def test_it_goes_on_in_a_log_that_has_grown_and_at_a_node_with_other_checkpoints(
    log: ElectionLog, tmp_path: Path
) -> None:
    (tmp_path / "copy.part").write_bytes(written(prefix(log.records(), 12)))
    records = log.records()
    fewer = [one for place, one in enumerate(records) if not isinstance(one, CheckpointRecord) or place > 40]
    with serving(Exporting(fewer)) as node:
        download(node, tmp_path / "copy")
    copied = list(open_source(tmp_path / "copy"))
    assert [one for one in copied if isinstance(one, EntryRecord)] == [
        one for one in records if isinstance(one, EntryRecord)
    ]
    assert sum(isinstance(one, CheckpointRecord) for one in copied) > sum(
        isinstance(one, CheckpointRecord) for one in fewer
    )


def test_a_node_that_is_behind_is_waited_for(log: ElectionLog, tmp_path: Path) -> None:
    class Behind(Exporting):
        """Falls back to entry 8 when the connection breaks, and is as far as before two answers later."""

        def answer(self, first: int) -> bytes | None:
            self.records = prefix(log.records(), 8) if len(self.asked) in (1, 2) else log.records()
            return super().answer(first)

    behind = Behind([], [15000])
    with serving(behind) as node:
        assert list(records_of(node, Progress())) == log.records()
    assert len(behind.asked) == 4
    progress = Progress()
    with serving(Exporting(log.records())) as node:
        list(records_of(node, progress))
    with serving(Exporting(prefix(log.records(), 8))) as node, pytest.raises(SourceError, match="422"):
        list(records_of(node, progress))


def test_another_log_is_not_put_behind_what_there_is(log: ElectionLog, tmp_path: Path) -> None:
    other = seal_drafts([*log.drafts[:9], log.drafts[9].but(note="another"), *log.drafts[10:]])
    part = written(prefix(log.records(), 12))
    (tmp_path / "copy.part").write_bytes(part)
    with serving(Exporting(other)) as node, pytest.raises(SourceError, match="not the log that was downloaded"):
        download(node, tmp_path / "copy")
    assert not (tmp_path / "copy").exists() and (tmp_path / "copy.part").exists()


def test_a_tail_that_does_not_continue_is_refused(log: ElectionLog, tmp_path: Path) -> None:
    records = log.records()
    del records[20]
    with serving(Exporting(records)) as node, pytest.raises(SourceError, match="does not continue the log"):
        download(node, tmp_path / "copy")


def test_an_audit_over_a_broken_line_sees_every_record_once(log: ElectionLog) -> None:
    told: list[tuple[int, int]] = []
    with serving(Exporting(log.records(), [15000, 15000])) as node:
        assert list(open_source(node, lambda *values: told.append(values))) == log.records()
    assert told[-1] == (len(log.entries), len(log.entries))
