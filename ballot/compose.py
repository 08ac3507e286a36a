"""Puts the HTTP app together from the environment: the only place where its parts meet their settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .config import ConfigError, Settings, read_settings
from .drilling import HttpDrills, make_drills
from .http.app import create_app
from .http.deps import Deps, make_pool, make_redis
from .http.deps import Settings as AppSettings
from .http.tokens import TokenKey
from .ledger.client import LedgerClient
from .ledger.membership import membership_of
from .logs import configure
from .pem import load_token_keys
from .post import make_mailer


def create_application() -> Any:
    """The ASGI app of this node. Raises ConfigError."""
    settings = read_settings()
    configure(settings.log_level, node=settings.node, part="http")
    return create_app(make_deps(settings))


def make_deps(settings: Settings) -> Deps:
    ledger, db, redis = LedgerClient(settings.socket), make_pool(settings.dsn), make_redis(settings.redis_url)
    return Deps(
        settings=_app_settings(settings),
        ledger=ledger,
        db=db,
        redis=redis,
        vault=settings.vault(),
        jwt_keys=_token_keys(settings),
        otp_key=settings.secret("otp_key"),
        mailer=make_mailer(settings),
        drills=HttpDrills(make_drills(settings, ledger, db, redis)) if settings.drills else None,
    )


def _token_keys(settings: Settings) -> Sequence[TokenKey]:
    try:
        return load_token_keys(settings.secret("jwt_private"))
    except ValueError:
        raise ConfigError("the secret jwt_private holds no RSA private key, or one that is none") from None


def _app_settings(settings: Settings) -> AppSettings:
    origin = membership_of(settings.genesis().fields).origin
    app = AppSettings(
        node=settings.node,
        issuer=origin,
        site=settings.site_url,
        mail_sender=settings.mail_from,
        mailbox=settings.mailbox,
        mutex=settings.mutex,
        votes_per_second=settings.votes_per_second,
        at_once=settings.at_once,
        trust_forwarded=settings.trust_forwarded,
        turnout_s=settings.turnout_s,
        witnesses=settings.witnesses,
    )
    per_client = replace(app.limits["client"], count=settings.auth_per_client)
    return replace(app, limits={**app.limits, "client": per_client})
