"""The running app against its own document: every answer is in it, no request of any shape makes it fail."""

from collections.abc import Iterator

import pytest

from tests.support.fuzz import Village, found, fuzz

pytestmark = pytest.mark.cluster

SECONDS = 10


@pytest.fixture(scope="module")
def village() -> Iterator[Village]:
    village = found()
    yield village
    village.town.stop()


def test_every_answer_to_an_admin_is_in_the_document(village: Village) -> None:
    status, report = fuzz(village, village.admin, seconds=SECONDS, seed=1)
    assert status == 0, report
    assert village.complaints() == []


def test_every_answer_to_a_voter_is_in_the_document(village: Village) -> None:
    status, report = fuzz(village, village.voter, seconds=SECONDS, seed=2)
    assert status == 0, report
    assert village.complaints() == []
