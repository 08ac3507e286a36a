"""The election that most tests read again: its log, the first entry, and where its first ballot was cast."""

import pytest

from ballot.ledger.entry import Entry, parse
from tests.support.log_builder import ElectionLog, election_log


@pytest.fixture(scope="module")
def log() -> ElectionLog:
    return election_log()


@pytest.fixture(scope="module")
def genesis(log: ElectionLog) -> Entry:
    return parse(log.entries[0].header, log.entries[0].public)


@pytest.fixture(scope="module")
def place(log: ElectionLog) -> int:
    return log.find("BallotCast")
