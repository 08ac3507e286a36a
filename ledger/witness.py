"""Witnesses: outsiders who watch the log grow and cosign what they saw (C2SP tlog-cosignature, Ed25519, type 0x04).

A witness is known by a verifier key, `name+keyid+base64(0x04 || public key)` (C2SP signed-note). Its lines stand below
those of the nodes in a checkpoint; whoever does not know it passes over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .checkpoint import (
    Checkpoint,
    CheckpointError,
    Signature,
    check_name,
    decode_base64,
    encode_base64,
    parse_body,
    parse_line,
    split_note,
    verify_cosignature,
)

PRIVATE = "PRIVATE+KEY+"
KEY_BYTES = 32
_TYPE = Signature.COSIGNATURE.value


class WitnessError(ValueError):
    """A key or a cosignature of a witness that cannot be taken; the message says why."""


class Unknown(WitnessError):
    """Nobody signed who is known here as a witness."""


@dataclass(frozen=True)
class Witness:
    """`ed25519` is the raw public key. Raises WitnessError for what can be no key."""

    name: str
    ed25519: bytes

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
        except CheckpointError as error:
            raise WitnessError(str(error)) from error
        if len(self.ed25519) != KEY_BYTES:
            raise WitnessError(f"a key of {len(self.ed25519)} bytes")

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _TYPE + self.ed25519).digest()[:4]

    @property
    def vkey(self) -> str:
        return _text(self.name, self.key_id, self.ed25519)


def read_vkey(text: str) -> Witness:
    """The witness of a verifier key. Raises WitnessError, also when key id and key do not belong together."""
    name, key_id, key = _fields(text)
    witness = Witness(name, key)
    if key_id != witness.key_id.hex():
        raise WitnessError(f"{name}: the key id is not that of the key")
    return witness


def read_vkeys(text: str) -> tuple[Witness, ...]:
    """Verifier keys, separated by white space. Raises WitnessError, also for a name or a key that comes twice."""
    witnesses = tuple(map(read_vkey, text.split()))
    names, keys = {one.name for one in witnesses}, {one.ed25519 for one in witnesses}
    if not len(names) == len(keys) == len(witnesses):
        raise WitnessError("two witnesses share a name or a key")
    return witnesses


def write_signer(name: str, key: Ed25519PrivateKey) -> str:
    """A witness's private key as text: `PRIVATE+KEY+name+keyid+base64(0x04 || seed)`, as Go's sumdb/note has it."""
    witness = Witness(name, key.public_key().public_bytes_raw())
    return PRIVATE + _text(name, witness.key_id, key.private_bytes_raw())


def read_signer(text: str) -> tuple[Witness, Ed25519PrivateKey]:
    """What `write_signer` wrote. Raises WitnessError, which never quotes the key."""
    if not text.startswith(PRIVATE):
        raise WitnessError("not a witness's private key")
    name, key_id, seed = _fields(text.removeprefix(PRIVATE).strip())
    key = Ed25519PrivateKey.from_private_bytes(seed)
    witness = Witness(name, key.public_key().public_bytes_raw())
    if key_id != witness.key_id.hex():
        raise WitnessError("the key id is not that of the key")
    return witness, key


def read_cosignatures(note: bytes, witnesses: Sequence[Witness]) -> tuple[Checkpoint, dict[Witness, str]]:
    """What a note says, and the lines in it of these witnesses, all verified. Lines of others are passed over.

    Raises WitnessError: Unknown where there is none of theirs, else for a note or line that is not sound.
    """
    known = {(one.name, one.key_id): one for one in witnesses}
    found: dict[Witness, str] = {}
    try:
        body, lines = split_note(note)
        checkpoint = parse_body(body)
        for line in lines:
            name, blob = parse_line(line)
            witness = known.get((name, blob[:4]))
            if witness is not None:
                verify_cosignature(blob[4:], body, name, witness.ed25519)
                found[witness] = line
    except CheckpointError as error:
        raise WitnessError(str(error)) from error
    if not found:
        raise Unknown("no line is signed by a witness that is known here")
    return checkpoint, found


def with_lines(note: bytes, lines: Iterable[str]) -> bytes:
    """The note with more signature lines."""
    return note + "".join(f"{line}\n" for line in lines).encode()


def _text(name: str, key_id: bytes, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{encode_base64(_TYPE + key)}"


def _fields(text: str) -> tuple[str, str, bytes]:
    """(name, key id in hex, key): base64 may have a plus in it, names have none."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise WitnessError("a key is name+keyid+base64")
    try:
        data = decode_base64(parts[2])
    except ValueError as error:
        raise WitnessError(f"the key of {parts[0]}: {error}") from error
    if data[:1] != _TYPE or len(data) != 1 + KEY_BYTES:
        raise WitnessError(f"the key of {parts[0]} is not one for Ed25519 cosignatures (type 0x04)")
    return parts[0], parts[1], data[1:]
