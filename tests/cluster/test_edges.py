"""HTTP as it should not be, over raw sockets to real gunicorn: one meaning or a refusal, and no one holds it up."""

import json
import socket
import statistics
import time
import urllib.request
from collections.abc import Iterator

import pytest

from ballot import worker
from ballot.client.api import b64
from tests.support.town import Town

pytestmark = pytest.mark.cluster

HOST = b"Host: node\r\n"
CLOSE = HOST + b"Connection: close\r\n"
GET = b"GET /api/_diag/health HTTP/1.1\r\n"
POST = b"POST /api/auth/logout HTTP/1.1\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = GET + CLOSE + b"\r\n"
TWINS = b'{"refresh_token":"a","refresh_token":"bcdef"}'
HUNDRED = 100
PATIENCE_S = 120


class Node:
    def __init__(self, town: Town) -> None:
        self.url = town.cluster.nodes[0].url
        self.address = town.cluster.nodes[0].settings.http

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=PATIENCE_S)
        connection.sendall(data)
        return connection

    def ask(self, data: bytes, *, hang_up: bool = False) -> bytes:
        """Everything that comes back until the server closes."""
        with self.connect(data) as connection:
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def refusal(self, data: bytes) -> tuple[int, str]:
        """(status, refusal) of the only answer."""
        answer = self.ask(data)
        assert answer.count(b"HTTP/1.1 ") == 1, answer
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        problem = json.loads(body)
        assert int(head.split(b" ")[1]) == problem["status"]
        return problem["status"], problem["refusal"]

    def latency_s(self, times: int = 40) -> float:
        """The median of so many requests of somebody else."""
        found = []
        for _ in range(times):
            began = time.monotonic()
            urllib.request.urlopen(f"{self.url}/api/_diag/health", timeout=PATIENCE_S).read()
            found.append(time.monotonic() - began)
        return statistics.median(found)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(1 << 20):
            received += part
    except ConnectionResetError:
        pass
    return received


@pytest.fixture(scope="module")
def node(town: Town) -> Iterator[Node]:
    yield Node(town)


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + CLOSE + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + b"Content-Length: 2, 2\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + b"Content-Length: 0x2\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + b"Content-Length: -1\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + b"Content-Length : 2\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST.replace(b"1.1", b"1.0") + CLOSE + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + b"X: a\r\n Content-Length: 2\r\n\r\n{}" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"\r\n+2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"\r\n 2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"\r\n2\r\n{}XX0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"\r\n2\n{}\n0\n\n" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"\r\n2;a=\r0\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
        POST + CLOSE + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
        GET.replace(b"\r\n", b"\n") + HOST + b"\r\n",
        GET + b"Connection: close\r\n\r\n",
        GET + HOST + CLOSE + b"\r\n",
        GET + CLOSE + b"X: a\0b\r\n\r\n",
        GET + CLOSE + b"X: a\rb\r\n\r\n",
        GET + CLOSE + b"X y: a\r\n\r\n",
        GET + CLOSE + b"no colon\r\n\r\n",
        b"GET /api/_diag/health\r\n\r\n",
        b"GET  /api/_diag/health HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /api/\xff HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /api/_diag/health HTTP/1.1 HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"get /api/_diag/health HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_two_servers_could_read_differently_is_refused_and_the_connection_closed(
    node: Node, request_bytes: bytes
) -> None:
    """RFC 9112, section 11.2: the smuggled request behind it is never answered."""
    assert node.refusal(request_bytes) == (400, "MalformedRequest")


def test_an_unknown_transfer_coding_is_refused(node: Node) -> None:
    request = POST + CLOSE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"
    assert node.refusal(request) == (501, "UnknownTransferCoding")


def test_requests_one_behind_the_other_are_answered_each(node: Node) -> None:
    answer = node.ask((GET + HOST + b"\r\n") * 4 + GET + CLOSE + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 5


def test_a_chunked_body_is_a_body(node: Node) -> None:
    body = b'{"refresh_token":"x"}'
    request = POST + CLOSE + CHUNKED + b"\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    assert node.ask(request).startswith(b"HTTP/1.1 204 ")


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n", (414, "AddressTooLong")),
        (GET + CLOSE + b"".join(b"X-%d: 1\r\n" % i for i in range(500)) + b"\r\n", (431, "HeadersTooLarge")),
        (GET + CLOSE + b"X: " + b"a" * 9000 + b"\r\n\r\n", (431, "HeadersTooLarge")),
        (GET + CLOSE + b"X: " + b"a" * 100_000, (431, "HeadersTooLarge")),
        (POST + CLOSE + b"Content-Length: 99999999999\r\n\r\n{", (413, "BodyTooLarge")),
        (POST + CLOSE + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", (413, "BodyTooLarge")),
        (POST + CLOSE + CHUNKED + b"\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 8, (413, "BodyTooLarge")),
        (POST + CLOSE + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", (415, "WrongContentType")),
        (POST + CLOSE + b"Content-Length: 60000\r\n\r\n" + b"[" * 60000, (400, "MalformedBody")),
        (POST + CLOSE + b"Content-Length: 21\r\n\r\n" + b'{"refresh_token":"\xff"}', (400, "MalformedBody")),
        (POST + CLOSE + b"Content-Length: 45\r\n\r\n" + TWINS, (400, "MalformedBody")),
        (b"BREW /api/_diag/health HTTP/1.1\r\n" + CLOSE + b"\r\n", (400, "MalformedRequest")),
        (b"TRACE /api/_diag/health HTTP/1.1\r\n" + CLOSE + b"\r\n", (405, "MethodNotAllowed")),
        (b"CONNECT node:1 HTTP/1.1\r\n" + CLOSE + b"\r\n", (404, "NotFound")),
        (b"GET /api/%ff%fe%00 HTTP/1.1\r\n" + CLOSE + b"\r\n", (404, "NotFound")),
        (b"GET /api/../api/_diag/health HTTP/1.1\r\n" + CLOSE + b"\r\n", (404, "NotFound")),
        (b"GET /api//_diag/health HTTP/1.1\r\n" + CLOSE + b"\r\n", (404, "NotFound")),
    ],
)  # fmt: skip
def test_what_is_too_large_or_makes_no_sense_is_refused_by_name(
    node: Node, request_bytes: bytes, expected: tuple[int, str]
) -> None:
    assert node.refusal(request_bytes) == expected


def test_a_refusal_of_the_server_quotes_nothing_of_the_request(node: Node) -> None:
    assert b"secret" not in node.ask(GET + CLOSE + b"secret-token\r\n\r\n")


def test_nobody_is_kept_waiting_for_leave_to_send_a_body(node: Node) -> None:
    with node.connect(POST + HOST + b"Expect: 100-continue\r\nContent-Length: 21\r\n\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"refresh_token":"x"}')
        assert connection.recv(1000).startswith(b"HTTP/1.1 204 ")


def test_an_upgrade_to_websockets_is_refused(node: Node) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    assert node.ask(GET + HOST + upgrade + key + b"\r\n").startswith(b"HTTP/1.1 403 ")


def test_a_client_that_goes_away_in_the_middle_of_a_roll_adds_nobody(node: Node, town: Town) -> None:
    draft = town.run(town.draft([]))
    path = f"/api/elections/{b64(draft)}/roll"
    token = town.organiser_account.api.bearer
    head = f"POST {path} HTTP/1.1\r\nContent-Type: text/csv\r\nAuthorization: Bearer {token}\r\n".encode()
    node.ask(head + CLOSE + CHUNKED + b"\r\n12\r\none@example.org\n\r\n\r\n", hang_up=True)
    node.ask(head + CLOSE + b"Content-Length: 100\r\n\r\none@example.org\n", hang_up=True)
    time.sleep(0.5)
    shown = town.run(town.organiser_account.api.ask("GET", f"/api/elections/{b64(draft)}")).json()
    assert shown["roll_size"] == 0


def test_slow_and_silent_clients_hold_nobody_up(node: Node) -> None:
    """A hundred who never finish their head, a hundred who never finish their body, ten who never read: others are
    served meanwhile, and whoever has sent no head in time is told so and cut off. Who had to wait for these would wait
    for as long as they are borne with."""
    heads = [node.connect(GET + HOST) for _ in range(HUNDRED)]
    bodies = [node.connect(POST + HOST + b"Content-Length: 100\r\n\r\n{") for _ in range(HUNDRED)]
    readers = [node.connect((b"GET /api/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 300) for _ in range(10)]
    try:
        for body in bodies:
            body.sendall(b" ")
        assert node.latency_s() < 0.1 * worker.HEAD_S
        for head in heads:
            assert b'"RequestTimeout"' in read_all(head)
    finally:
        for connection in (*heads, *bodies, *readers):
            connection.close()
