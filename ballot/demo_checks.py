"""What the demo checks at the end, and how it says what it found."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .client.api import Line, NoAnswer, Public
from .client.trust import Untrusted
from .client.vote import Election
from .client.voter import NotReady, Voter
from .demo_casting import Casting
from .demo_show import Show, print_facts
from .replay.audit import audit
from .replay.export import read_export
from .replay.report import Report
from .replay.show_count import print_count
from .voting.ballot import parse_ballot
from .voting.question import Question

AGREE_TIMEOUT_S = 60.0
POLL_S = 0.2


@dataclass(frozen=True)
class Board:
    """What the voters find on the downloaded board. `lost` were acknowledged and are not on it; of `double` another
    ballot by the same credential is there; `unproven` receipts do not verify any more."""

    published: int
    lost: int
    double: int
    unproven: int


@dataclass(frozen=True)
class Findings:
    """What is known in the end. `expected` is the count of the drawn ballots; `digests` are the nodes' public state
    digests, all at log index `index`."""

    ballots: int
    casting: Casting
    board: Board
    results: Mapping[str, Any]
    expected: Sequence[Mapping[str, Any]]
    index: int
    digests: Sequence[str]
    report: Report
    seconds: float

    @property
    def counted(self) -> int:
        """Valid ballots in the published count."""
        return int(self.results["tally"]["ballots"]["valid"])

    @property
    def is_count_right(self) -> bool:
        return bool(self.results["tally"]["questions"] == self.expected)

    @property
    def is_attested(self) -> bool:
        agreeing = [attestation for attestation in self.results["attestations"] if attestation["agrees"]]
        return not self.results["disputed"] and len(agreeing) == len(self.digests)

    @property
    def passed(self) -> bool:
        return all(fine for _, _, fine in facts(self))


def check_board(voters: Sequence[Voter], election: Election, ballots: Sequence[bytes], acknowledged: set[int]) -> Board:
    """Lets every voter look for the own ballot, and verify the kept receipt once more."""
    parsed = [parse_ballot(ballot) for ballot in ballots]
    names = {ballot.name for ballot in parsed}
    keys = Counter(ballot.bpk for ballot in parsed)
    lost = sum(not voters[number].is_published(election, names) for number in acknowledged)
    unproven = sum(not _has_proof(voters[number], election) for number in acknowledged)
    return Board(len(parsed), lost, keys.total() - len(keys), unproven)


async def agree(line: Line, at_least: int) -> tuple[int, list[str]]:
    """(log index, digest of each node), as soon as all nodes have applied the same entries, `at_least` so many.

    Raises NoAnswer when that takes too long. Whether the digests are equal is for the caller to see.
    """
    public, deadline = Public(line), time.monotonic() + AGREE_TIMEOUT_S
    while True:
        try:
            answers = [(await public.get_at(node, "/api/ledger/digest")).json() for node in range(len(line.urls))]
        except NoAnswer:
            answers = []
        indexes = {int(answer["index"]) for answer in answers}
        if len(indexes) == 1 and min(indexes) >= at_least:
            return indexes.pop(), [str(answer["digest"]) for answer in answers]
        if time.monotonic() > deadline:
            raise NoAnswer(f"the nodes did not reach one log index: {sorted(indexes)}")
        await asyncio.sleep(POLL_S)


def audit_export(export: bytes, genesis_hash: bytes) -> Report:
    """The audit of an export as a node gave it, knowing nothing but the genesis hash. Takes a while."""
    return audit(read_export(io.BytesIO(export)), genesis_hash=genesis_hash)


def facts(found: Findings) -> list[tuple[str, str, bool]]:
    """(what, value, whether it is as it must be)."""
    casting, board = found.casting, found.board
    acknowledged = len(casting.acknowledged)
    again = f"{len(casting.unanswered)}, all cast again, of which {casting.found} were recorded already"
    agreeing = len(set(found.digests)) == 1
    return [
        ("ballots acknowledged", str(acknowledged), acknowledged == found.ballots),
        ("ballots without an answer at first", again, True),
        ("ballots on the board", str(board.published), board.published == found.ballots),
        ("ballots counted", str(found.counted), found.counted == found.ballots),
        ("lost (acknowledged, not on the board)", str(board.lost), board.lost == 0),
        ("double (one credential, two ballots)", str(board.double), board.double == 0),
        ("receipts that verify", str(acknowledged - board.unproven), board.unproven == 0),
        ("time without a leader", f"{casting.gap_s:.2f} s as clients saw it", True),
        ("new leader after the kill", f"{casting.election_s:.2f} s", True),
        ("count", _yes(found.is_count_right, "that of the ballots drawn", "WRONG"), found.is_count_right),
        ("count attested by", _attested(found), found.is_attested),
        ("public state of the nodes", _yes(agreeing, f"equal at entry {found.index}", "DIFFERENT"), agreeing),
        ("audit of the export", _audited(found.report), found.report.passed),
        ("whole demo", f"{found.seconds:.0f} s", True),
    ]


def conclude(show: Show, question: Question, found: Findings) -> int:
    """Prints everything, the verdict last; the exit status."""
    for result in found.results["tally"]["questions"]:
        print_count(show.console, question, result)
    print_facts(show.console, facts(found))
    for finding in found.report.findings:
        show.console.print(
            f"entry {finding.index}: {finding.level.value}.{finding.name}: {finding.detail}", markup=False
        )
    verdict = "PASS" if found.report.passed else "FAIL"
    show.console.print(f"audit: {verdict}  lost: {found.board.lost}  double: {found.board.double}")
    return 0 if found.passed else 1


def _has_proof(voter: Voter, election: Election) -> bool:
    try:
        voter.recheck(election)
    except (Untrusted, NotReady):
        return False
    return True


def _yes(fine: bool, yes: str, no: str) -> str:
    return yes if fine else no


def _attested(found: Findings) -> str:
    agreeing = sum(bool(attestation["agrees"]) for attestation in found.results["attestations"])
    return f"{agreeing} of {len(found.digests)} nodes" + (", DISPUTED" if found.results["disputed"] else "")


def _audited(report: Report) -> str:
    outcome = "passed" if report.passed else f"FAILED, {len(report.findings)} findings"
    return f"{outcome}: {report.entries} entries, {report.checkpoints} checkpoints"
