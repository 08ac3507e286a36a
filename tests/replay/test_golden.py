"""Archived exports lead to what they led to when they were made: digests, counts, verdicts, whatever the code is."""

import pytest

from ballot.replay.rebuild import TooShort, rebuild_in_memory
from tests.support import golden


def test_there_are_some() -> None:
    assert len(golden.names()) >= len(golden.FLAVOURS)


@pytest.mark.parametrize("name", golden.names())
def test_a_golden_export_leads_to_what_it_led_to(name: str) -> None:
    assert golden.found(golden.read(name)) == golden.known(name)


@pytest.mark.parametrize("name", golden.names())
def test_a_rebuild_stops_at_any_entry(name: str) -> None:
    records, known = golden.read(name), golden.known(name)
    for index, digest in known["digests"].items():
        assert rebuild_in_memory(records, int(index)) == (int(index), digest)
    with pytest.raises(TooShort):
        rebuild_in_memory(records, known["entries"] + 1)


def test_a_golden_export_is_never_made_again() -> None:
    name = golden.names()[0]
    with pytest.raises(SystemExit, match="never made again"):
        golden.keep(name, golden.read(name))
