"""What the results say beside the count."""

from __future__ import annotations

import pytest

from ballot.http.results import most_votes


@pytest.mark.parametrize(
    ("silent", "counted", "worth"),
    [
        (0, {"1": 4, "3": 2}, 0),
        (1, {"1": 3, "3": 2}, 1),  # everybody of weight 3 was counted
        (1, {"1": 4, "3": 1}, 3),
        (2, {"1": 3, "3": 1}, 4),
        (1, {"1": 3, "3": 1}, 3),  # one of the two cast an invalid ballot, nobody sees which
    ],
)
def test_the_silent_are_worth_the_heaviest_credentials_whose_ballots_did_not_count(
    silent: int, counted: dict[str, int], worth: int
) -> None:
    assert most_votes(silent, {1: 4, 3: 2}, {"weights": counted}) == worth


def test_before_the_count_the_silent_may_be_the_heaviest_of_all() -> None:
    assert most_votes(3, {1: 4, 3: 2}, None) == 7
