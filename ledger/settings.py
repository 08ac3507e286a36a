"""What a node must be told to run: addresses, keys and pace. Nothing here reads a file or the environment."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .vault import Vault

Address = tuple[str, int]


@dataclass(frozen=True)
class NodeKeys:
    """A node's own signing keys: Ed25519 for cosignatures, RSA-3072 for the leader's checkpoint line and attestations.

    While they are being replaced there is a second pair: the log says from which entry on that one signs.
    """

    ed25519: Ed25519PrivateKey = field(repr=False)
    rsa: RSAPrivateKey = field(repr=False)
    following: NodeKeys | None = field(default=None, repr=False)

    def in_force(self, public: bytes) -> NodeKeys:
        """The pair whose Ed25519 key the list of members names (32 bytes)."""
        following = self.following
        return following if following is not None and following.names(public) else self

    def names(self, public: bytes) -> bool:
        return self.ed25519.public_key().public_bytes_raw() == public


@dataclass(frozen=True)
class PeerTls:
    """Files for mutual TLS between nodes. A node's certificate has the common name `node-<id>`."""

    certificate: Path
    key: Path
    authority: Path

    def context(self, *, server: bool) -> ssl.SSLContext:
        """TLS 1.3 only; the other side must show a certificate of the cluster's own authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True)
class NodeSettings:
    """`peers` are the other nodes' addresses; `socket` is where this node's own HTTP workers connect.

    `drills`: this node may be ended, made to hand over or given a wrong clock by whoever may run drills.
    """

    node: int
    dsn: str = field(repr=False)
    state_file: Path
    socket: Path
    listen: Address
    peers: Mapping[int, Address]
    keys: NodeKeys
    tls: PeerTls
    vault: Vault = field(repr=False)
    tick_ms: int = 15
    election_ticks: int = 12
    heartbeat_ticks: int = 3
    clock_bound_us: int = 1_000_000
    clock_offset_us: int = 0
    drills: bool = False
