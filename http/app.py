"""The app: every route and what stands around them. It builds from what it is given and reads no environment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from falcon.asgi import App, Request, Response
from falcon.constants import HTTP_METHODS

from . import (
    auth,
    credentials,
    diag,
    drills,
    elections,
    erasure,
    events,
    headers,
    identity,
    ledger,
    mailing,
    metrics,
    middleware,
    problems,
    results,
    roles,
    roll,
    sessions,
    trustees,
    votes,
    witness,
)
from .accounts import Accounts
from .caching import Caching
from .cors import Cors
from .deps import Deps
from .describe import operation_of
from .events import Listeners
from .openapi import OpenApi, Route
from .parse import GONE, B64Converter
from .services import Services

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

ELECTION = "/api/elections/{election:b64(16)}"


class Application(App[Request, Response]):
    """Falcon's app, to which every route has to say what it does. What has a GET has a HEAD too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.described: list[Route] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:  # type: ignore[override]
        # Falcon waits for a body's first bytes before it looks at anything: it is told that they are still to come, so
        # that what is refused anyway is refused at once, and reading has one limit (see `read_body`).
        waiting = [{"type": "http.request", "body": b"", "more_body": True}]

        async def watched() -> dict[str, Any]:
            event = waiting.pop() if waiting else await receive()
            if event["type"] == "http.disconnect":
                scope[GONE] = True
            return event

        await super().__call__(scope, watched, send)

    def add_route(self, uri_template: str, resource: object, **options: Any) -> None:
        """Raises TypeError for a responder without a description."""
        suffix = f"_{options['suffix']}" if options.get("suffix") else ""
        for method in map(str.lower, sorted({*HTTP_METHODS} - {"HEAD"})):
            responder = getattr(resource, f"on_{method}{suffix}", None)
            if responder is None:
                continue
            operation = operation_of(responder)
            if operation is None:
                raise TypeError(f"{uri_template}: {method} has no description")
            self.described.append((uri_template, method, operation))
            if method == "get":
                setattr(resource, f"on_head{suffix}", responder)
        super().add_route(uri_template, resource, **options)


def create_app(deps: Deps) -> Application:
    """The ASGI app of one node's HTTP worker."""
    services = Services(deps)
    # The first stands outermost: the log line is written last, and errors of the others are in it.
    around: list[Any] = [
        middleware.Lifespan(services),
        middleware.RequestLog(),
        headers.SecurityHeaders(),
        Cors(),
        middleware.LedgerIndex(services.position, deps.ledger),
        Caching(),
    ]
    app = Application(middleware=around)
    app.router_options.converters["b64"] = B64Converter
    problems.install(app)
    accounts = Accounts(services)
    _add_auth(app, services, accounts)
    listeners = Listeners()
    _add_elections(app, services, listeners)
    _add_votes(app, services)
    _add_ledger(app, services)
    _add_diag(app, services, listeners)
    openapi = OpenApi()
    app.add_route("/api/openapi.json", openapi)
    openapi.describe(app.described)
    return app


def _add_auth(app: Application, services: Services, accounts: Accounts) -> None:
    codes, session = auth.Codes(services, accounts), auth.Session(services, accounts)
    password = auth.Password(services, accounts)
    app.add_route("/api/auth/register", auth.Register(services, accounts))
    app.add_route("/api/auth/login", auth.Login(services, accounts))
    app.add_route("/api/auth/otp/send", codes, suffix="send")
    app.add_route("/api/auth/otp/verify", codes, suffix="verify")
    app.add_route("/api/auth/refresh", session, suffix="refresh")
    app.add_route("/api/auth/logout", session, suffix="logout")
    app.add_route("/api/auth/password/forgot", password, suffix="forgot")
    app.add_route("/api/auth/password/reset", password, suffix="reset")
    app.add_route("/api/auth/password/change", password, suffix="change")
    app.add_route("/api/auth/me", auth.Self(services, accounts))
    app.add_route("/api/auth/sessions", sessions.Sessions(services))
    app.add_route("/api/auth/sessions/{session:b64(16)}", sessions.Session(services))
    app.add_route("/api/auth/jwks", auth.Jwks(services, accounts))
    app.add_route("/api/auth/identity-key", identity.IdentityKeys(services, accounts))
    app.add_route("/api/users/{user:b64(16)}/roles", roles.Roles(services))
    app.add_route("/api/users/{user:b64(16)}/roles/{role}", roles.Role(services))
    app.add_route("/api/auth/erase", erasure.EraseSelf(services, accounts))
    app.add_route("/api/users/{user:b64(16)}/erase", erasure.EraseUser(services, accounts))


def _add_elections(app: Application, services: Services, listeners: Listeners) -> None:
    end = elections.End(services)
    app.add_route("/api/elections", elections.Elections(services))
    app.add_route(ELECTION, elections.Election(services))
    app.add_route(f"{ELECTION}/roll", roll.RollResource(services))
    app.add_route(f"{ELECTION}/mail", mailing.Mail(services))
    invitations = trustees.Invitations(services)
    app.add_route(f"{ELECTION}/trustees", trustees.Trustees(services))
    app.add_route(f"{ELECTION}/trustees/invite", invitations, suffix="invite")
    app.add_route(f"{ELECTION}/trustees/withdraw", invitations, suffix="withdraw")
    app.add_route(f"{ELECTION}/trustee-key", trustees.KeyRelease(services))
    app.add_route(f"{ELECTION}/open", elections.Open(services))
    app.add_route(f"{ELECTION}/close", end, suffix="close")
    app.add_route(f"{ELECTION}/cancel", end, suffix="cancel")
    app.add_route(f"{ELECTION}/credential", credentials.Credential(services))
    app.add_route(f"{ELECTION}/results", results.Results(services))
    app.add_route(f"{ELECTION}/ballots", results.Ballots(services))
    app.add_route(f"{ELECTION}/events", events.ElectionEvents(services, listeners))


def _add_votes(app: Application, services: Services) -> None:
    app.add_route("/api/votes", votes.Votes(services))
    app.add_route("/api/votes/unused", votes.Unused(services))
    app.add_route("/api/votes/{name:b64(32)}", votes.BallotLookup(services))


def _add_ledger(app: Application, services: Services) -> None:
    proofs = ledger.Proofs(services)
    app.add_route("/api/ledger/checkpoint", ledger.Checkpoint(services))
    app.add_route("/api/ledger/entries", ledger.EntryRange(services))
    app.add_route("/api/ledger/members", ledger.Members(services))
    app.add_route("/api/ledger/proof/inclusion", proofs, suffix="inclusion")
    app.add_route("/api/ledger/proof/consistency", proofs, suffix="consistency")
    app.add_route("/api/ledger/export", ledger.Export(services))
    app.add_route("/api/ledger/digest", ledger.StateDigest(services))
    app.add_route("/api/ledger/witness", witness.WitnessResource(services))


def _add_diag(app: Application, services: Services, listeners: Listeners) -> None:
    app.add_route("/api/_diag/health", diag.Live(services))
    app.add_route("/api/_diag/ready", diag.Ready(services))
    app.add_route("/api/_diag/metrics", metrics.Metrics(services))
    app.add_route("/api/_diag/node", diag.Node(services))
    app.add_route("/api/_diag/cluster", diag.Cluster(services))
    app.add_route("/api/_diag/events", diag.ClusterEvents(services, listeners))
    app.add_route("/api/_diag/locks", diag.LockHolders(services))
    app.add_route("/api/_diag/clock", diag.Clock(services))
    app.add_route("/api/_diag/mailbox", diag.MailboxResource(services))
    running = drills.Drills(services)
    app.add_route("/api/_diag/drills", running)
    app.add_route("/api/_diag/drills/{name}", running, suffix="run")
