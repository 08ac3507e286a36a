"""The app: every route and what stands around them. It builds from what it is given and reads no environment."""

from __future__ import annotations

from typing import Any

from falcon.asgi import App, Request, Response

from . import auth, credentials, diag, drills, elections, ledger, metrics, middleware, problems, results, roll, votes
from .accounts import Accounts
from .deps import Deps
from .parse import B64Converter
from .services import Services

Application = App[Request, Response]

ELECTION = "/api/elections/{election:b64(16)}"


def create_app(deps: Deps) -> Application:
    """The ASGI app of one node's HTTP worker."""
    services = Services(deps)
    # The first stands outermost: the log line is written last, and errors of the others are in it.
    around: list[Any] = [
        middleware.Lifespan(services),
        middleware.RequestLog(),
        middleware.cors(),
        middleware.LedgerIndex(services.position, deps.ledger),
    ]
    app = App(middleware=around)
    app.router_options.converters["b64"] = B64Converter
    problems.install(app)
    accounts = Accounts(services)
    _add_auth(app, services, accounts)
    _add_elections(app, services, accounts)
    _add_votes(app, services)
    _add_ledger(app, services)
    _add_diag(app, services)
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
    app.add_route("/api/auth/jwks", auth.Jwks(services, accounts))
    app.add_route("/api/auth/identity-key", auth.IdentityKeys(services, accounts))
    app.add_route("/api/users/{user:b64(16)}/roles", auth.Roles(services, accounts))


def _add_elections(app: Application, services: Services, accounts: Accounts) -> None:
    end = elections.End(services)
    app.add_route("/api/elections", elections.Elections(services))
    app.add_route(ELECTION, elections.Election(services))
    app.add_route(f"{ELECTION}/roll", roll.RollResource(services))
    app.add_route(f"{ELECTION}/open", elections.Open(services))
    app.add_route(f"{ELECTION}/close", end, suffix="close")
    app.add_route(f"{ELECTION}/cancel", end, suffix="cancel")
    app.add_route(f"{ELECTION}/credential", credentials.Credential(services, accounts))
    app.add_route(f"{ELECTION}/results", results.Results(services))
    app.add_route(f"{ELECTION}/ballots", results.Ballots(services))


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


def _add_diag(app: Application, services: Services) -> None:
    app.add_route("/api/_diag/health", diag.Live(services))
    app.add_route("/api/_diag/ready", diag.Ready(services))
    app.add_route("/api/_diag/metrics", metrics.Metrics(services))
    app.add_route("/api/_diag/node", diag.Node(services))
    app.add_route("/api/_diag/cluster", diag.Cluster(services))
    app.add_route("/api/_diag/clock", diag.Clock(services))
    app.add_route("/api/_diag/mailbox", diag.MailboxResource(services))
    running = drills.Drills(services)
    app.add_route("/api/_diag/drills", running)
    app.add_route("/api/_diag/drills/{name}", running, suffix="run")
