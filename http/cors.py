"""CORS: a page of any origin may ask, and may read what it is answered, refusals too."""

from __future__ import annotations

from falcon.asgi import Request, Response

METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
EXPOSED = (
    *("Ledger-Index", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
    *("ETag", "X-Request-Id", "WWW-Authenticate"),
)
REMEMBERED_S = 86_400
"""How long a browser may remember what a preflight said; it does so for each address by itself."""


class Cors:
    """Falcon middleware. Open to every origin, without credentials: no cookie is ever used.

    Falcon's own asks the route about a preflight. Where there is none, or the node cannot serve now, the preflight is
    refused, and then a browser tells its page nothing at all: neither what was wrong nor when to ask again. So here
    nothing is looked at before the request itself comes.
    """

    async def process_request(self, req: Request, resp: Response) -> None:
        if req.method != "OPTIONS" or not req.get_header("Access-Control-Request-Method"):
            return
        resp.set_header("Access-Control-Allow-Methods", METHODS)
        resp.set_header("Access-Control-Allow-Headers", req.get_header("Access-Control-Request-Headers") or "*")
        resp.set_header("Access-Control-Max-Age", str(REMEMBERED_S))
        resp.status = 204
        resp.complete = True

    async def process_response(self, req: Request, resp: Response, resource: object, succeeded: bool) -> None:
        # Also to who names no origin: a cache may give the same answer to a page.
        resp.set_header("Access-Control-Allow-Origin", "*")
        resp.set_header("Access-Control-Expose-Headers", ", ".join(EXPOSED))
