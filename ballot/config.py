"""Reads a node's settings from the environment and its secrets from files. Nothing else in the product does."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .keys import load_genesis
from .ledger import rsa
from .ledger.entry import Entry
from .ledger.membership import membership_of
from .ledger.settings import Address, NodeKeys, NodeSettings, PeerTls
from .ledger.vault import Vault, VaultError
from .ledger.witness import Witness, WitnessError, read_vkeys
from .pem import private_pems

DEFAULT_SECRETS = "/run/secrets"


class ConfigError(Exception):
    """A setting that is missing or makes no sense; the message names it."""


@dataclass(frozen=True)
class Settings:
    """One node's settings. Every one is an environment variable `BALLOT_<NAME>`, documented in docs/settings.md."""

    node: int
    dsn: str = field(repr=False)
    redis_url: str = field(repr=False)
    peers: Mapping[int, Address]
    listen: Address
    http: Address
    secrets: tuple[Path, ...]
    state: Path
    workers: int
    mailbox: Path | None
    smtp_url: str = field(repr=False)
    mail_from: str
    site: str
    log_level: str
    clock_offset_us: int
    mutex: bool
    votes_per_second: int
    at_once: int
    auth_per_client: int
    trust_forwarded: bool
    drills: bool
    api: Mapping[int, str]
    turnout_s: int
    migrate: bool
    witnesses: tuple[Witness, ...] = ()

    @property
    def socket(self) -> Path:
        return self.state / "node.sock"

    @property
    def site_url(self) -> str:
        """Where mail sends people: BALLOT_SITE, else the log's name as an address. Raises ConfigError, KeysError."""
        return self.site or f"https://{membership_of(self.genesis().fields).origin}"

    def secret(self, name: str) -> bytes:
        """A secret's bytes. Raises ConfigError."""
        try:
            return self.secret_file(name).read_bytes()
        except OSError as error:
            raise ConfigError(f"the secret {name} cannot be read: {error}") from error

    def secret_file(self, name: str) -> Path:
        """Where a secret lies: in the first of the secret folders that has it. Raises ConfigError."""
        for folder in self.secrets:
            if (folder / name).exists():
                return folder / name
        raise ConfigError(f"the secret {name} is in none of {', '.join(map(str, self.secrets))}")

    def genesis(self) -> Entry:
        return load_genesis(self.secret_file("genesis"))

    def vault(self) -> Vault:
        try:
            return Vault(self.secret("data_key"))
        except VaultError as error:
            raise ConfigError(f"the secret data_key cannot be used: {error}") from error

    def node_settings(self) -> NodeSettings:
        """What the ledger process needs."""
        return NodeSettings(
            node=self.node,
            dsn=self.dsn,
            state_file=self.state / "state",
            socket=self.socket,
            listen=self.listen,
            peers=self.peers,
            keys=self._keys(),
            tls=PeerTls(*map(self.secret_file, ("tls_certificate", "tls_key", "ca_certificate"))),
            vault=self.vault(),
            clock_offset_us=self.clock_offset_us,
            drills=self.drills,
        )

    def _keys(self) -> NodeKeys:
        """The keys in use, and those that follow them while a rotation is under way: the second in both files."""
        try:
            moduli = [rsa.load_private(one) for one in private_pems(self.secret("rsa_private"))]
        except ValueError:
            raise ConfigError("the secret rsa_private is not an RSA private key") from None
        try:
            loaded = [load_pem_private_key(one, None) for one in private_pems(self.secret("ed25519_private"))]
        except ValueError:
            loaded = []
        ed25519 = [one for one in loaded if isinstance(one, Ed25519PrivateKey)]
        if not loaded or len(ed25519) != len(loaded):
            raise ConfigError("the secret ed25519_private is not an Ed25519 private key")
        if len(moduli) != len(ed25519) or len(moduli) > 2:
            raise ConfigError("the secrets rsa_private and ed25519_private are not one pair, or two")
        following = NodeKeys(ed25519[1], moduli[1]) if len(moduli) == 2 else None
        return NodeKeys(ed25519[0], moduli[0], following)


def _password(folders: tuple[Path, ...], name: str) -> str:
    """The secret `name`, without a last newline; empty where there is none, as on a machine without passwords."""
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    try:
        return found.read_text().rstrip("\n") if found else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the secret {name} cannot be read: {error}") from error


def _dsn(text: str, password: str) -> str:
    """The connection string; with the password, unless it names its own."""
    try:
        if not password or "password" in conninfo_to_dict(text):
            return text
    except psycopg.ProgrammingError:
        # Not quoted in the message: it may hold a password.
        raise ConfigError("BALLOT_DSN is not a PostgreSQL connection string") from None
    return make_conninfo(text, password=password)


def _url(text: str, password: str, *, user_needed: bool = False) -> str:
    """The URL; with the password, unless it names its own (or no user, where one is needed to log in at all)."""
    parts = urlsplit(text)
    if not password or not parts.hostname or parts.password or (user_needed and not parts.username):
        return text
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{quote(password, safe='')}@{place}"))


def _address(name: str, text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not _is_number(port) or int(port) > 65535:
        raise ConfigError(f"{name} must be host:port, not {text!r}")
    return host, int(port)


def _is_number(text: str) -> bool:
    """ASCII digits: `isdigit` alone takes superscripts, which `int` does not."""
    return text.isascii() and text.isdigit()


def _peers(text: str, own: int) -> dict[int, Address]:
    """`1=host:port,2=host:port`; this node's own place in the list is passed over."""
    peers: dict[int, Address] = {}
    for item in filter(None, text.split(",")):
        number, _, address = item.partition("=")
        if not _is_number(number) or int(number) in peers:
            raise ConfigError(f"BALLOT_PEERS must be node=host:port,..., each node once, not {item!r}")
        peers[int(number)] = _address("BALLOT_PEERS", address)
    peers.pop(own, None)
    return peers


def _urls(text: str) -> dict[int, str]:
    """`1=http://host:port,2=http://...`."""
    urls: dict[int, str] = {}
    for item in filter(None, text.split(",")):
        number, _, url = item.partition("=")
        if not _is_number(number) or int(number) in urls or not url.startswith(("http://", "https://")):
            raise ConfigError(f"BALLOT_API must be node=http://host:port,..., each node once, not {item!r}")
        urls[int(number)] = url.rstrip("/")
    return urls


def _witnesses(text: str) -> tuple[Witness, ...]:
    try:
        return read_vkeys(text)
    except WitnessError as error:
        raise ConfigError(f"BALLOT_WITNESSES must be verifier keys, separated by spaces: {error}") from error


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Raises ConfigError, naming the variable."""
    env = os.environ if environment is None else environment

    def required(name: str) -> str:
        if not (value := env.get(f"BALLOT_{name}", "")):
            raise ConfigError(f"BALLOT_{name} is not set")
        return value

    def number(name: str, default: int, least: int | None = None) -> int:
        text = env.get(f"BALLOT_{name}", str(default))
        try:
            value = int(text)
        except ValueError:
            raise ConfigError(f"BALLOT_{name} must be a number, not {text!r}") from None
        if least is not None and value < least:
            raise ConfigError(f"BALLOT_{name} must be at least {least}, not {value}")
        return value

    required("NODE")
    node = number("NODE", 0, least=1)
    log_level = env.get("BALLOT_LOG_LEVEL", "info")
    if log_level.upper() not in logging.getLevelNamesMapping():
        raise ConfigError(f"BALLOT_LOG_LEVEL is not a level: {log_level!r}")
    secrets = tuple(map(Path, env.get("BALLOT_SECRETS", DEFAULT_SECRETS).split(os.pathsep)))
    return Settings(
        node=node,
        dsn=_dsn(required("DSN"), _password(secrets, "postgres_password")),
        redis_url=_url(required("REDIS_URL"), _password(secrets, "redis_password")),
        peers=_peers(env.get("BALLOT_PEERS", ""), node),
        listen=_address("BALLOT_LISTEN", env.get("BALLOT_LISTEN", "127.0.0.1:7100")),
        http=_address("BALLOT_HTTP", env.get("BALLOT_HTTP", "127.0.0.1:8000")),
        secrets=secrets,
        state=Path(required("STATE")),
        workers=number("WORKERS", 2, least=1),
        mailbox=Path(env["BALLOT_MAILBOX"]) if env.get("BALLOT_MAILBOX") else None,
        smtp_url=_url(env.get("BALLOT_SMTP_URL", ""), _password(secrets, "smtp_password"), user_needed=True),
        mail_from=env.get("BALLOT_MAIL_FROM", "ballot@localhost"),
        site=env.get("BALLOT_SITE", ""),
        log_level=log_level,
        clock_offset_us=number("CLOCK_OFFSET_US", 0),
        mutex=number("MUTEX", 1) == 1,
        votes_per_second=number("VOTES_PER_SECOND", 0, least=0),
        at_once=number("AT_ONCE", 200, least=1),
        auth_per_client=number("AUTH_PER_CLIENT", 100),
        trust_forwarded=number("TRUST_FORWARDED", 0) == 1,
        drills=number("DRILLS", 0) == 1,
        api=_urls(env.get("BALLOT_API", "")),
        turnout_s=number("TURNOUT_S", 20, least=2),
        migrate=number("MIGRATE", 1) == 1,
        witnesses=_witnesses(env.get("BALLOT_WITNESSES", "")),
    )
