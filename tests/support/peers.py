"""Certificates of every sort, and a transport behind a real socket that keeps what comes through."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ballot.ledger.clock import Clock
from ballot.ledger.raft.messages import Message
from ballot.ledger.settings import Address, PeerTls
from ballot.ledger.transport import Transport
from ballot.ledger.wire import pack
from ballot.ports import free_port
from tests.support.waiting import PATIENCE_S

HOST = "127.0.0.1"
DAY = dt.timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class Authority:
    """A certificate authority whose files lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key, DAY).add_extension(basic, critical=True)
        self.path = folder / "ca"
        self.path.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, ends: dt.timedelta) -> Any:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + ends)
        )

    def issue(self, *names: str, ends: dt.timedelta = DAY, usage: Sequence[Any] = (CLIENT, SERVER)) -> PeerTls:
        """A certificate with these common names, the first of them also as its DNS name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        certificate = (
            self._builder(subject, key, ends)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(names[0])]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem = self._folder / os.urandom(8).hex()
        paths = PeerTls(stem.with_suffix(".crt"), stem.with_suffix(".key"), self.path)
        paths.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        no_password = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
        paths.key.write_bytes(pem)
        return paths


@dataclass
class Heard:
    """A node that keeps what its transport lets through; everything is under the name of who sent it."""

    messages: list[Message] = field(default_factory=list)
    told: list[tuple[int, str, Any]] = field(default_factory=list)
    asked: list[tuple[int, str, Any]] = field(default_factory=list)
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    def on_unreachable(self, peer: int) -> None:
        """Nobody is waited for here."""

    async def on_ask(self, peer: int, topic: str, body: Any) -> Any:
        self.asked.append((peer, topic, body))
        await self.answering.wait()
        return ["answer", body]

    def on_tell(self, peer: int, topic: str, body: Any) -> None:
        self.told.append((peer, topic, body))

    def has_been_asked(self, count: int) -> bool:
        return len(self.asked) == count

    def nothing(self) -> bool:
        return not (self.messages or self.told or self.asked)


@dataclass
class Listening:
    """A transport, where it listens, and what got through to its node."""

    transport: Transport
    heard: Heard
    address: Address


@asynccontextmanager
async def listening(
    tls: PeerTls, node: int = 1, peers: dict[int, Address] | None = None, at: Address | None = None
) -> AsyncIterator[Listening]:
    """Node `node`, whose peers are 2 and 3 unless others are given; nobody listens at those."""
    heard, address = Heard(), at or (HOST, free_port())
    nowhere = {number: (HOST, free_port()) for number in (2, 3)}
    transport = Transport(node, address, nowhere if peers is None else peers, tls, Clock(3), heard)
    await transport.start()
    try:
        yield Listening(transport, heard, address)
    finally:
        await transport.stop()


class Caller:
    """Someone who connects, with whatever certificate, and says whatever they like."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: Address, context: ssl.SSLContext | None) -> Caller:
        name = None if context is None else "node-1"
        return cls(*await asyncio.open_connection(*address, ssl=context, server_hostname=name))

    async def say(self, *frames: Any) -> None:
        await self.write(b"".join(map(pack, frames)))

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def is_turned_away(self, timeout_s: float = PATIENCE_S) -> bool:
        """The other side ends the connection, and has said nothing before."""
        try:
            return await asyncio.wait_for(self.reader.read(1), timeout_s) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def hang_up(self) -> None:
        self.writer.transport.abort()


def insecure(tls: PeerTls | None = None, *, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client that checks nothing about the server, with this certificate or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, highest
    if tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context
