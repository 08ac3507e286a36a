"""The thin HTTP client: JSON and octets to any node, problem documents back as exceptions.

Two kinds of connection are kept strictly apart. A user's requests go over kept connections, with the access token
and the newest ledger index seen. A cast and every reading of the public log go over a fresh connection each and
carry nothing that says who sends them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
import random
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import urlencode

import aiohttp

TIMEOUT_S = 15.0
PATIENCE_S = 45.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0

T = TypeVar("T")


class Refused(Exception):
    """The server's final word on a request; `refusal` is the domain's name for the reason."""

    def __init__(self, status: int, refusal: str, detail: str) -> None:
        super().__init__(f"{status} {refusal}: {detail}")
        self.status, self.refusal, self.detail = status, refusal, detail


class NoAnswer(Exception):
    """Nothing settled: no connection, no majority, too many requests. Whatever was asked may or may not be done."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Reply:
    """An answer of status 2xx. `index` is the ledger position that the answering node had reached."""

    status: int
    index: int
    body: bytes

    def json(self) -> Any:
        """Raises NoAnswer when the body is not JSON, which no node of ours sends."""
        try:
            return read_json(self.body)
        except ValueError as error:
            raise NoAnswer("the answer is not JSON") from error


def read_json(data: bytes) -> Any:
    """A server's JSON. Raises ValueError, also for what is nested too deep and for numbers that are infinite."""
    try:
        return json.loads(data, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"JSON has no {text}")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def b64(data: bytes) -> str:
    """base64url without padding, as the API writes every binary value."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes whose `b64` this is. Raises ValueError for any other spelling."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64url") from error
    if b64(data) != text:
        raise ValueError("base64url that is not canonical")
    return data


class Line:
    """Connections to the nodes of one cluster, for everybody in this process. An async context manager.

    `urls` are the nodes' addresses, with or without /api, or one of a gateway; a node is named by its place in that
    list. `tls` trusts their certificates, where the system's own authorities do not.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not urls:
            raise ValueError("a cluster has at least one node")
        self.urls = [url.rstrip("/").removesuffix("/api") for url in urls]
        self._timeout_s, self._patience_s, self._tls = timeout_s, patience_s, tls

    async def __aenter__(self) -> Self:
        self._kept = self._session(force_close=False)
        self._fresh = self._session(force_close=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._kept.close()
        await self._fresh.close()

    def _session(self, *, force_close: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=force_close, ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )

    async def send(
        self,
        node: int,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        fresh: bool = False,
    ) -> Reply:
        """One request to one node. Raises Refused, NoAnswer."""
        session = self._fresh if fresh else self._kept
        try:
            async with session.request(method, self.urls[node] + path, data=body, headers=headers) as response:
                content = await response.read()
                status, answer = response.status, response.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(f"{method} {path}: {str(error) or type(error).__name__}") from error
        if status >= 400:
            raise _failure(status, answer.get("Retry-After", ""), content)
        return Reply(status, _number(answer.get("Ledger-Index", "")), content)

    async def persist(self, attempt: Callable[[int], Awaitable[T]], first: int = 0) -> T:
        """Makes the attempt at one node after another, from `first` on, until one answers.

        After every round without an answer it waits, ever longer and at least as long as the nodes ask for. Raises
        Refused at once, and the last NoAnswer once waiting would exceed the patience.
        """
        deadline = time.monotonic() + self._patience_s
        pause = FIRST_PAUSE_S
        while True:
            waits = []
            for turn in range(len(self.urls)):
                try:
                    return await attempt((first + turn) % len(self.urls))
                except NoAnswer as error:
                    failure = error
                    waits.append(error.retry_after_s)
            # A node that names no time may be back at any moment; else the most hopeful one counts.
            wait = max(min(waits), pause) * random.uniform(1.0, 1.2)
            if time.monotonic() + wait > deadline:
                raise failure
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_S)


class Api:
    """One user's requests, tried at the nodes in turn from `first` on.

    `bearer`, the access token, is sent once it is set, and `index`, so that no node answers from a state older than one
    seen.
    """

    def __init__(self, line: Line, first: int = 0) -> None:
        self._line, self._first = line, first
        self.bearer = ""
        self.index = 0

    async def ask(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        *,
        body: bytes | None = None,
        media: str = "application/json",
    ) -> Reply:
        """A request with a JSON body, or with `body` as it is. Safe to repeat: a POST carries an Idempotency-Key.

        Raises Refused, NoAnswer.
        """
        content = body if json_body is None else json.dumps(json_body).encode()
        headers = {} if content is None else {"Content-Type": media}
        if method == "POST":
            headers["Idempotency-Key"] = secrets.token_hex(16)
        if self.bearer:
            headers["Authorization"] = f"Bearer {self.bearer}"
        if self.index:
            headers["Ledger-Index"] = str(self.index)
        reply = await self._line.persist(
            lambda node: self._line.send(node, method, path, headers=headers, body=content), self._first
        )
        self.index = max(self.index, reply.index)
        return reply


class Public:
    """Requests of nobody in particular: casts, and readings of the public log. Each over a fresh connection."""

    def __init__(self, line: Line, first: int = 0) -> None:
        self._line, self._first = line, first

    async def get(
        self, path: str, query: Mapping[str, int] | None = None, check: Callable[[Reply], None] | None = None
    ) -> Reply:
        """Tried at the nodes in turn, past those that are behind: they refuse with BadRange, or `check` raises
        NoAnswer.

        Raises Refused, NoAnswer.
        """

        async def attempt(node: int) -> Reply:
            try:
                reply = await self.get_at(node, path, query)
            except Refused as error:
                if error.refusal == "BadRange":
                    raise NoAnswer(str(error)) from error
                raise
            if check is not None:
                check(reply)
            return reply

        return await self._line.persist(attempt, self._first)

    async def get_at(self, node: int, path: str, query: Mapping[str, int] | None = None) -> Reply:
        """One try at one node. Raises Refused, NoAnswer."""
        where = f"{path}?{urlencode(query)}" if query else path
        return await self._line.send(node, "GET", where, fresh=True)

    @property
    def nodes(self) -> list[int]:
        """All nodes, in the order in which they are asked."""
        count = len(self._line.urls)
        return [(self._first + turn) % count for turn in range(count)]

    async def cast(self, body: bytes, node: int) -> Reply:
        """One try at one node; the same bytes may be sent to any other afterwards. Raises Refused, NoAnswer."""
        headers = {"Content-Type": "application/octet-stream"}
        return await self._line.send(node, "POST", "/api/votes", headers=headers, body=body, fresh=True)

    async def claim(self, fields: Mapping[str, str]) -> Reply:
        """A claim of an unused credential, tried at the nodes in turn: sent again it is recorded once.

        Raises Refused, NoAnswer.
        """
        headers, body = {"Content-Type": "application/json"}, json.dumps(fields).encode()

        async def attempt(node: int) -> Reply:
            return await self._line.send(node, "POST", "/api/votes/unused", headers=headers, body=body, fresh=True)

        return await self._line.persist(attempt, self._first)


def _failure(status: int, retry_after: str, content: bytes) -> Refused | NoAnswer:
    problem: Any = {}
    try:
        problem = read_json(content)
    except ValueError:
        problem = {"detail": content[:200].decode(errors="replace")}
    if not isinstance(problem, dict):
        problem = {}
    refusal, detail = str(problem.get("refusal", "")), str(problem.get("detail", ""))
    if status >= 500 or status == 429:
        return NoAnswer(f"{status} {refusal}: {detail}", float(_number(retry_after)))
    return Refused(status, refusal, detail)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
