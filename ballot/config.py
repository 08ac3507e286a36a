"""Reads a node's settings from the environment and its secrets from files. Nothing else in the product does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .keys import load_genesis
from .ledger import rsa
from .ledger.entry import Entry
from .ledger.settings import Address, NodeKeys, NodeSettings, PeerTls
from .ledger.vault import Vault

DEFAULT_SECRETS = "/run/secrets"


class ConfigError(Exception):
    """A setting that is missing or makes no sense; the message names it."""


@dataclass(frozen=True)
class Settings:
    """One node's settings. Every one is an environment variable `BALLOT_<NAME>`, documented in docs/settings.md."""

    node: int
    dsn: str
    redis_url: str
    peers: Mapping[int, Address]
    listen: Address
    http: Address
    secrets: tuple[Path, ...]
    state: Path
    workers: int
    mailbox: Path | None
    smtp_url: str
    mail_from: str
    log_level: str
    clock_offset_us: int
    mutex: bool
    auth_per_client: int
    trust_forwarded: bool

    @property
    def socket(self) -> Path:
        return self.state / "node.sock"

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
        return Vault(self.secret("data_key"))

    def node_settings(self) -> NodeSettings:
        """What the ledger process needs."""
        ed25519 = cast(Ed25519PrivateKey, load_pem_private_key(self.secret("ed25519_private"), None))
        return NodeSettings(
            node=self.node,
            dsn=self.dsn,
            state_file=self.state / "state",
            socket=self.socket,
            listen=self.listen,
            peers=self.peers,
            keys=NodeKeys(ed25519, rsa.load_private(self.secret("rsa_private"))),
            tls=PeerTls(*map(self.secret_file, ("tls_certificate", "tls_key", "ca_certificate"))),
            vault=self.vault(),
            clock_offset_us=self.clock_offset_us,
        )


def _address(name: str, text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"{name} must be host:port, not {text!r}")
    return host, int(port)


def _peers(text: str, own: int) -> dict[int, Address]:
    """`1=host:port,2=host:port`; this node's own place in the list is passed over."""
    peers: dict[int, Address] = {}
    for item in filter(None, text.split(",")):
        number, _, address = item.partition("=")
        if not number.isdigit():
            raise ConfigError(f"BALLOT_PEERS must be node=host:port,..., not {item!r}")
        peers[int(number)] = _address("BALLOT_PEERS", address)
    peers.pop(own, None)
    return peers


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Raises ConfigError, naming the variable."""
    env = os.environ if environment is None else environment

    def required(name: str) -> str:
        if not (value := env.get(f"BALLOT_{name}", "")):
            raise ConfigError(f"BALLOT_{name} is not set")
        return value

    def number(name: str, default: int) -> int:
        text = env.get(f"BALLOT_{name}", str(default))
        try:
            return int(text)
        except ValueError:
            raise ConfigError(f"BALLOT_{name} must be a number, not {text!r}") from None

    node = number("NODE", 0)
    if node < 1:
        raise ConfigError("BALLOT_NODE must be this node's number, from 1")
    return Settings(
        node=node,
        dsn=required("DSN"),
        redis_url=required("REDIS_URL"),
        peers=_peers(env.get("BALLOT_PEERS", ""), node),
        listen=_address("BALLOT_LISTEN", env.get("BALLOT_LISTEN", "127.0.0.1:7100")),
        http=_address("BALLOT_HTTP", env.get("BALLOT_HTTP", "127.0.0.1:8000")),
        secrets=tuple(map(Path, env.get("BALLOT_SECRETS", DEFAULT_SECRETS).split(os.pathsep))),
        state=Path(required("STATE")),
        workers=number("WORKERS", 2),
        mailbox=Path(env["BALLOT_MAILBOX"]) if env.get("BALLOT_MAILBOX") else None,
        smtp_url=env.get("BALLOT_SMTP_URL", ""),
        mail_from=env.get("BALLOT_MAIL_FROM", "ballot@localhost"),
        log_level=env.get("BALLOT_LOG_LEVEL", "info"),
        clock_offset_us=number("CLOCK_OFFSET_US", 0),
        mutex=number("MUTEX", 1) == 1,
        auth_per_client=number("AUTH_PER_CLIENT", 100),
        trust_forwarded=number("TRUST_FORWARDED", 0) == 1,
    )
