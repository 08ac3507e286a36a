"""GET /api/openapi.json: the OpenAPI 3.1 document, made from what the routes say of themselves and from their types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from falcon.asgi import Request, Response

from .describe import KEY, Body, Media, Operation, media_of, route, status_words
from .limits import RATE_HEADERS
from .parse import B64, CSV, JSON, OCTETS, TEXT, b64_pattern
from .problems import MEDIA_TYPE, REFUSALS, Problem

Document = dict[str, Any]
Route = tuple[str, str, Operation]
"""Template, method, operation."""

_FIELD = re.compile(r"\{(\w+)(?::b64\((\d+)\))?\}")
_OTHER = {
    OCTETS: "the bytes themselves",
    TEXT: "UTF-8",
    CSV: "one address a line, and after a comma a weight; a first line `email` is passed over",
}
_SECURITY: dict[str, list[Document]] = {"anyone": [], "nobody": [], "guest": [{}, {"bearer": []}]}
"""For all others an access token is needed."""
_SCHEMA = "#/components/schemas/{name}"
ABOUT = (
    "An online voting backend on a replicated, append-only ledger. Binary values are base64url without padding, times "
    "UTC in ISO 8601, errors RFC 9457 problem documents whose `refusal` is a fixed name. See docs/api.md."
)
HEADERS: Document = {
    "Ledger-Index": ("integer", "How far the log is that this answer rests on."),
    "RateLimit-Limit": ("integer", "How many requests the window takes."),
    "RateLimit-Remaining": ("integer", "How many of them are left."),
    "RateLimit-Reset": ("integer", "Seconds until the window ends."),
    "Retry-After": ("integer", "Seconds after which it is worth trying again."),
    "ETag": ("string", "Names this state of the answer. Sent back as If-None-Match, it spares sending the same again."),
}
PARAMETERS: Document = {
    "LedgerIndex": {
        "name": "Ledger-Index",
        "in": "header",
        "description": "The newest Ledger-Index seen: no node then answers from an older state.",
        # More than a log ever holds is no different from more than this one does.
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    },
    "Consistency": {
        "name": "consistency",
        "in": "query",
        "description": "`linearizable`: a majority is asked first, so the answer is as new as the question.",
        "schema": {"type": "string", "enum": ["linearizable"]},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key from the same user at the same address is recorded once.",
        "schema": {"type": "string", "pattern": KEY},
    },
}


class OpenApi:
    """Holds the document as bytes: it depends on nothing but the code."""

    def __init__(self) -> None:
        self._bytes = b""

    def describe(self, routes: Sequence[Route]) -> None:
        self._bytes = msgspec.json.encode(document(routes))

    @route("openapi", "This document", "anyone", {200: Media(JSON, "OpenAPI 3.1")}, current=False, etag=True, gzip=True)
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = JSON
        resp.data = self._bytes


def document(routes: Iterable[Route]) -> Document:
    """The document of `routes`, in their order."""
    routes = list(routes)
    shapes, names = _schemas(routes)
    paths: dict[str, Document] = {}
    for template, method, operation in routes:
        item = paths.setdefault(_FIELD.sub(r"{\1}", template), {})
        item[method] = _operation(template, method, operation, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ballot Ledger", "version": version("ballot-ledger"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": shapes,
            "headers": {
                name: {"description": text, "schema": {"type": kind}} for name, (kind, text) in HEADERS.items()
            },
            "parameters": PARAMETERS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _schemas(routes: Sequence[Route]) -> tuple[Document, dict[type, Document]]:
    """The schemas of all bodies by name, and what to write for each type."""
    types: list[type] = [Problem]
    for _, _, operation in routes:
        types += [shape for shape in _shapes(operation) if shape not in types]
    written, shapes = msgspec.json.schema_components(types, schema_hook=_schema_hook, ref_template=_SCHEMA)
    return dict(shapes), dict(zip(types, written, strict=True))


def _shapes(operation: Operation) -> Iterator[type]:
    for body in (operation.body, *operation.answers.values()):
        if isinstance(body, type):
            yield body
        elif isinstance(body, Media):
            yield from body.events.values()


def _schema_hook(kind: type) -> Document:
    if kind is B64:
        return {"type": "string", "pattern": b64_pattern(), "contentEncoding": "base64url"}
    raise NotImplementedError(f"no schema for a {kind.__name__}")


def _operation(template: str, method: str, operation: Operation, names: dict[type, Document]) -> Document:
    found: Document = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [template.split("/")[2]],
        "x-who": operation.who,
        "parameters": _parameters(template, method, operation),
        "responses": _responses(template, operation, names),
        "security": _SECURITY.get(operation.who, [{"bearer": []}]),
    }
    if operation.description:
        found["description"] = operation.description
    if operation.body is not None:
        found["requestBody"] = {
            # No body at all counts as an empty object.
            "required": isinstance(operation.body, Media) or _needs_something(operation.body),
            "content": {media: _request(media, operation, names) for media in operation.media},
        }
    return found


def _needs_something(body: type[msgspec.Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(body))


def _request(media: str, operation: Operation, names: dict[type, Document]) -> Document:
    if media != JSON:
        return {"schema": {"description": f"{media}: {_OTHER[media]}"}}
    example = {} if operation.example is None else {"example": operation.example}
    return _content(operation.body, names) | example


def _content(body: Body, names: dict[type, Document]) -> Document:
    if isinstance(body, Media):
        events = {"x-events": {name: names[shape] for name, shape in body.events.items()}} if body.events else {}
        return {"schema": {"description": body.what, **events}}
    assert body is not None
    return {"schema": names[body]}


def _parameters(template: str, method: str, operation: Operation) -> list[Document]:
    found: list[Document] = []
    for name, length in _FIELD.findall(template):
        schema = {"type": "string", "pattern": b64_pattern(int(length)) if length else "^[a-z-]+$"}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    found += _query(operation.query)
    shared = ["LedgerIndex"] if operation.who != "nobody" else []
    shared += ["Consistency"] if method == "get" else []
    shared += ["IdempotencyKey"] if operation.appends else []
    return found + [{"$ref": f"#/components/parameters/{name}"} for name in shared]


def _query(shape: type[msgspec.Struct]) -> list[Document]:
    schema = msgspec.json.schema(shape)["$defs"][shape.__name__]
    needed = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": field}
        for name, field in schema["properties"].items()
    ]


def _responses(template: str, operation: Operation, names: dict[type, Document]) -> Document:
    index = [] if operation.who == "nobody" else ["Ledger-Index"]
    headers = [*index, *(RATE_HEADERS if operation.limited else ()), *(["ETag"] if operation.etag else [])]
    found: Document = {}
    for status, body in operation.answers.items():
        one = found[str(status)] = {"description": status_words(status), "headers": _headers(headers)}
        if body is not None:
            one["content"] = {media_of(body): _content(body, names)}
        if operation.links:
            one["links"] = {
                name: {"operationId": name, "parameters": dict(parameters)}
                for name, parameters in operation.links.items()
            }
    if operation.etag:
        found["304"] = {"description": "It is still what If-None-Match named", "headers": _headers(headers)}
    return found | _problems(operation.all_refusals(in_path="{" in template), index, names)


def _problems(refusals: Sequence[str], always: Sequence[str], names: dict[type, Document]) -> Document:
    """One response a status, with the names of all refusals that have it."""
    of_status: dict[int, list[str]] = {}
    for name in refusals:
        of_status.setdefault(REFUSALS[name][0], []).append(name)
    found: Document = {}
    for status, named in of_status.items():
        exact = {"properties": {"status": {"const": status}, "refusal": {"enum": named}}}
        later = ["Retry-After"] if status in (429, 503) else []
        limits = list(RATE_HEADERS) if status == 429 else []
        found[str(status)] = {
            "description": "; ".join(REFUSALS[name][1] for name in named),
            "headers": _headers([*always, *later, *limits]),
            "content": {MEDIA_TYPE: {"schema": {"allOf": [names[Problem], exact]}}},
        }
    return found


def _headers(names: Sequence[str]) -> Document:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
