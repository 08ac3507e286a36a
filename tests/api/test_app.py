"""The app without anything behind it: headers, limits, problem documents, and what it says when all else is down."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from falcon.testing import ASGIConductor, Result

from ballot.client.api import unb64
from ballot.http.app import create_app
from ballot.http.ledger import MOST_LISTS
from ballot.http.parse import b64
from ballot.http.position import FRESH_S
from ballot.http.services import Services
from ballot.http.tokens import AccessTokens, TokenKey
from ballot.ledger.frame import frame
from ballot.projections import queries
from ballot.voting.ballot import cast_frame
from tests.support.registrar import MemoryCluster
from tests.support.services import StubLedger, jwt_key, make_deps

OCTETS = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}
CAST = cast_frame(bytes(32), bytes(256), bytes(32), bytes(384), b"")
BODY = frame("ballot", CAST, bytes(256))


def ask(
    method: str,
    path: str,
    *,
    ledger: StubLedger | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    query: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Result:
    answers: list[Result] = []

    async def run() -> None:
        async with ASGIConductor(create_app(make_deps(ledger or StubLedger(), **settings))) as conductor:
            answers.append(
                await conductor.simulate_request(
                    method, path, headers=dict(headers or {}), body=body, params=dict(query or {})
                )
            )

    asyncio.run(run())
    return answers[0]


def token() -> str:
    tokens = AccessTokens([TokenKey(jwt_key())], issuer="ballot.test", audience="ballot", lifetime_s=60)
    return f"Bearer {tokens.issue(bytes(16))}"


def refusal(answer: Result) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    assert answer.json.keys() == {"type", "title", "status", "detail", "refusal"}
    return answer.status_code, answer.json["refusal"]


def test_every_answer_says_how_far_the_node_is() -> None:
    assert ask("GET", "/api/_diag/health").headers["ledger-index"] == "7"
    assert ask("GET", "/api/nothing/here").headers["ledger-index"] == "7"


@pytest.mark.parametrize("body", [BODY, b""])
def test_the_answer_to_a_cast_has_no_index_that_a_page_would_send_back_with_its_token(body: bytes) -> None:
    assert "ledger-index" not in ask("POST", "/api/votes", headers=OCTETS, body=body).headers


def test_what_is_not_there_is_a_problem_document() -> None:
    assert refusal(ask("GET", "/api/nothing/here")) == (404, "NotFound")
    assert refusal(ask("GET", "/api/elections/tooshort")) == (404, "NotFound")
    assert refusal(ask("DELETE", "/api/elections")) == (405, "MethodNotAllowed")


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Ledger-Index", "Idempotency-Key"])
@pytest.mark.parametrize("path", ["/api/votes", "/api/votes/unused"])
def test_a_cast_that_could_be_linked_is_refused_before_anything_is_asked(name: str, path: str) -> None:
    ledger = StubLedger()
    answer = ask("POST", path, ledger=ledger, headers={**OCTETS, name: "999"}, body=BODY)
    assert refusal(answer) == (400, "LinkableRequest")
    assert set(ledger.asked) <= {"status"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (422, "MalformedBallot")),
        (BODY[:-1], (422, "MalformedBallot")),
        (BODY + b"x", (422, "MalformedBallot")),
        (bytes(2001), (413, "BodyTooLarge")),
    ],
)
def test_bytes_that_are_no_ballot_never_reach_the_ledger(body: bytes, expected: tuple[int, str]) -> None:
    ledger = StubLedger()
    assert refusal(ask("POST", "/api/votes", ledger=ledger, headers=OCTETS, body=body, max_ballot=2000)) == expected
    assert "submit" not in ledger.asked


def test_a_ballot_of_another_media_type_is_refused() -> None:
    assert refusal(ask("POST", "/api/votes", headers={"Content-Type": "text/plain"}, body=BODY))[0] == 415
    assert refusal(ask("POST", "/api/votes", headers=JSON, body=b'{"ballot":"x"}'))[1] == "MalformedBody"


def test_casts_are_limited_together() -> None:
    async def run() -> list[int]:
        async with ASGIConductor(create_app(make_deps(StubLedger(), votes_per_second=3))) as conductor:
            answers = [await conductor.simulate_post("/api/votes", headers=OCTETS, body=b"x") for _ in range(5)]
        assert answers[-1].headers["retry-after"] == "1"
        return [answer.status_code for answer in answers]

    assert asyncio.run(run()) == [422, 422, 422, 429, 429]


def test_a_body_that_is_too_large_is_refused() -> None:
    large = b'{"email":"' + b"x" * 5000 + b'"}'
    assert refusal(ask("POST", "/api/auth/login", headers=JSON, body=large, max_body=4096)) == (413, "BodyTooLarge")


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{", JSON, (400, "MalformedBody")),
        (b'{"email":"a@b","password":"x","more":1}', JSON, (400, "MalformedBody")),
        (b'{"email":"nobody","password":"12345678"}', JSON, (422, "BadAddress")),
        (b'{"email":"a@b","password":"x"}', {"Content-Type": "text/plain"}, (415, "WrongContentType")),
        (b"", {}, (400, "MalformedBody")),
    ],
)
def test_a_malformed_request_is_refused_by_name(
    body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert refusal(ask("POST", "/api/auth/login", headers=headers, body=body)) == expected


def test_without_redis_nobody_logs_in() -> None:
    body = b'{"email":"a@example.org","password":"12345678"}'
    for path in ("/api/auth/login", "/api/auth/register"):
        answer = ask("POST", path, headers=JSON, body=body)
        assert refusal(answer) == (503, "Unavailable")
        assert int(answer.headers["retry-after"]) > 0
    answer = ask("POST", "/api/auth/refresh", headers=JSON, body=b'{"refresh_token":"' + b"A" * 64 + b'"}')
    assert refusal(answer) == (503, "Unavailable")


@pytest.mark.parametrize("path", ["/api/auth/me", "/api/elections", f"/api/elections/{b64(bytes(16))}/results"])
def test_an_access_token_is_asked_for(path: str) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = ask("GET", path, headers=headers)
        assert refusal(answer) == (401, "NotAuthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert refusal(ask("GET", path, headers={"Authorization": "Bearer x.y.z"})) == (401, "InvalidToken")


def test_without_a_database_what_needs_one_is_unavailable() -> None:
    async def run() -> None:
        deps = make_deps(StubLedger())
        async with ASGIConductor(create_app(deps)) as conductor:
            await deps.db.close()
            answer = await conductor.simulate_get("/api/auth/me", headers={"Authorization": token()})
            assert refusal(answer) == (503, "Unavailable")

    asyncio.run(run())


def test_without_its_ledger_process_a_node_is_not_healthy() -> None:
    ledger = StubLedger()
    ledger.applied = None
    for path in ("/api/_diag/health", "/api/_diag/ready", "/api/ledger/checkpoint"):
        assert refusal(ask("GET", path, ledger=ledger)) == (503, "Unavailable")


def test_a_node_says_that_it_is_well() -> None:
    health = {"status": "ok", "node": 1, "role": "leader", "leader": 1, "term": 1, "commit": 7, "applied": 7}
    assert ask("GET", "/api/_diag/health").json == health | {"member": True}


def test_before_the_first_checkpoint_there_is_none() -> None:
    assert refusal(ask("GET", "/api/ledger/checkpoint")) == (404, "NoCheckpoint")


def test_the_lists_of_members_are_shown_as_the_entries_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = MemoryCluster()
    cluster.replace(1, 4)
    asked: list[tuple[int, int]] = []

    async def found(connection: None, first: int, most: int) -> list[queries.LogEntry]:
        asked.append((first, most))
        return [queries.LogEntry(index, *record(cluster, index)) for index, _ in cluster.lists if index >= first]

    async def applied(connection: None) -> int:
        return len(cluster.entries)

    @asynccontextmanager
    async def reading(services: Services) -> AsyncIterator[None]:
        yield None

    monkeypatch.setattr(Services, "reading", reading)
    monkeypatch.setattr(queries, "membership_entries", found)
    monkeypatch.setattr(queries, "applied", applied)
    for query, first in (({}, 1), ({"from": 2}, 2), ({"from": 99}, 99)):
        answer = ask("GET", "/api/ledger/members", query=query).json
        shown = [(one["index"], unb64(one["header"]), unb64(one["public"])) for one in answer["entries"]]
        assert shown == [(index, *record(cluster, index)) for index, _ in cluster.lists if index >= first]
        assert answer["last"] == len(cluster.entries)
    assert asked == [(1, MOST_LISTS), (2, MOST_LISTS), (99, MOST_LISTS)]
    for bad in ("0", "-1", "x"):
        assert refusal(ask("GET", "/api/ledger/members", query={"from": bad})) == (400, "BadParameter")


def record(cluster: MemoryCluster, index: int) -> tuple[bytes, bytes]:
    entry = cluster.entries[index - 1]
    return entry.header, entry.public


def test_a_client_that_has_seen_more_is_not_answered_from_less() -> None:
    assert ask("GET", "/api/_diag/health", headers={"Ledger-Index": "7"}).status_code == 200
    alone = StubLedger()
    alone.applied = None
    assert refusal(ask("GET", "/api/_diag/health", ledger=alone, headers={"Ledger-Index": "8"})) == (503, "Unavailable")


def test_an_index_beyond_the_end_of_the_log_is_refused_without_waiting() -> None:
    ahead = ask("GET", "/api/_diag/health", headers={"Ledger-Index": str(2**63 - 1)})
    assert refusal(ahead) == (422, "BadRange")


@pytest.mark.parametrize("index", ["-1", "x", "1.0", "99999999999999999999", "٣"])
def test_a_ledger_index_that_is_no_number_is_refused(index: str) -> None:
    headers = {"Ledger-Index": index.encode().decode("latin-1")}
    assert refusal(ask("GET", "/api/_diag/health", headers=headers)) == (400, "BadParameter")


def test_a_linearizable_read_asks_the_majority_first() -> None:
    ledger = StubLedger()
    assert ask("GET", "/api/_diag/health", ledger=ledger, query={"consistency": "linearizable"}).status_code == 200
    assert "read_index" in ledger.asked
    assert refusal(ask("GET", "/api/_diag/health", query={"consistency": "eventual"})) == (400, "BadParameter")


def outsider() -> StubLedger:
    ledger = StubLedger()
    ledger.member = False
    return ledger


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/elections"),
        ("GET", "/api/auth/me"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/votes"),
        ("POST", "/api/_diag/drills/vote"),
        ("GET", "/api/_diag/ready"),
        ("GET", "/api/ledger/checkpoint"),
        ("GET", "/api/ledger/digest"),
    ],
)
def test_a_node_that_is_no_member_refuses_what_is_right_only_as_of_now(method: str, path: str) -> None:
    answer = ask(method, path, ledger=outsider(), headers={"Authorization": token(), **JSON}, body=b"{}")
    assert refusal(answer) == (503, "NotAMember")
    assert answer.headers["retry-after"] == "1"
    assert "up to 7" in answer.json["detail"]


def test_a_node_that_is_no_member_says_so_and_goes_on_showing_its_log() -> None:
    """Its database is not there in this test: 503 with another name is as far as the rest gets."""
    health = ask("GET", "/api/_diag/health", ledger=outsider())
    assert (health.status_code, health.json["member"]) == (200, False)
    assert ask("GET", "/api/openapi.json", ledger=outsider()).status_code == 200
    assert refusal(ask("GET", "/api/ledger/entries", ledger=outsider()))[1] == "Unavailable"
    assert refusal(ask("GET", "/api/ledger/export", ledger=outsider()))[1] == "Unavailable"


@pytest.mark.parametrize("newer", [{"headers": {"Ledger-Index": "8"}}, {"query": {"consistency": "linearizable"}}])
def test_nothing_newer_than_it_has_is_to_be_had_from_a_node_that_is_no_member(newer: dict[str, Any]) -> None:
    assert refusal(ask("GET", "/api/ledger/entries", ledger=outsider(), **newer)) == (503, "NotAMember")


def test_a_node_that_becomes_a_member_is_asked_again() -> None:
    async def run() -> None:
        ledger = outsider()
        async with ASGIConductor(create_app(make_deps(ledger))) as conductor:
            assert refusal(await conductor.simulate_get("/api/_diag/ready")) == (503, "NotAMember")
            ledger.member = True
            await asyncio.sleep(1.5 * FRESH_S)
            assert refusal(await conductor.simulate_get("/api/_diag/ready")) == (503, "Unavailable")

    asyncio.run(run())


def test_every_origin_is_welcome_and_none_may_send_credentials() -> None:
    headers = {"Origin": "https://page.example"}
    for answer in (ask("GET", "/api/_diag/health", headers=headers), ask("GET", "/api/nothing", headers=headers)):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert "Ledger-Index" in answer.headers["access-control-expose-headers"]


PREFLIGHT = {
    "Origin": "https://page.example",
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization, content-type",
}


def test_a_preflight_is_answered_and_remembered() -> None:
    answer = ask("OPTIONS", "/api/auth/identity-key", headers=PREFLIGHT)
    assert answer.status_code == 204
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert int(answer.headers["access-control-max-age"]) > 3600


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/elections/tooshort", "/api/elections", "/api/_diag/health?consistency=x"]
)
def test_a_preflight_of_what_is_refused_is_answered_or_a_page_could_not_read_why(path: str) -> None:
    answer = ask("OPTIONS", path, headers=PREFLIGHT)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")


def test_a_preflight_asks_nobody_anything() -> None:
    gone = StubLedger()
    gone.applied = None
    answer = ask("OPTIONS", "/api/elections?consistency=linearizable", ledger=gone, headers=PREFLIGHT)
    assert answer.status_code == 204 and "read_index" not in gone.asked


def test_options_without_a_preflight_say_what_a_route_takes() -> None:
    answer = ask("OPTIONS", "/api/elections")
    assert answer.status_code == 200 and {"GET", "HEAD", "POST"} <= set(answer.headers["allow"].split(", "))


def test_what_a_cache_keeps_of_a_request_without_an_origin_a_page_may_read_too() -> None:
    assert ask("GET", "/api/openapi.json").headers["access-control-allow-origin"] == "*"


def test_the_log_of_a_cast_names_neither_who_nor_what(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask("POST", "/api/votes", headers=OCTETS, body=BODY[:-1])
    (line,) = [record for record in caplog.records if record.name == "ballot.request"]
    fields = vars(line)
    assert (fields["route"], fields["status"], fields["refusal"]) == ("/api/votes", 422, "MalformedBallot")
    assert not {"request", "ms", "client"} & fields.keys()


def test_the_log_of_a_login_holds_neither_address_nor_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask("POST", "/api/auth/login", headers=JSON, body=b'{"email":"who@example.org","password":"open sesame"}')
    everything = repr([vars(record) for record in caplog.records if record.name.startswith("ballot")])
    assert "ballot.request" in everything
    assert "who@" not in everything and "sesame" not in everything


def claim_body(**changes: bytes) -> bytes:
    lengths = {"election": 32, "bpk": 256, "prefix": 32, "credential": 384, "signature": 256}
    fields = {name: bytes([7]) * length for name, length in lengths.items()} | changes
    return json.dumps({name: b64(value) for name, value in fields.items()}).encode()


@pytest.mark.parametrize("name", ["election", "bpk", "prefix", "credential", "signature"])
def test_a_claim_with_a_field_of_another_length_never_reaches_the_ledger(name: str) -> None:
    ledger = StubLedger()
    answer = ask("POST", "/api/votes/unused", ledger=ledger, headers=JSON, body=claim_body(**{name: bytes(31)}))
    assert refusal(answer) == (422, "BadRequest")
    assert set(ledger.asked) <= {"status"}


def test_claims_are_turned_away_at_the_same_gate_as_casts() -> None:
    ledger = StubLedger()
    answer = ask("POST", "/api/votes/unused", ledger=ledger, headers=JSON, body=claim_body(), at_once=0)
    assert refusal(answer) == (503, "Overloaded")
    assert set(ledger.asked) <= {"status"}


def test_the_log_of_a_claim_names_neither_who_nor_what(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask("POST", "/api/votes/unused", headers=JSON, body=claim_body(prefix=bytes(31)))
    [record] = [record for record in caplog.records if record.name == "ballot.request"]
    fields = vars(record)
    assert (fields["route"], fields["status"], fields["refusal"]) == ("/api/votes/unused", 422, "BadRequest")
    assert not {"request", "ms", "user", "remote", "client"} & fields.keys()
