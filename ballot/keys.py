"""`ballot keys init`: every key, certificate and secret of a new cluster, and its genesis entry.

    FOLDER/genesis          entry 1: who the nodes are (public)
    FOLDER/shared/          data_key otp_key jwt_private ca_certificate redis_password smtp_password: every node's
    FOLDER/authority/       ca_key: issues certificates, needed again only to add or to replace one
    FOLDER/node<i>/         rsa_private ed25519_private tls_certificate tls_key postgres_password: one node's own
    FOLDER/gateway/         certificate key: what browsers see, until a public authority's take their place

`ballot keys node` makes those of one more node, and beside them `record`, the public part that `ballot node add` takes.

A node reads its secrets by these names from one folder, which under Docker is /run/secrets.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .certificates import Authority, certificate_pem, issue, load_authority, make_authority, pem
from .ledger import rsa
from .ledger.entry import ZERO_HASH, Entry, decode_map, encode_map, parse, seal
from .ledger.frame import FrameError, frame, parse_frame
from .ledger.membership import Membership, NodeRecord, membership_of, record_of

GENESIS_FILE = "genesis"
RECORD_FILE = "record"


class KeysError(Exception):
    """Keys that exist already, are missing or cannot be read."""


def init_keys(folder: Path, nodes: int, origin: str, hosts: Sequence[str] = ()) -> Entry:
    """Makes all secrets of a cluster of `nodes` nodes; returns the genesis. Raises KeysError when there are some.

    `hosts` are the names and addresses that the gateway's certificate is good for; without any, the origin.
    """
    if (folder / GENESIS_FILE).exists():
        raise KeysError(f"{folder} holds a cluster's keys already; another cluster needs another folder")
    _make_folder(folder)
    authority = make_authority(origin)
    write_secret(folder / "authority" / "ca_key", pem(authority.key))
    records = [_make_node(folder, authority, number, origin) for number in range(1, nodes + 1)]
    shared = folder / "shared"
    write_secret(shared / "ca_certificate", certificate_pem(authority.certificate))
    write_secret(shared / "data_key", os.urandom(32))
    write_secret(shared / "otp_key", os.urandom(32))
    write_secret(shared / "jwt_private", rsa.dump_private(rsa.generate(3072)))
    for name in ("redis_password", "smtp_password"):
        write_secret(shared / name, make_password())
    make_gateway(folder, authority, hosts or [origin])
    genesis = make_genesis(origin, records)
    write_secret(folder / GENESIS_FILE, dump_genesis(genesis), mode=0o644)
    return genesis


def add_node_keys(folder: Path, number: int) -> NodeRecord:
    """Makes the secrets of one more node of the cluster whose keys are in `folder`. Raises KeysError."""
    origin = membership_of(load_genesis(folder / GENESIS_FILE).fields).origin
    own = folder / f"node{number}"
    if own.exists():
        raise KeysError(f"{own} exists already; the number of a node is never used again")
    record = _make_node(folder, authority_in(folder), number, origin)
    write_secret(own / RECORD_FILE, frame("node-record", encode_map(record.to_fields())), mode=0o644)
    return record


def load_record(path: Path) -> NodeRecord:
    """What `add_node_keys` says publicly of a node. Raises KeysError."""
    try:
        [fields] = parse_frame("node-record", path.read_bytes(), 1)
        return record_of(decode_map(fields))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeysError(f"{path} is not a node's record: {error}") from error


def authority_in(folder: Path) -> Authority:
    """The cluster's authority. Raises KeysError."""
    try:
        certificate, key = (folder / "shared" / "ca_certificate"), (folder / "authority" / "ca_key")
        return load_authority(certificate.read_bytes(), key.read_bytes())
    except (OSError, ValueError) as error:
        raise KeysError(f"the cluster's authority cannot be read from {folder}: {error}") from error


def make_genesis(origin: str, nodes: Sequence[NodeRecord]) -> Entry:
    """Entry 1, term 0: identical on every node before the first start."""
    return seal(
        prev_hash=ZERO_HASH,
        index=1,
        term=0,
        time_us=time.time_ns() // 1000,
        kind="Genesis",
        public=encode_map(Membership(origin, tuple(nodes)).to_fields()),
    )


def dump_genesis(genesis: Entry) -> bytes:
    return frame("genesis-file", genesis.header, genesis.public)


def load_genesis(path: Path) -> Entry:
    """Raises KeysError."""
    try:
        entry = parse(*parse_frame("genesis-file", path.read_bytes(), 2))
    except (OSError, FrameError, ValueError) as error:
        raise KeysError(f"{path} is not a genesis file: {error}") from error
    if entry.index != 1 or entry.kind != "Genesis" or entry.prev_hash != ZERO_HASH:
        raise KeysError(f"{path} holds entry {entry.index} of kind {entry.kind}, not a genesis")
    return entry


def _make_node(folder: Path, authority: Authority, number: int, origin: str) -> NodeRecord:
    own = folder / f"node{number}"
    signing, rsa_key = Ed25519PrivateKey.generate(), rsa.generate(3072)
    write_secret(own / "ed25519_private", pem(signing))
    write_secret(own / "rsa_private", rsa.dump_private(rsa_key))
    write_secret(own / "postgres_password", make_password())
    make_node_certificate(folder, authority, number)
    return NodeRecord(number, f"{origin}/node{number}", signing.public_key().public_bytes_raw(), rsa.modulus(rsa_key))


def make_node_certificate(folder: Path, authority: Authority, number: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(authority, f"node-{number}", [f"node-{number}"], key.public_key(), client=True)
    own = folder / f"node{number}"
    write_secret(own / "tls_key", pem(key))
    write_secret(own / "tls_certificate", certificate_pem(certificate))


def make_gateway(folder: Path, authority: Authority, hosts: Sequence[str]) -> None:
    """`certificate` and `key` of the gateway."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(authority, hosts[0], hosts, key.public_key(), client=False)
    write_secret(folder / "gateway" / "key", pem(key))
    write_secret(folder / "gateway" / "certificate", certificate_pem(certificate))


def make_password() -> bytes:
    """256 bits that need no quoting in a URL, a connection string or a shell."""
    return secrets.token_urlsafe(32).encode()


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def write_secret(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Never through a moment in which others could read it, and never over an older secret."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise KeysError(f"{path} exists already, left by an earlier attempt: nothing is overwritten") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
