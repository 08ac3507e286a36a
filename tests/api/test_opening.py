"""The roll that an election is opened with."""

from dataclasses import fields
from typing import Any

import pytest

from ballot.http.opening import build_roll, refuse_early
from ballot.http.problems import Refused
from ballot.ledger.frame import frame_hash
from ballot.ledger.proof import root_of
from ballot.projections.queries import Election, Voter
from ballot.voting.ballot import roll_leaf

VOTERS = [Voter(bytes([number]) * 16, number, 7) for number in (3, 1, 2)]
ADDRESSES = {(7, voter.voter): (f"voter{voter.weight}@example.org", bytes([voter.weight]) * 32) for voter in VOTERS}


def test_leaves_are_sorted_and_hide_the_address() -> None:
    leaves, root = build_roll(VOTERS, ADDRESSES)
    digest = frame_hash("email", bytes([1]) * 32, b"voter1@example.org")
    assert leaves[0] == roll_leaf(bytes([1]) * 16, 1, digest)
    assert leaves == sorted(leaves)
    assert root == root_of(leaves)
    assert not any(b"example.org" in leaf for leaf in leaves)


def test_the_order_in_which_voters_were_added_makes_no_difference() -> None:
    assert build_roll(VOTERS, ADDRESSES) == build_roll(VOTERS[::-1], ADDRESSES)


@pytest.mark.parametrize(
    ("status", "eid", "refusal"),
    [("draft", None, "RollEmpty"), ("cancelled", None, "NotADraft"), ("open", b"e" * 32, "AlreadyOpened")],
)
def test_what_cannot_be_opened_is_refused_by_its_name_before_a_key_is_made(
    status: str, eid: bytes | None, refusal: str
) -> None:
    nothing: dict[str, Any] = dict.fromkeys((one.name for one in fields(Election)), 0)
    row = Election(**nothing | {"status": status, "eid": eid})
    with pytest.raises(Refused) as caught:
        refuse_early(row)
    assert caught.value.refusal == refusal
