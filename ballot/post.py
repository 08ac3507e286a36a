"""How a node's mail goes out, from its settings."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from redis import Redis

from .config import ConfigError, Settings
from .drills.post import DrillMailer
from .mail.transport import MailboxMailer, Mailer, SmtpMailer
from .projections.mailing import Post


def make_mailer(settings: Settings) -> Mailer:
    """Raises ConfigError."""
    mailer = _real_mailer(settings)
    return DrillMailer(mailer, Redis.from_url(settings.redis_url)) if settings.drills else mailer


def _real_mailer(settings: Settings) -> Mailer:
    """SMTP when BALLOT_SMTP_URL is set (smtp://user:password@host:port, smtp+plain:// without TLS), else a mailbox."""
    if settings.mailbox is not None:
        return MailboxMailer(settings.mailbox)
    if not settings.smtp_url:
        raise ConfigError("neither BALLOT_SMTP_URL nor BALLOT_MAILBOX is set: no code could be sent to anyone")
    parts = urlsplit(settings.smtp_url)
    if parts.scheme not in ("smtp", "smtp+plain") or not parts.hostname:
        raise ConfigError("BALLOT_SMTP_URL must be smtp://user:password@host:port")
    return SmtpMailer(
        parts.hostname,
        parts.port or 587,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        starttls=parts.scheme == "smtp",
    )


def make_post(settings: Settings) -> Post:
    """Raises ConfigError."""
    return Post(make_mailer(settings), settings.mail_from, settings.site_url)
