"""An election that was cancelled while open: its casts are erased, and the public record is whole without them."""

from __future__ import annotations

from pathlib import Path

from ballot.replay.audit import audit
from ballot.replay.export import Record
from tests.replay.test_second_verifier import both
from tests.support.attacks.base import inserted
from tests.support.attacks.voters import event
from tests.support.log_builder import ELECTION, Draft, ElectionLog, election_log, seal_drafts


def erasure(log: ElectionLog) -> Draft:
    casts = [place + 1 for place, draft in enumerate(log.drafts) if draft.kind == "BallotCast"]
    named = {"election": ELECTION, "eid": log.eid, "kind": "BallotCast", "reason": "cancelled"}
    return Draft("PrivateErased", named | {"first": casts[0], "last": casts[-1], "final": True})


def cancelled(*, erased: bool = True, first: bool = False) -> list[Record]:
    """Up to the last cast, then cancelled; `first`: the erasure comes before that."""
    log = election_log()
    drafts = log.drafts[: log.find("ElectionClosed")]
    ends = [event("ElectionCancelled", by=b"")(log), *([erasure(log)] if erased else [])]
    return seal_drafts(inserted(drafts, len(drafts), reversed(ends) if first else ends))


def test_the_casts_of_a_cancelled_election_may_be_erased(tmp_path: Path) -> None:
    exports = {"erased": cancelled(), "not erased": cancelled(erased=False), "too early": cancelled(first=True)}
    for name in ("erased", "not erased"):
        report = audit(exports[name], workers=1)
        assert report.findings == []
        assert [election.status for election in report.elections] == ["cancelled"]
    assert [finding.name for finding in audit(exports["too early"], workers=1).findings] == ["ErasedTooEarly"]
    assert both(dict(exports), tmp_path) == []
