"""An election in which ballots weigh differently: one registrar key a weight, and an audit that tells them apart."""

from dataclasses import replace
from functools import cache

import pytest

from ballot.replay.audit import audit
from ballot.replay.export import Record
from ballot.replay.report import Level, Report
from ballot.voting import document
from ballot.voting.choice import encode_choice
from tests.support.attacks import edit, with_board
from tests.support.log_builder import ANSWERS, VOTERS, ElectionLog, Voter, make_body, make_credential, modulus

WEIGHTS = (1, 5, 5, 1, 1)


@cache
def weighted_log() -> ElectionLog:
    return ElectionLog([Voter(voter.number, weight) for voter, weight in zip(VOTERS, WEIGHTS, strict=True)])


@pytest.fixture(scope="module")
def log() -> ElectionLog:
    return weighted_log()


def run(records: list[Record]) -> Report:
    return audit(records, workers=1)


def caught(report: Report) -> set[tuple[Level, str]]:
    return {(finding.level, finding.name) for finding in report.findings}


def test_a_weighted_election_passes_the_audit(log: ElectionLog) -> None:
    report = run(log.records())
    assert report.findings == []
    (election,) = report.elections
    # The ballots of weight 1 and 5 are valid; the other one of weight 5 is invalid, the other of weight 1 claimed.
    assert (election.accounting.valid, election.accounting.invalid, election.accounting.silent) == (2, 1, 0)
    assert election.accounting.silent_votes == 5


def test_votes_are_counted_in_weights_and_ballots_by_weight(log: ElectionLog) -> None:
    value = document.decode(log.drafts[log.find("TallyPublished")].public["document"])
    assert value["weights"] == {"1": 1, "5": 1}
    assert value["questions"][0]["ballots"] == 6


def test_the_definition_has_a_key_for_every_weight(log: ElectionLog) -> None:
    registrars = [(registrar.weight, registrar.n) for registrar in log.definition.registrars]
    assert registrars == [(1, modulus("registrar").hex()), (5, modulus("registrar5").hex())]


def test_a_registrar_that_gives_a_voter_more_weight_than_the_roll_is_caught(log: ElectionLog) -> None:
    heavier = replace(log.voters[0], weight=5)
    blinded, blind_sig, _ = make_credential(log.eid, heavier)
    found = caught(run(edit("CredentialIssued", 0, blinded=blinded, blind_sig=blind_sig)(log)))
    assert (Level.SIGNATURES, "BlindSignature") in found


def test_a_registrar_that_mints_heavier_ballots_than_it_issued_credentials_for_is_caught(log: ElectionLog) -> None:
    """The number of ballots is right: only that of weight 5 is not."""
    bodies = [log.bodies[1]]
    for voter in (log.voters[0], log.voters[2]):
        heavy = replace(voter, weight=5)
        credential = make_credential(log.eid, heavy)[2]
        bodies.append(make_body(log.definition, log.eid, heavy, credential, encode_choice(ANSWERS[0])))
    report = run(with_board(log, bodies))
    assert (Level.BALLOTS, "CredentialsMinted") in caught(report)
    (finding,) = [finding for finding in report.findings if finding.name == "CredentialsMinted"]
    assert finding.detail == "3 ballots of weight 5 and 0 unused credentials, 2 were issued: the registrar minted 1"
    (election,) = report.elections
    assert election.minting is not None and (election.minting.weight, election.minting.excess) == (5, 1)
