"""ETag and 304, gzip: spared and smaller answers."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from falcon.asgi import Request

from ballot.http.caching import _packed, accepts_gzip
from ballot.ledger.submit import Unavailable
from tests.api.test_app import ask
from tests.support.services import StubLedger

DOCUMENT = "/api/openapi.json"


def request(accept_encoding: str) -> Request:
    headers = [(b"accept-encoding", accept_encoding.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    return Request({**scope, "http_version": "1.1"}, receive)


def test_what_has_not_changed_is_not_sent_again() -> None:
    first = ask("GET", DOCUMENT)
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    assert first.headers["cache-control"] == "public, no-cache"
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = ask("GET", DOCUMENT, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag


@pytest.mark.parametrize("known", ['"other"', "rubbish", "", 'W/"', "\xff"])
def test_what_has_changed_is_sent(known: str) -> None:
    assert ask("GET", DOCUMENT, headers={"If-None-Match": known}).status_code == 200


def test_an_answer_that_may_not_be_kept_says_so() -> None:
    assert ask("GET", "/api/_diag/health").headers["cache-control"] == "no-store"


def test_an_error_has_no_etag() -> None:
    class Gone(StubLedger):
        async def checkpoint(self) -> bytes:
            raise Unavailable("gone")

    answer = ask("GET", "/api/ledger/checkpoint", ledger=Gone(), headers={"If-None-Match": "*"})
    assert answer.status_code == 503 and "etag" not in answer.headers


def test_an_answer_is_packed_for_whoever_can_unpack_it() -> None:
    plain = ask("GET", DOCUMENT)
    packed = ask("GET", DOCUMENT, headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 4
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] == packed.headers["etag"]


def test_a_small_answer_and_an_answer_to_one_person_go_as_they_are() -> None:
    for path in ("/api/_diag/health", "/api/auth/jwks"):
        assert "content-encoding" not in ask("GET", path, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("wanted", ["gzip", "GZIP", "deflate, gzip;q=0.5", "*", "gzip; q=1", "br;q=1, *;q=0.1"])
def test_gzip_is_wanted(wanted: str) -> None:
    assert accepts_gzip(request(wanted))


@pytest.mark.parametrize("unwanted", ["", "br", "identity", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "xgzip"])
def test_gzip_is_not_wanted(unwanted: str) -> None:
    assert not accepts_gzip(request(unwanted))


def test_a_stream_is_packed_as_it_goes() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"line\n" * 1000

    async def run() -> bytes:
        return b"".join([piece async for piece in _packed(pieces())])

    assert gzip.decompress(asyncio.run(run())) == b"line\n" * 3000
