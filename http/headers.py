"""What every answer tells a browser: this is data, to be neither framed nor run, and to be asked for by TLS."""

from __future__ import annotations

from falcon.asgi import Request, Response

POLICY = ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "sandbox")
HEADERS = {
    "Content-Security-Policy": "; ".join(POLICY),
    "Referrer-Policy": "no-referrer",
    # Browsers pass it over unless the answer came by TLS, which a gateway in front of the nodes terminates.
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


class SecurityHeaders:
    """On every answer, refusals and errors too; a resource that serves pages may have said something stricter."""

    async def process_response(self, req: Request, resp: Response, resource: object, succeeded: bool) -> None:
        for name, value in HEADERS.items():
            if resp.get_header(name) is None:
                resp.set_header(name, value)
