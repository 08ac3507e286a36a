"""What need not be sent again, and what is sent smaller: ETag and If-None-Match, gzip.

Both only where a route says so. Packing is for answers that are the same for everybody who may see them and reflect
nothing of the request: where a secret and somebody else's text are packed together, the length tells of the secret
(BREACH), so nothing that holds a token, an address or one user's view of an election is ever packed.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

from falcon import ETag
from falcon.asgi import Request, Response

from .describe import Operation
from .parse import b64

LEAST_BYTES = 1000
LEVEL = 5
GZIP_BITS = 31


class Caching:
    """Falcon middleware."""

    async def process_response(self, req: Request, resp: Response, resource: object, succeeded: bool) -> None:
        operation: Operation | None = getattr(req.context, "operation", None)
        if operation is None or not succeeded or resp.status_code != 200:
            return
        if operation.etag:
            _revalidate(req, resp)
        if operation.gzip:
            resp.append_header("Vary", "Accept-Encoding")
            if resp.status_code == 200 and accepts_gzip(req):
                await _pack(resp)


def _revalidate(req: Request, resp: Response) -> None:
    """Names the answer's state, unless the responder did, and answers 304 to whoever has it."""
    if resp.get_header("ETag") is None:
        # Weak: the same state may go out packed or not.
        resp.set_header("ETag", f'W/"{b64(sha256(resp.data or b"").digest()[:18])}"')
    whose = "private" if req.get_header("Authorization") else "public"
    resp.set_header("Cache-Control", f"{whose}, no-cache")
    own = ETag.loads(resp.get_header("ETag") or "")
    if any(known == "*" or str(known) == str(own) for known in req.if_none_match or ()):
        resp.status = 304
        resp.data = resp.stream = None


def accepts_gzip(req: Request) -> bool:
    """Whether Accept-Encoding names gzip, or everything, with a weight above 0 (RFC 9110, section 12.5.3)."""
    weights: dict[str, str] = {}
    for part in (req.get_header("Accept-Encoding") or "").lower().split(","):
        coding, _, parameter = part.partition(";")
        weights[coding.strip()] = parameter.replace(" ", "").removeprefix("q=") or "1"
    weight = weights.get("gzip", weights.get("*", "0"))
    return weight.strip("0.") != ""


async def _pack(resp: Response) -> None:
    # In a thread, where packing lets go of the interpreter's lock.
    if resp.data is not None and len(resp.data) >= LEAST_BYTES:
        resp.data = await asyncio.to_thread(zlib.compress, resp.data, LEVEL, GZIP_BITS)
    elif resp.stream is not None:
        resp.stream = _packed(resp.stream)
    else:
        return
    resp.set_header("Content-Encoding", "gzip")


async def _packed(pieces: Any) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_BITS)
    async for piece in pieces:
        if packed := await asyncio.to_thread(packer.compress, piece):
            yield packed
    yield packer.flush()
