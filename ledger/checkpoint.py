"""Checkpoints: what a majority of the nodes says the log was (C2SP tlog-checkpoint, a C2SP signed note).

A note is the body `origin\\nsize\\nbase64 root\\n`, an empty line, and signature lines
`— name base64(key id || signature)\\n`. Two kinds of lines count here, and a key's id (4 bytes) names its kind:

- a cosignature, from every node: Ed25519 over `cosignature/v1\\ntime <seconds>\\n` and the body, the time in
  front as u64 (C2SP tlog-cosignature, type 0x04);
- the leader's RSA-PSS signature of the body (type 0xff "ballot-rsa-pss-sha384", key: SubjectPublicKeyInfo).

Bytes go in, trust comes out: nothing here does I/O or reads a clock.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import rsa

MAX_SIZE = 2**63 - 1
MAX_LINES = 64
MAX_NOTE_BYTES = 64 * 1024
RSA_MODULUS_BYTES = 384

_HASH_SIZE = 32
_KEY_ID_SIZE = 4
_TIME_SIZE = 8
_DASH = "\N{EM DASH}"
_CONTROL = re.compile("[\x00-\x1f]")


class CheckpointError(ValueError):
    """The text is not a checkpoint, or not one that deserves trust; the message says why."""


class Signature(Enum):
    """The kinds of signature lines, by the bytes that stand for them in a key id."""

    COSIGNATURE = b"\x04"
    RSA_PSS = b"\xffballot-rsa-pss-sha384"


@dataclass(frozen=True)
class Member:
    """A node's name in signature lines, e.g. `ballot.example/node1`, and its two public keys.

    `ed25519` is the raw key (32 bytes), `rsa` the modulus (384 bytes). Raises CheckpointError for anything else.
    """

    name: str
    ed25519: bytes
    rsa: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.ed25519) != 32 or len(self.rsa) != RSA_MODULUS_BYTES:
            raise CheckpointError(f"a key of {self.name} has the wrong length")


@dataclass(frozen=True)
class Checkpoint:
    """The root (32 bytes) of the first `size` leaves of the log `origin`. Raises CheckpointError if it has no text."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or _has_control(self.origin):
            raise CheckpointError("the origin is empty or has control characters")
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointError(f"size {self.size} is out of range")
        if len(self.root) != _HASH_SIZE:
            raise CheckpointError(f"a root of {len(self.root)} bytes")

    def body(self) -> bytes:
        """The text that is signed: three lines, without extension lines."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()


def parse_body(body: bytes) -> Checkpoint:
    """The checkpoint whose `body()` this is, to the byte. Raises CheckpointError, also for extension lines."""
    lines = _decode(body).split("\n")
    if len(lines) != 4 or lines[3]:
        raise CheckpointError("a body is three lines")
    origin, size, root = lines[:3]
    try:
        return Checkpoint(origin, decode_decimal(size), decode_base64(root))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def read_note(note: bytes) -> Checkpoint:
    """What a note says, none of its signatures verified. Raises CheckpointError."""
    return parse_body(note.rpartition(b"\n\n")[0] + b"\n")


def cosign(key: Ed25519PrivateKey, name: str, checkpoint: Checkpoint, time_s: int) -> str:
    """A node's cosignature line, without its newline; `time_s` is in seconds since 1970."""
    check_name(name)
    stamp = time_s.to_bytes(_TIME_SIZE, "big")
    public = key.public_key().public_bytes_raw()
    signature = stamp + key.sign(_cosigned(stamp, checkpoint.body()))
    return _line(name, _key_id(name, Signature.COSIGNATURE, public) + signature)


def rsa_line(key: RSAPrivateKey, name: str, checkpoint: Checkpoint) -> str:
    """The leader's RSA-PSS line, without its newline."""
    check_name(name)
    key_id = _key_id(name, Signature.RSA_PSS, _public_info(rsa.modulus(key)))
    return _line(name, key_id + rsa.sign(key, checkpoint.body()))


def verify_line(line: str, checkpoint: Checkpoint, member: Member) -> Signature:
    """Check one line, without its newline, of one member; the kind it is of.

    Raises CheckpointError when it is malformed, under another name or key, or does not verify.
    """
    name, blob = parse_line(line)
    kind = _keys(member).get((name, blob[:_KEY_ID_SIZE]))
    if kind is None:
        raise CheckpointError(f"the line is not signed by a key of {member.name}")
    _verify(kind, member, blob[_KEY_ID_SIZE:], checkpoint.body())
    return kind


def assemble(checkpoint: Checkpoint, lines: Iterable[str]) -> bytes:
    """The note of a checkpoint and its lines in this order. They are not verified, but must be well-formed.

    Raises CheckpointError for a malformed line, and for none or too many.
    """
    kept = list(lines)
    _parse_lines(kept)
    return checkpoint.body() + "".join(f"{line}\n" for line in ["", *kept]).encode()


def verify_note(note: bytes, origin: str, members: Sequence[Member]) -> Checkpoint:
    """The checkpoint of a note that a majority of `members`, those in force at its size, has signed.

    Accepted are notes for this origin with valid cosignatures of more than half of the members and at least one
    valid RSA-PSS line of a member. Lines of unknown keys are ignored, because witnesses may add theirs (a key
    is its name and id together, C2SP signed-note); a member's line that does not verify spoils the note. Raises
    CheckpointError.
    """
    known = _known_keys(members)
    body, lines = split_note(note)
    checkpoint = parse_body(body)
    if checkpoint.origin != origin:
        raise CheckpointError("the checkpoint is of another log")
    signed: dict[Signature, set[str]] = {kind: set() for kind in Signature}
    for name, blob in _parse_lines(lines):
        if (name, blob[:_KEY_ID_SIZE]) in known:
            kind, member = known[name, blob[:_KEY_ID_SIZE]]
            _verify(kind, member, blob[_KEY_ID_SIZE:], body)
            signed[kind].add(name)
    cosigned = len(signed[Signature.COSIGNATURE])
    if cosigned < len(members) // 2 + 1:
        raise CheckpointError(f"cosigned by {cosigned} of {len(members)} members: no majority")
    if not signed[Signature.RSA_PSS]:
        raise CheckpointError("no RSA-PSS signature of a member")
    return checkpoint


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes whose `encode_base64` this is. Raises ValueError for any other spelling of them."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    # Python lets unused bits and some excess padding pass; two texts for one note must not both verify.
    if encode_base64(data) != text:
        raise ValueError("base64 that is not canonical")
    return data


def decode_decimal(text: str) -> int:
    """ASCII decimal without leading zeroes, at most 2^63 - 1. Raises ValueError."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise ValueError("not a decimal number")
    number = int(text)
    if str(number) != text or number > MAX_SIZE:
        raise ValueError("a number with leading zeroes or out of range")
    return number


def _verify(kind: Signature, member: Member, signature: bytes, body: bytes) -> None:
    try:
        if kind is Signature.RSA_PSS:
            rsa.verify(member.rsa, signature, body)
        else:
            verify_cosignature(signature, body, member.name, member.ed25519)
    except rsa.BadSignature as error:
        raise CheckpointError(f"a signature of {member.name} does not verify") from error


def verify_cosignature(signature: bytes, body: bytes, name: str, public: bytes) -> None:
    """Check a cosignature, its time in front, of the body of a note. Raises CheckpointError."""
    stamp, bare = signature[:_TIME_SIZE], signature[_TIME_SIZE:]
    try:
        _ed25519(public).verify(bare, _cosigned(stamp, body))
    except (InvalidSignature, ValueError) as error:
        raise CheckpointError(f"a signature of {name} does not verify") from error


def _cosigned(stamp: bytes, body: bytes) -> bytes:
    time_s = int.from_bytes(stamp, "big")
    if len(stamp) != _TIME_SIZE or time_s > MAX_SIZE:
        raise CheckpointError("a cosignature without a proper time")
    return f"cosignature/v1\ntime {time_s}\n".encode() + body


def _known_keys(members: Sequence[Member]) -> dict[tuple[str, bytes], tuple[Signature, Member]]:
    # A cosignature does not commit to the name it is under: one key under two names would count twice.
    if len({m.name for m in members}) < len(members) or len({m.ed25519 for m in members}) < len(members):
        raise CheckpointError("two members share a name or a key")
    return {key: (kind, member) for member in members for key, kind in _keys(member).items()}


@lru_cache(maxsize=1024)
def _keys(member: Member) -> dict[tuple[str, bytes], Signature]:
    """The (name, key id) of a member's two keys. Raises CheckpointError when its modulus is none."""
    try:
        info = _public_info(member.rsa)
    except ValueError as error:
        raise CheckpointError(f"the RSA key of {member.name} is no modulus") from error
    return {
        (member.name, _key_id(member.name, Signature.COSIGNATURE, member.ed25519)): Signature.COSIGNATURE,
        (member.name, _key_id(member.name, Signature.RSA_PSS, info)): Signature.RSA_PSS,
    }


@lru_cache(maxsize=1024)
def _ed25519(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


@lru_cache(maxsize=1024)
def _public_info(modulus: bytes) -> bytes:
    return rsa.public_key(modulus).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(name: str, kind: Signature, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + kind.value + public).digest()[:_KEY_ID_SIZE]


def _line(name: str, blob: bytes) -> str:
    return f"{_DASH} {name} {encode_base64(blob)}"


def split_note(note: bytes) -> tuple[bytes, list[str]]:
    """The body with its final newline, and the signature lines without theirs. Raises CheckpointError."""
    if len(note) > MAX_NOTE_BYTES:
        raise CheckpointError("the note is too long")
    text, blank, signatures = _decode(note).rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise CheckpointError("a note is a text, an empty line and whole signature lines")
    return f"{text}\n".encode(), signatures[:-1].split("\n")


def _parse_lines(lines: Sequence[str]) -> list[tuple[str, bytes]]:
    if not 0 < len(lines) <= MAX_LINES:
        raise CheckpointError(f"{len(lines)} signature lines")
    return [parse_line(line) for line in lines]


def parse_line(line: str) -> tuple[str, bytes]:
    """(name, key id and signature) of a line without its newline. Raises CheckpointError."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH:
        raise CheckpointError("a signature line is a dash, a name and base64")
    check_name(parts[1])
    try:
        blob = decode_base64(parts[2])
    except ValueError as error:
        raise CheckpointError(f"signature line: {error}") from error
    if len(blob) <= _KEY_ID_SIZE:
        raise CheckpointError("a signature line without a signature")
    return parts[1], blob


def _decode(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("not UTF-8") from error
    if _has_control(text.replace("\n", "")):
        raise CheckpointError("control characters")
    return text


def _has_control(text: str) -> bool:
    return _CONTROL.search(text) is not None


def check_name(name: str) -> None:
    """Raises CheckpointError unless keys may have this name."""
    if not name or "+" in name or _has_control(name) or any(map(str.isspace, name)):
        raise CheckpointError("a key name is empty or has spaces, control characters or a plus")
