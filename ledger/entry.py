"""The entry: one link of the ledger's chain.

`header = F(entry, u64 index, u64 term, u64 time_us, kind, SHA-256(public), private_digest, prev_hash)` is what is
hashed, chained and put into the Merkle tree; it is kept as the exact bytes that were sealed and never re-encoded.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import cached_property
from typing import Any

import msgpack
import msgspec

from .frame import FrameError, frame, frame_hash, parse_frame, read_u64, u64
from .membership import CONF_KINDS, MembershipError, membership_of
from .raft.messages import Conf
from .unpack import UnpackError, unpack

ZERO_HASH = bytes(32)
SALT_BYTES = 32
MAX_PAYLOAD_BYTES = 16 << 20


class EntryError(ValueError):
    """Bytes that claim to be an entry and are not, or do not follow the entry before them."""


class Entry(msgspec.Struct, frozen=True, dict=True):
    """A sealed entry. `private` is None when it has none, or when it was erased or withheld (as in an export).

    A msgspec struct is made ten times as fast as a dataclass, and every node makes one of every entry.
    """

    index: int
    term: int
    time_us: int
    kind: str
    prev_hash: bytes
    private_digest: bytes
    header: bytes
    public: bytes
    private: bytes | None
    salt: bytes

    def __repr__(self) -> str:
        """Private parts must not get into a log."""
        return f"Entry({self.index}, term {self.term}, {self.kind})"

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of the header: what the next entry's `prev_hash` must be."""
        return hashlib.sha256(self.header).digest()

    @cached_property
    def size(self) -> int:
        """Bytes this entry costs on the wire and on disk, private part included."""
        return len(self.header) + len(self.public) + len(self.private or b"") + len(self.salt)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The public payload, decoded. Raises EntryError when it is not a map with text keys."""
        return decode_map(self.public)

    @property
    def conf(self) -> Conf | None:
        """The configuration that this entry puts in force, for the few kinds that do. Raises EntryError."""
        if self.kind not in CONF_KINDS:
            return None
        try:
            return membership_of(self.fields).conf
        except MembershipError as error:
            raise EntryError(f"entry {self.index}: {error}") from error

    @cached_property
    def private_fields(self) -> dict[str, Any]:
        """The private payload, decoded; empty when it is absent."""
        return {} if self.private is None else decode_map(self.private)


def encode_map(fields: dict[str, Any]) -> bytes:
    """A payload as msgpack. It has no canonical form: only the stored bytes are ever hashed."""
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return packed


def decode_map(data: bytes) -> dict[str, Any]:
    """Strict msgpack map with text keys. Raises EntryError."""
    try:
        value = unpack(data, text_keys=True)
    except UnpackError as error:
        raise EntryError(f"payload: {error}") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise EntryError("payload is not a map with text keys")
    return value


def private_digest(private: bytes | None, salt: bytes) -> bytes:
    """SHA-256(F(private, salt, bytes)), or no bytes where there is no private part."""
    return b"" if private is None else frame_hash("private", salt, private)


def seal(
    *,
    prev_hash: bytes,
    index: int,
    term: int,
    time_us: int,
    kind: str,
    public: bytes,
    private: bytes | None = None,
    salt: bytes = b"",
) -> Entry:
    """Makes the entry that follows the one whose hash is `prev_hash`."""
    digest = private_digest(private, salt)
    public_hash = hashlib.sha256(public).digest()
    header = frame("entry", u64(index), u64(term), u64(time_us), kind.encode(), public_hash, digest, prev_hash)
    return Entry(index, term, time_us, kind, prev_hash, digest, header, public, private, salt)


def parse(header: bytes, public: bytes, private: bytes | None = None, salt: bytes = b"") -> Entry:
    """Reads an entry and checks that header, public and (where present) private part belong together."""
    try:
        index, term, time_us, kind, public_hash, digest, prev_hash = parse_frame("entry", header, 7)
        entry = Entry(
            read_u64(index),
            read_u64(term),
            read_u64(time_us),
            kind.decode(),
            prev_hash,
            digest,
            header,
            public,
            private,
            salt,
        )
    except (FrameError, UnicodeDecodeError) as error:
        raise EntryError(f"header does not parse: {error}") from error
    _check_parts(entry, public_hash)
    return entry


def _check_parts(entry: Entry, public_hash: bytes) -> None:
    if len(entry.prev_hash) != 32 or len(entry.private_digest) not in (0, 32):
        raise EntryError(f"entry {entry.index}: a hash has the wrong length")
    if not hmac.compare_digest(hashlib.sha256(entry.public).digest(), public_hash):
        raise EntryError(f"entry {entry.index}: public payload does not match its header")
    _ = entry.conf  # A malformed list of members must not get as far as the log.
    if entry.private is None:
        if entry.salt:
            raise EntryError(f"entry {entry.index}: a salt without its private part")
        return
    if len(entry.salt) != SALT_BYTES:
        raise EntryError(f"entry {entry.index}: salt is not {SALT_BYTES} bytes")
    if not hmac.compare_digest(private_digest(entry.private, entry.salt), entry.private_digest):
        raise EntryError(f"entry {entry.index}: private part does not match its header")


def check_link(before: Entry | None, entry: Entry) -> None:
    """Raises EntryError unless `entry` may stand right after `before` (None: the log was empty)."""
    prev_hash, index, term, time_us = (
        (ZERO_HASH, 0, 0, -1) if before is None else (before.hash, before.index, before.term, before.time_us)
    )
    if entry.index != index + 1:
        raise EntryError(f"entry {entry.index} stands after entry {index}")
    if entry.prev_hash != prev_hash:
        raise EntryError(f"entry {entry.index}: chain broken, prev_hash is not the hash of entry {index}")
    if entry.term < term:
        raise EntryError(f"entry {entry.index}: term falls from {term} to {entry.term}")
    if entry.time_us <= time_us:
        raise EntryError(f"entry {entry.index}: time does not rise")


def prev_hash_of(header: bytes) -> bytes:
    """What a stored header says the entry before it hashes to. Raises EntryError."""
    try:
        return parse_frame("entry", header, 7)[-1]
    except FrameError as error:
        raise EntryError(f"header does not parse: {error}") from error


def to_wire(entry: Entry) -> tuple[bytes, bytes, bytes | None, bytes]:
    """What peers and the log table carry; `parse(*to_wire(entry))` gives the entry back."""
    return entry.header, entry.public, entry.private, entry.salt
