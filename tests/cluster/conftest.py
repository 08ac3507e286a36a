"""One real cluster for all cluster tests: three nodes, three PostgreSQL servers, one Redis."""

from collections.abc import Iterator

import pytest

from tests.support.town import Town, running_town
from tests.support.witnesses import WITNESS


@pytest.fixture(scope="session")
def town() -> Iterator[Town]:
    """Tests that kill a node start it again before they end."""
    yield from running_town(BALLOT_DRILLS="1", BALLOT_TURNOUT_S="4", BALLOT_WITNESSES=WITNESS.vkey)
