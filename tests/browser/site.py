"""The page's own server, at another origin than any node, and the test behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

TESTS = Path(__file__).parents[1]
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self' {nodes}"
SCRIPT = "text/javascript"

Told = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@asynccontextmanager
async def serving(genesis: bytes, nodes: list[str], answers: Mapping[str, Told]) -> AsyncIterator[str]:
    """The page's address. What it tells at /tell/NAME goes to `answers[NAME]`, whose result it is answered with.

    Its policy lets it load nothing but its own modules and speak to nobody but the nodes.
    """

    async def tell(request: web.Request) -> web.Response:
        return web.json_response(await answers[request.match_info["name"]](await request.json()))

    async def module(request: web.Request) -> web.Response:
        path = TESTS / request.match_info["path"]
        kind = SCRIPT if path.suffix == ".mjs" else "text/html"
        policy = POLICY.format(nodes=" ".join(nodes))
        return web.Response(body=path.read_bytes(), content_type=kind, headers={"Content-Security-Policy": policy})

    async def pinned(request: web.Request) -> web.Response:
        return web.Response(body=genesis)

    app = web.Application()
    app.router.add_post("/tell/{name}", tell)
    app.router.add_get("/genesis", pinned)
    app.router.add_get(r"/{path:(browser|verifier)/[a-z0-9/]+\.(mjs|html)}", module)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert runner.addresses
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/browser/page.html"
    finally:
        await runner.cleanup()
