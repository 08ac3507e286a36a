"""A node that attests another count: named, and told whose count is right."""

from ballot.replay.audit import audit
from ballot.replay.export import Record
from ballot.replay.report import ElectionReport, Report
from tests.support.attacks import dissent
from tests.support.insiders import changed_count
from tests.support.log_builder import ElectionLog, seal_drafts


def run(records: list[Record]) -> tuple[Report, ElectionReport]:
    report = audit(records, workers=1)
    (election,) = report.elections
    return report, election


def test_a_node_that_attests_another_count_makes_the_election_disputed_and_is_named(log: ElectionLog) -> None:
    report, election = run(dissent(log))
    (finding,) = report.findings
    assert (finding.name, finding.index) == ("TallyDisputed", log.find("TallyAttested") + 1)
    assert finding.detail == (
        "node 1 attests another count than the published one; the count made here is the published one"
    )
    assert election.disputed and (election.attested, election.dissenting) == ([1, 2, 3], [1])


def test_an_honest_node_among_liars_is_shown_to_be_right(log: ElectionLog) -> None:
    report, election = run(seal_drafts(changed_count(log)))
    found = {finding.name: finding.detail for finding in report.findings}
    assert found.keys() == {"TallyDiffers", "TallyDisputed"}
    assert found["TallyDisputed"].endswith("the count made here is that of node 1")
    assert election.dissenting == [1]


def test_where_nobody_can_count_again_the_dispute_is_found_all_the_same(log: ElectionLog) -> None:
    place = log.find("TallyAttested")
    other = changed_count(log)
    hidden = ("TallySeeds", "TrusteeKeyReleased")
    report, _ = run(seal_drafts(draft for draft in other if draft.kind not in hidden))
    found = {finding.name: finding for finding in report.findings}
    assert found.keys() == {"CannotRecount", "TallyDisputed"}
    assert found["TallyDisputed"].index == place + 1 - len(hidden)
    assert found["TallyDisputed"].detail.endswith("the count made here is not known")
