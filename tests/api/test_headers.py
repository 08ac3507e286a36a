"""What every answer tells a browser, whatever became of the request; and what the log says of who was refused."""

from __future__ import annotations

import logging

import pytest

from ballot.http.headers import HEADERS
from tests.api.test_app import BODY, OCTETS, ask, token
from tests.support.services import StubLedger

GONE = StubLedger()
GONE.applied = None

ANSWERS = {
    "an answer": ("GET", "/api/_diag/health", {}, None),
    "nothing there": ("GET", "/api/nothing", {}, None),
    "a method not allowed": ("TRACE", "/api/elections", {}, None),
    "not authenticated": ("GET", "/api/auth/me", {}, None),
    "a refused cast": ("POST", "/api/votes", {**OCTETS, "Cookie": "a=b"}, None),
    "no ledger": ("GET", "/api/_diag/health", {}, GONE),
    "a preflight": ("OPTIONS", "/api/elections", {"Origin": "null", "Access-Control-Request-Method": "POST"}, None),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_tells_the_browser_what_it_may_do_with_it(name: str) -> None:
    method, path, headers, ledger = ANSWERS[name]
    answer = ask(method, path, headers=headers, ledger=ledger, body=BODY if method == "POST" else b"")
    for header, value in HEADERS.items():
        assert answer.headers[header.lower()] == value
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers and "server" not in answer.headers


def test_any_origin_may_read_and_none_gets_credentials() -> None:
    answer = ask("GET", "/api/_diag/health", headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_the_log_names_who_was_refused_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ballot.request"):
        ask("GET", "/api/auth/me", headers={"Authorization": "Bearer x"})
        ask("GET", "/api/auth/jwks", headers={"Authorization": token()})
    assert [record.__dict__.get("user") for record in caplog.records if record.name == "ballot.request"] == [None, None]
    assert [record.__dict__.get("refusal") for record in caplog.records if record.name == "ballot.request"] == [
        "InvalidToken",
        None,
    ]
