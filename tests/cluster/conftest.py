"""One real cluster for all cluster tests: three nodes, three PostgreSQL servers, one Redis."""

from collections.abc import Iterator

import pytest

from ballot.cluster import Cluster
from tests.support.town import Town
from tests.support.witnesses import WITNESS


@pytest.fixture(scope="session")
def town() -> Iterator[Town]:
    """Tests that kill a node start it again before they end."""
    settings = {"BALLOT_AUTH_PER_CLIENT": "0", "BALLOT_DRILLS": "1", "BALLOT_TURNOUT_S": "4"}
    settings["BALLOT_WITNESSES"] = WITNESS.vkey
    town = Town(Cluster.temporary(settings=settings))
    try:
        town.start()
        yield town
    finally:
        town.stop()
