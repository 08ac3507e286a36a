"""Refusals: every name has a status, every error becomes a problem document."""

import re
from pathlib import Path

import falcon
import psycopg
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from ballot.http.problems import REFUSALS, Refused, problem_of, refusal_of
from ballot.ledger.mutex import LockHeld
from ballot.ledger.submit import Unavailable

ROOT = Path(__file__).parents[2]


def test_every_refusal_of_the_domain_has_a_status() -> None:
    # Made only by nodes, of what nodes submit: no request leads to these.
    by_duty = {"OutOfOrder", "BoardIncomplete", "NotTallied", "AlreadyClaimed"}
    by_duty |= {"EpochHeldBack", "EpochTooSmall", "EpochTooEarly", "NoEpochs", "NotInEpoch", "BoardUnsorted"}
    by_duty |= {"UnknownNode", "AttestationSignature"}
    named = {
        name
        for path in (ROOT / "voting" / "decisions").glob("*.py")
        for name in re.findall(r'Refusal\(\s*"(\w+)"', path.read_text())
    }
    assert named
    assert named - by_duty - REFUSALS.keys() == set()


def test_every_refusal_made_here_has_a_status() -> None:
    named = {
        name for path in (ROOT / "http").glob("*.py") for name in re.findall(r'Refused\(\s*"(\w+)"', path.read_text())
    }
    assert len(named) > 20
    assert named - REFUSALS.keys() == set()


def test_a_problem_document_says_what_happened() -> None:
    problem = problem_of(Refused("ElectionClosed", "the election is closed since noon"))
    assert (problem.type, problem.status, problem.refusal) == ("about:blank#ElectionClosed", 410, "ElectionClosed")
    assert problem.detail == "the election is closed since noon"


def test_a_refusal_that_is_new_counts_as_a_conflict() -> None:
    assert problem_of(Refused("SomethingNew")).status == 409


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (Unavailable("no majority"), "Unavailable"),
        (LockHeld("held"), "VoteInProgress"),
        (RedisConnectionError("down"), "Unavailable"),
        (psycopg.OperationalError("down"), "Unavailable"),
        (falcon.HTTPNotFound(), "NotFound"),
        (falcon.HTTPMethodNotAllowed(["GET"]), "MethodNotAllowed"),
        (falcon.HTTPBadRequest(), "MalformedRequest"),
        (KeyError("our bug"), "InternalError"),
    ],
)
def test_every_error_becomes_a_refusal(error: Exception, refusal: str) -> None:
    assert refusal_of(error).refusal == refusal


def test_an_unforeseen_error_tells_the_client_nothing() -> None:
    assert "secret" not in problem_of(refusal_of(RuntimeError("secret"))).detail
