"""The HTTP client against a small real server: what is sent, what comes back as which exception."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from ballot.client.api import Api, Line, NoAnswer, Public, Refused, Reply, b64, unb64

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Use = Callable[[Line], Awaitable[Any]]


def run(use: Use, *handlers: Handler, patience_s: float = 2.0) -> Any:
    """`use(line)` on a line to one server a handler; a handler of None is an address where nobody listens."""

    async def inner() -> Any:
        runners, urls = [], []
        for handler in handlers:
            server = web.Application()
            server.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(server)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            runners.append(runner)
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        try:
            async with Line(urls, patience_s=patience_s) as line:
                return await use(line)
        finally:
            for runner in runners:
                await runner.cleanup()

    return asyncio.run(inner())


async def fine(request: web.Request) -> web.Response:
    answer = {"method": request.method, "path": request.path_qs}
    return web.json_response(answer, headers={"Ledger-Index": "7", "Set-Cookie": "a=b"})


async def unavailable(request: web.Request) -> web.Response:
    problem = {"refusal": "Unavailable", "detail": "no majority"}
    return web.json_response(problem, status=503, headers={"Retry-After": "0"})


async def refusing(request: web.Request) -> web.Response:
    problem = {"status": 409, "refusal": "AlreadyCast", "detail": "spent"}
    return web.json_response(problem, status=409, content_type="application/problem+json")


def test_an_answer_carries_status_ledger_index_and_json() -> None:
    reply: Reply = run(lambda line: Public(line).get("/api/ledger/entries", {"from": 1, "to": 2}), fine)
    assert (reply.status, reply.index) == (200, 7)
    assert reply.json() == {"method": "GET", "path": "/api/ledger/entries?from=1&to=2"}


def test_a_problem_document_becomes_a_refusal() -> None:
    with pytest.raises(Refused) as caught:
        run(lambda line: Public(line).cast(b"body", 0), refusing)
    assert (caught.value.status, caught.value.refusal, caught.value.detail) == (409, "AlreadyCast", "spent")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_answer_that_settles_nothing_is_no_answer(status: int) -> None:
    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=status, text="<html>", headers={"Retry-After": "3"})

    with pytest.raises(NoAnswer) as caught:
        run(lambda line: Public(line).cast(b"body", 0), busy)
    assert caught.value.retry_after_s == 3


def test_a_refused_connection_is_no_answer() -> None:
    async def use(line: Line) -> Reply:
        line.urls = ["http://127.0.0.1:1"]
        return await line.send(0, "GET", "/")

    with pytest.raises(NoAnswer, match=r"^GET /: Cannot connect to host 127\.0\.0\.1:1 "):
        run(use, fine)


def test_a_request_goes_on_to_the_next_node_when_one_has_no_answer() -> None:
    reply: Reply = run(lambda line: Api(line).ask("GET", "/api/auth/me"), unavailable, fine)
    assert reply.status == 200


def test_a_refusal_is_final_and_no_other_node_is_asked() -> None:
    with pytest.raises(Refused):
        run(lambda line: Api(line).ask("GET", "/api/auth/me"), refusing, fine)


def test_a_node_that_is_behind_is_passed_over() -> None:
    async def behind(request: web.Request) -> web.Response:
        return web.json_response({"refusal": "BadRange", "detail": "applied 3 entries"}, status=422)

    assert run(lambda line: Public(line).get("/"), behind, fine).status == 200
    with pytest.raises(NoAnswer, match="applied 3"):
        run(lambda line: Public(line).get("/"), behind, behind, patience_s=0.2)


def test_an_answer_that_is_not_yet_the_one_wanted_is_passed_over() -> None:
    seen: list[int] = []

    def second(reply: Reply) -> None:
        seen.append(reply.index)
        if len(seen) < 2:
            raise NoAnswer("not yet")

    assert run(lambda line: Public(line).get("/", None, second), fine, fine).status == 200
    assert len(seen) == 2


def test_trying_ends_when_no_node_answers_in_time() -> None:
    with pytest.raises(NoAnswer, match="no majority"):
        run(lambda line: Api(line).ask("GET", "/api/auth/me"), unavailable, unavailable, patience_s=0.3)


def test_a_retry_waits_as_long_as_the_most_hopeful_node_asks() -> None:
    async def later(request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "60"})

    with pytest.raises(NoAnswer):
        run(lambda line: Api(line).ask("GET", "/"), later, later, patience_s=30)


def test_a_node_comes_back() -> None:
    seen: list[str] = []

    async def third_time(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Idempotency-Key"])
        return await (fine(request) if len(seen) == 3 else unavailable(request))

    reply: Reply = run(lambda line: Api(line).ask("POST", "/api/elections", {"title": "t"}), third_time)
    assert reply.json()["method"] == "POST"
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_a_user_sends_the_token_and_the_newest_index_seen() -> None:
    headers: list[dict[str, str]] = []

    async def note(request: web.Request) -> web.StreamResponse:
        headers.append(dict(request.headers))
        return await fine(request)

    async def use(line: Line) -> None:
        api = Api(line)
        await api.ask("GET", "/1")
        api.bearer = "abc"
        await api.ask("GET", "/2")

    run(use, note)
    assert not {"Authorization", "Ledger-Index"} & headers[0].keys()
    assert headers[1]["Authorization"] == "Bearer abc"
    assert headers[1]["Ledger-Index"] == "7"


def test_a_cast_goes_over_a_fresh_connection_and_says_nothing_of_its_sender() -> None:
    seen: list[tuple[Any, dict[str, str], bytes]] = []

    async def note(request: web.Request) -> web.StreamResponse:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        seen.append((peer, dict(request.headers), await request.read()))
        return await fine(request)

    async def use(line: Line) -> None:
        api = Api(line)
        api.bearer, api.index = "abc", 5
        await api.ask("GET", "/api/auth/me")
        for _ in range(2):
            await Public(line).cast(b"body", 0)

    run(use, note)
    assert len({peer for peer, _, _ in seen}) == 3
    for _, headers, body in seen[1:]:
        assert not {"Authorization", "Cookie", "Ledger-Index", "Idempotency-Key"} & headers.keys()
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["Connection"].lower() == "close"
        assert body == b"body"


def test_an_answer_that_is_not_json_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="not JSON"):
        Reply(200, 0, b"<html>").json()


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_binary_values_are_base64url_without_padding(data: bytes) -> None:
    assert b64(data) == base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert unb64(b64(data)) == data


@pytest.mark.parametrize("text", ["YQ==", "YR", "Y", "a+b/", "a b", "ä"])
def test_other_spellings_of_binary_values_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        unb64(text)
