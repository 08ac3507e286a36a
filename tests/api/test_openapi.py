"""The OpenAPI document: what the routes are, no more and no less."""

import asyncio
import re
from typing import Any

import pytest
from falcon.asgi import Request, Response
from falcon.inspect import inspect_routes
from falcon.testing import ASGIConductor, Result
from openapi_spec_validator import OpenAPIV31SpecValidator

from ballot.http.app import Application, create_app
from ballot.http.describe import operation_of, route
from ballot.http.openapi import document
from ballot.http.problems import REFUSALS, Refused
from tests.api.test_app import ask, refusal
from tests.support.services import StubLedger, make_deps

MAIL = "/api/elections/AAAAAAAAAAAAAAAAAAAAAA/mail"


@pytest.fixture(scope="module")
def app() -> Application:
    return create_app(make_deps(StubLedger()))


@pytest.fixture(scope="module")
def described(app: Application) -> dict[str, Any]:
    return document(app.described)


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, item in described["paths"].items() for method, one in item.items()]


def test_every_route_is_in_the_document_and_everything_in_the_document_is_a_route(
    app: Application, described: dict[str, Any]
) -> None:
    routed = {
        (re.sub(r":b64\(\d+\)", "", route.path), method.method.lower())
        for route in inspect_routes(app)
        for method in route.methods
        if not method.internal
    }
    documented = {(path, method) for path, method, _ in operations(described)}
    reads = {(path, "head") for path, method in documented if method == "get"}
    assert routed == documented | reads


def test_the_document_is_openapi(described: dict[str, Any]) -> None:
    assert described["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(described).validate()


def test_the_document_is_served_as_it_is_made(described: dict[str, Any]) -> None:
    assert ask("GET", "/api/openapi.json").json == described


def test_a_route_that_says_nothing_of_itself_is_not_taken(app: Application) -> None:
    class Silent:
        async def on_get(self, req: Request, resp: Response) -> None: ...

    with pytest.raises(TypeError, match="no description"):
        app.add_route("/api/silent", Silent())


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    names = [one["operationId"] for _, _, one in operations(described)]
    assert len(names) == len(set(names))


def test_every_refusal_in_the_document_has_the_status_it_is_listed_under(described: dict[str, Any]) -> None:
    for path, method, one in operations(described):
        for status, response in one["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/problem+json"]["schema"]["allOf"][1]
                for name in schema["properties"]["refusal"]["enum"]:
                    assert REFUSALS[name][0] == int(status), (path, method, name)


def test_who_needs_a_token_can_be_read_from_the_document(described: dict[str, Any]) -> None:
    by_name = {one["operationId"]: one for _, _, one in operations(described)}
    assert by_name["cast"]["security"] == [] and by_name["cast"]["x-who"] == "nobody"
    assert by_name["elections"]["security"] == [{"bearer": []}]
    assert by_name["electionEvents"]["security"] == [{}, {"bearer": []}]
    assert "401" in by_name["elections"]["responses"] and "401" not in by_name["cast"]["responses"]


def test_links_lead_to_operations_and_their_parameters(described: dict[str, Any]) -> None:
    by_name = {one["operationId"]: one for _, _, one in operations(described)}
    for _, _, one in operations(described):
        for response in one["responses"].values():
            for link in response.get("links", {}).values():
                taken = {parameter.get("name") for parameter in by_name[link["operationId"]]["parameters"]}
                assert set(link["parameters"]) <= taken


def test_every_post_that_appends_takes_an_idempotency_key_except_a_cast(described: dict[str, Any]) -> None:
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    with_key = {one["operationId"] for _, _, one in operations(described) if key in one["parameters"]}
    assert with_key == {
        *("draftElection", "amendElection", "addToRoll", "openElection", "closeElection", "cancelElection"),
        *("orderMail", "issueCredential", "changePassword", "grantRole", "verifyCode", "resetPassword"),
        *("inviteTrustee", "withdrawTrustee", "enrolTrustee", "releaseTrusteeKey"),
        *("eraseSelf", "eraseUser"),
    }


def test_only_answers_that_are_the_same_for_everybody_are_packed(app: Application) -> None:
    """BREACH: where a secret and another's text are packed together, the length tells of the secret."""
    packed = {operation.id for _, _, operation in app.described if operation.gzip}
    assert packed == {"board", "entries", "members", "openapi", "results"}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/ledger/entries", {"form": "1"}),
        ("/api/ledger/entries", {"from": ["1", "2"]}),
        ("/api/ledger/entries", {"from": "0"}),
        ("/api/ledger/entries", {"from": "99999999999999999999"}),
        ("/api/ledger/entries", {"from": " 1"}),
        ("/api/ledger/entries", {"to": "x"}),
        ("/api/ledger/proof/inclusion", {"index": "1"}),
        ("/api/ledger/checkpoint", {"any": "thing"}),
        ("/api/elections", {"status": "null"}),
        ("/api/elections", {"cursor": "null"}),
        ("/api/elections", {"cursor": "AAAAAAAAAAB"}),
        (MAIL, {"kind": "code"}),
        (MAIL, {"state": "claimed"}),
        (MAIL, {"limit": "1001"}),
        (MAIL, {"cursor": "AAAAAAAAAAAAAAAAAAAAAA"}),
        (MAIL, {"cursor": "AAAAAAAAAAAAAAAAAAAAAA.code"}),
    ],
)
def test_a_query_that_is_not_described_is_refused(path: str, query: dict[str, Any]) -> None:
    assert refusal(ask("GET", path, query=query)) == (400, "BadParameter")


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/api/elections", {"cursor": "x"}, "what `next` said on the page before"),
        (MAIL, {"cursor": "x"}, "what `next` said on the page before"),
        ("/api/elections/AAAAAAAAAAAAAAAAAAAAAA/ballots", {"after": "x"}, "32 bytes in base64url"),
    ],
)
def test_what_a_parameter_must_look_like_is_said_in_words(path: str, query: dict[str, Any], expected: str) -> None:
    detail = ask("GET", path, query=query).json["detail"]
    assert expected in detail and next(iter(query)) in detail
    assert "regex" not in detail and "A-Z" not in detail


def test_what_a_field_must_look_like_is_said_in_words() -> None:
    body = b'{"challenge": "AAAA", "code": "12345"}'
    answer = ask("POST", "/api/auth/otp/verify", headers={"Content-Type": "application/json"}, body=body)
    assert answer.json["detail"] == "Expected 6 or 12 digits - at `$.code`"


def test_every_pattern_in_the_document_is_said_in_words_too(app: Application) -> None:
    """Ids, whose form is that of all ids, and the addresses of routes apart."""
    for path, method, one in operations(document(app.described)):
        for parameter in one["parameters"]:
            schema = parameter.get("schema", {})
            if parameter.get("in") == "query" and "pattern" in str(schema):
                assert "description" in str(schema), (path, method, parameter["name"])


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "rubbish"])
def test_who_takes_no_answer_of_ours_is_told_so(accept: str) -> None:
    assert refusal(ask("GET", "/api/_diag/health", headers={"Accept": accept})) == (406, "NotAcceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/*;q=0.1"])
def test_who_takes_our_answer_gets_it(accept: str) -> None:
    assert ask("GET", "/api/_diag/health", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 129, "\xe9", "a\tb", "\x7f"])
def test_an_idempotency_key_is_a_short_line_of_ascii(key: str) -> None:
    answer = ask("POST", "/api/elections", headers={"Idempotency-Key": key, "Content-Type": "application/json"})
    assert refusal(answer) == (400, "BadParameter")


def test_a_head_says_what_a_get_would_without_saying_it() -> None:
    get, head = ask("GET", "/api/_diag/health"), ask("HEAD", "/api/_diag/health")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == str(len(get.content))


def test_what_a_route_takes_is_in_allow() -> None:
    assert set(ask("OPTIONS", "/api/elections").headers["allow"].split(", ")) >= {"GET", "HEAD", "POST"}
    answer = ask("DELETE", "/api/elections")
    assert refusal(answer) == (405, "MethodNotAllowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_responder_is_held_to_its_description() -> None:
    from ballot.http.auth import Login
    from ballot.http.parse import answer

    operation = operation_of(Login.on_post)
    assert operation is not None
    resp = Response()
    resp.context.operation = operation
    with pytest.raises(AssertionError):
        answer(resp, {"other": "shape"}, 202)


def test_a_refusal_outside_the_description_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Odd:
        @route("odd", "Refuses what it does not say", "anyone", {204: None})
        async def on_get(self, req: Request, resp: Response) -> None:
            raise Refused("TooLate", "after all")

    answers: list[Result] = []

    async def run() -> None:
        app = create_app(make_deps(StubLedger()))
        app.add_route("/api/odd", Odd())
        async with ASGIConductor(app) as conductor:
            answers.append(await conductor.simulate_get("/api/odd"))

    asyncio.run(run())
    assert refusal(answers[0]) == (409, "TooLate")
    assert "a refusal that its route does not describe" in caplog.text
    caplog.clear()
    assert ask("GET", "/api/ledger/checkpoint").status_code == 404
    assert "does not describe" not in caplog.text
