"""`ballot keys init`: every key, certificate and secret of a new cluster, and its genesis entry.

    FOLDER/genesis          entry 1: who the nodes are (public)
    FOLDER/shared/          data_key otp_key jwt_private ca_certificate: the same on every node
    FOLDER/authority/       ca_key: issues the nodes' certificates, needed again only to add one
    FOLDER/node<i>/         rsa_private ed25519_private tls_certificate tls_key: one node's own

`ballot keys node` makes those of one more node, and beside them `record`, the public part that `ballot node add` takes.

A node reads its secrets by these names from one folder, which under Docker is /run/secrets.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .ledger import rsa
from .ledger.entry import ZERO_HASH, Entry, decode_map, encode_map, parse, seal
from .ledger.frame import FrameError, frame, parse_frame
from .ledger.membership import Membership, NodeRecord, membership_of, record_of

GENESIS_FILE = "genesis"
RECORD_FILE = "record"
CERTIFICATE_DAYS = 3650


class KeysError(Exception):
    """Keys that exist already, are missing or cannot be read."""


@dataclass(frozen=True)
class Authority:
    """The cluster's own certificate authority. Its key is needed again only when a node is added."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def init_keys(folder: Path, nodes: int, origin: str) -> Entry:
    """Makes all secrets of a cluster of `nodes` nodes; returns the genesis. Raises KeysError when there are some."""
    if (folder / GENESIS_FILE).exists():
        raise KeysError(f"{folder} holds a cluster's keys already; another cluster needs another folder")
    _make_folder(folder)
    authority = _make_authority(origin)
    _write(folder / "authority" / "ca_key", _pem(authority.key))
    records = [_make_node(folder, authority, number, origin) for number in range(1, nodes + 1)]
    shared = folder / "shared"
    _write(shared / "ca_certificate", authority.certificate.public_bytes(serialization.Encoding.PEM))
    _write(shared / "data_key", os.urandom(32))
    _write(shared / "otp_key", os.urandom(32))
    _write(shared / "jwt_private", rsa.dump_private(rsa.generate(3072)))
    genesis = make_genesis(origin, records)
    _write(folder / GENESIS_FILE, dump_genesis(genesis), mode=0o644)
    return genesis


def add_node_keys(folder: Path, number: int) -> NodeRecord:
    """Makes the secrets of one more node of the cluster whose keys are in `folder`. Raises KeysError."""
    origin = membership_of(load_genesis(folder / GENESIS_FILE).fields).origin
    own = folder / f"node{number}"
    if own.exists():
        raise KeysError(f"{own} exists already; the number of a node is never used again")
    record = _make_node(folder, _load_authority(folder), number, origin)
    _write(own / RECORD_FILE, frame("node-record", encode_map(record.to_fields())), mode=0o644)
    return record


def load_record(path: Path) -> NodeRecord:
    """What `add_node_keys` says publicly of a node. Raises KeysError."""
    try:
        [fields] = parse_frame("node-record", path.read_bytes(), 1)
        return record_of(decode_map(fields))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeysError(f"{path} is not a node's record: {error}") from error


def _load_authority(folder: Path) -> Authority:
    try:
        certificate = x509.load_pem_x509_certificate((folder / "shared" / "ca_certificate").read_bytes())
        key = serialization.load_pem_private_key((folder / "authority" / "ca_key").read_bytes(), None)
    except (OSError, ValueError) as error:
        raise KeysError(f"the cluster's authority cannot be read from {folder}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise KeysError(f"the key in {folder}/authority is not that of the cluster's certificate")
    return Authority(certificate, key)


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
    tls_key = ec.generate_private_key(ec.SECP256R1())
    certificate = _issue(authority, f"node-{number}", tls_key.public_key())
    _write(own / "ed25519_private", _pem(signing))
    _write(own / "rsa_private", rsa.dump_private(rsa_key))
    _write(own / "tls_key", _pem(tls_key))
    _write(own / "tls_certificate", certificate.public_bytes(serialization.Encoding.PEM))
    return NodeRecord(number, f"{origin}/node{number}", signing.public_key().public_bytes_raw(), rsa.modulus(rsa_key))


def _make_authority(origin: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{origin[:40]} cluster authority")])
    builder = _certificate(name, name, key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def _issue(authority: Authority, name: str, public: ec.EllipticCurvePublicKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _certificate(subject, authority.certificate.subject, public)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    )
    return builder.sign(authority.key, hashes.SHA256())


def _certificate(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=CERTIFICATE_DAYS))
    )


def _pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Never through a moment in which others could read it, and never over an older secret."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise KeysError(f"{path} exists already, left by an earlier attempt: nothing is overwritten") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
