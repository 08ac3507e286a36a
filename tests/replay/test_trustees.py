"""An audit of an election with trustees of its own: two of three open it, and whatever is wrong with them is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from ballot.ledger import rsa
from ballot.ledger.frame import frame
from ballot.replay.audit import audit
from ballot.replay.report import Report
from ballot.voting.tally import open_board
from ballot.voting.trustee import usable
from tests.support.log_builder import (
    ELECTION,
    Draft,
    factors_of,
    key,
    modulus,
    seal_drafts,
    trustee_key,
)
from tests.support.log_builder import trustee_election_log as log

Change = Callable[[list[Draft]], list[Draft]]


def report(change: Change = lambda drafts: drafts) -> Report:
    return audit(seal_drafts(change(list(log().drafts))), workers=1)


def found(report: Report) -> set[tuple[str, str]]:
    return {(finding.level, finding.name) for finding in report.findings}


def place(drafts: list[Draft], kind: str, number: int = 0) -> int:
    return [at for at, draft in enumerate(drafts) if draft.kind == kind][number]


def edited(kind: str, number: int = 0, /, **changes: object) -> Change:
    def change(drafts: list[Draft]) -> list[Draft]:
        at = place(drafts, kind, number)
        drafts[at] = drafts[at].but(**changes)
        return drafts

    return change


def dropped(kind: str, number: int = 0) -> Change:
    def change(drafts: list[Draft]) -> list[Draft]:
        del drafts[place(drafts, kind, number)]
        return drafts

    return change


def put_behind(kind: str, *added: Draft) -> Change:
    def change(drafts: list[Draft]) -> list[Draft]:
        at = place(drafts, kind, -1) + 1
        return [*drafts[:at], *added, *drafts[at:]]

    return change


def test_an_election_that_two_of_three_trustees_opened_passes() -> None:
    made = report()
    assert made.passed and made.findings == [] and made.elections[0].recounted
    assert len([draft for draft in log().drafts if draft.kind == "TrusteeKeyReleased"]) == 2


def test_any_two_trustees_open_the_board_alike() -> None:
    pairs = itertools.combinations((1, 2, 3), 2)
    votes = [open_board(log().definition, log().eid, log().board, {i: trustee_key(i) for i in pair}) for pair in pairs]
    assert votes[0] == votes[1] == votes[2]
    assert [vote is None for vote in votes[0]].count(True) == 1


def test_a_bad_key_counts_as_withheld_and_the_third_trustee_replaces_it() -> None:
    """What is recounted from: without the seeds, every ballot with the keys."""
    p, q = factors_of(1)
    bad = edited("TrusteeKeyReleased", 0, p=p, q=q)
    short = report(lambda drafts: dropped("TallySeeds")(bad(drafts)))
    assert ("count", "BadTrusteeKey") in found(short) and ("count", "CannotRecount") in found(short)
    released = Draft(
        "TrusteeKeyReleased",
        {**log().drafts[place(log().drafts, "TrusteeKeyReleased")].public, "number": 1, "p": p, "q": q},
    )
    whole = report(lambda drafts: dropped("TallySeeds")(put_behind("TrusteeKeyReleased", released)(bad(drafts))))
    assert ("count", "BadTrusteeKey") in found(whole) and ("count", "CannotRecount") not in found(whole)
    assert whole.elections[0].recounted


def test_what_the_audit_takes_for_a_key_the_nodes_take_for_one() -> None:
    (p, q), n = factors_of(1), rsa.modulus(trustee_key(1))
    other = factors_of(2)
    assert usable([(1, n, p, q), (2, rsa.modulus(trustee_key(2)), p, q), (3, n, q, p)]) == {1: (p, q)}
    assert usable([(1, n, *other)]) == {}


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        pytest.param(dropped("TrusteeInvited"), ("ballots", "TrusteeNotInvited"), id="not invited"),
        pytest.param(edited("TrusteeInvited", name="Another"), ("ballots", "TrusteeNotInvited"), id="other name"),
        pytest.param(edited("TrusteeEnrolled", 1, number=7), ("ballots", "TrusteeMisnumbered"), id="misnumbered"),
        pytest.param(edited("TrusteeEnrolled", 1, proof=bytes(384)), ("signatures", "TrusteeKeyProof"), id="forged"),
        pytest.param(
            edited("TrusteeEnrolled", 1, n=modulus("trustee")), ("signatures", "KeyReused"), id="one key for two"
        ),
        pytest.param(dropped("TrusteeEnrolled", 2), ("ballots", "TrusteeMissing"), id="opened without a key"),
        pytest.param(
            put_behind(
                "TrusteeEnrolled",
                Draft("TrusteeWithdrawn", {"election": ELECTION, "user": bytes(16), "enrolled": False}),
            ),
            ("ballots", "TrusteeWithdrawnWrongly"),
            id="withdrawn though not invited",
        ),
        pytest.param(
            put_behind(
                "TrusteeEnrolled",
                Draft("TrusteeWithdrawn", {"election": ELECTION, "user": b"too short", "enrolled": True}),
            ),
            ("structure", "MalformedEvent"),
            id="an id too short",
        ),
    ],
)
def test_what_is_wrong_with_a_trustee_is_found(change: Change, finding: tuple[str, str]) -> None:
    assert finding in found(report(change))


def test_a_trustee_who_was_withdrawn_is_not_one_of_the_definition() -> None:
    user = log().drafts[place(log().drafts, "TrusteeInvited", 1)].public["user"]
    gone = Draft("TrusteeWithdrawn", {"election": ELECTION, "user": user, "enrolled": True})
    assert ("ballots", "TrusteesDiffer") in found(report(put_behind("TrusteeEnrolled", gone)))


def test_a_trustees_key_is_nobodys_identity_key() -> None:
    n, user = modulus("trustee"), log().voters[3].id
    signature = rsa.sign(key("trustee"), frame("identity-key", user, n))
    identity = Draft("IdentityKeyEnrolled", {"user": user, "n": n, "signature": signature})
    for kind in ("UserRegistered", "TallyPublished"):
        assert ("signatures", "KeyReused") in found(report(put_behind(kind, identity)))
