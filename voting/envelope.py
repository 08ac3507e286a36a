"""The sealed ballot: one symmetric ciphertext whose seed is shared among the trustees.

Everything in an envelope follows from its seed, its context and the choice, so opening ends by sealing again
and comparing every byte. Whatever differs is an invalid ballot: every k trustees therefore reach the same
answer, the seed commits to the choice, and an envelope copied to another ballot key does not open.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ..ledger.frame import FrameError, frame, frame_hash, parse_frame, u16, u32
from ..ledger.rsa import modulus
from . import oaep, shamir

SEED_BYTES = 32

_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_LENGTH_BYTES = 2

_KDF_PAYLOAD = frame("kdf-payload")
_KDF_SHAMIR = frame("kdf-shamir")


class EnvelopeError(ValueError):
    """An envelope of the wrong public shape, or a choice that does not fit the padding."""


class InvalidEnvelope(Exception):
    """The ballot does not open; the reason is the same whichever trustees open it.

    `reason` is "malformed" for a wrong public shape, and "does not open" for everything that only opening
    shows: where exactly a forged envelope fails depends on whose shares are tried, so that is not told.
    """

    def __init__(self, reason: Literal["malformed", "does not open"]) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Context:
    """What an envelope is bound to: the election, the ballot key, the trustees.

    `eid` and `bid` are 32 bytes; `k` of the trustees open it; `trustees` are their moduli, the first being
    number 1; `pad_len` is the length of the padded choice, its two-byte length prefix included.
    Raises ValueError when these cannot be.
    """

    eid: bytes
    bid: bytes
    k: int
    trustees: tuple[bytes, ...]
    pad_len: int

    def __post_init__(self) -> None:
        if not len(self.eid) == len(self.bid) == 32:
            raise ValueError("eid and bid are 32 bytes each")
        if not 1 <= self.k <= len(self.trustees) <= 255:
            raise ValueError(f"{self.k} of {len(self.trustees)} trustees")
        if not _LENGTH_BYTES <= self.pad_len <= _LENGTH_BYTES + 0xFFFF:
            raise ValueError(f"a padded choice of {self.pad_len} bytes")

    @cached_property
    def encoded(self) -> bytes:
        """The frame that keys are derived from and the body is authenticated with."""
        numbers = u32(self.k), u32(len(self.trustees)), u32(self.pad_len)
        return frame("envelope-ctx", self.eid, self.bid, *numbers)

    def share_label(self, index: int) -> bytes:
        """The OAEP label of trustee `index`, counted from 1."""
        trustee = _trustee_id(self.trustees[index - 1])
        return frame("share", self.eid, self.bid, u32(index), trustee)


@dataclass(frozen=True)
class Opened:
    """A valid ballot: the seed, which lets anybody check the opening, and the choice as it was sealed."""

    seed: bytes
    choice: bytes


def ballot_id(bpk: bytes) -> bytes:
    """`bid`, 32 bytes, from the ballot key's modulus."""
    return frame_hash("rsa-key", bpk)


def envelope_size(n_trustees: int, pad_len: int, trustee_bytes: int = 384) -> int:
    """The bytes of every envelope of an election, with trustee moduli of `trustee_bytes`."""
    return len(frame("envelope", bytes(pad_len + _TAG_BYTES))) + n_trustees * (4 + trustee_bytes)


def seal(ctx: Context, choice: bytes, s: bytes | None = None) -> bytes:
    """The envelope with this choice; `s` is 32 fresh random bytes unless given.

    Raises EnvelopeError when the choice is longer than `pad_len` - 2 bytes, and ValueError for a seed of
    another length.
    """
    if len(choice) > ctx.pad_len - _LENGTH_BYTES:
        raise EnvelopeError(f"a choice of {len(choice)} bytes does not fit {ctx.pad_len}")
    seed = secrets.token_bytes(SEED_BYTES) if s is None else s
    keys = _Keys(ctx, seed)
    padded = (u16(len(choice)) + choice).ljust(ctx.pad_len, b"\0")
    coefficients = keys.expand(_KDF_SHAMIR, SEED_BYTES * (ctx.k - 1))
    shares = shamir.share(seed, coefficients, len(ctx.trustees))
    sealed_shares = [
        oaep.encrypt(trustee, value, ctx.share_label(index), keys.expand(frame("kdf-oaep", u32(index)), 32))
        for index, (trustee, value) in enumerate(zip(ctx.trustees, shares, strict=True), start=1)
    ]
    return frame("envelope", keys.cipher.encrypt(keys.nonce, padded, ctx.encoded), *sealed_shares)


def check_shape(ctx: Context, env: bytes) -> None:
    """What anybody can check before the close: the frame, every length, every number below its modulus.

    Raises EnvelopeError.
    """
    _parse(ctx, env)


def open_with_keys(ctx: Context, env: bytes, keys: Mapping[int, RSAPrivateKey]) -> Opened:
    """Open with the private keys of any k trustees, by their numbers from 1; more than k are not used.

    Raises InvalidEnvelope when the ballot is invalid, and ValueError when there are fewer than k keys or one
    is not its trustee's: that says nothing about the ballot.
    """
    chosen = dict(sorted(keys.items())[: ctx.k])
    if len(chosen) < ctx.k:
        raise ValueError(f"{len(chosen)} keys where {ctx.k} are needed")
    for index, key in chosen.items():
        if not 1 <= index <= len(ctx.trustees) or modulus(key) != ctx.trustees[index - 1]:
            raise ValueError(f"the key given for trustee {index} is not that trustee's")
    try:
        _body, *sealed_shares = _parse(ctx, env)
    except EnvelopeError:
        raise InvalidEnvelope("malformed") from None
    try:
        shares = {i: oaep.decrypt(key, sealed_shares[i - 1], ctx.share_label(i)) for i, key in chosen.items()}
        seed = shamir.combine(shares)
    except ValueError:
        raise InvalidEnvelope("does not open") from None
    return Opened(seed, open_with_seed(ctx, env, seed))


def open_with_seed(ctx: Context, env: bytes, seed: bytes) -> bytes:
    """The choice, with public operations only: what a published seed proves to anybody.

    Raises InvalidEnvelope, which with a seed taken on trust may also mean that the seed is wrong.
    """
    try:
        body = _parse(ctx, env)[0]
    except EnvelopeError:
        raise InvalidEnvelope("malformed") from None
    if len(seed) != SEED_BYTES:
        raise InvalidEnvelope("does not open")
    keys = _Keys(ctx, seed)
    try:
        padded = keys.cipher.decrypt(keys.nonce, body, ctx.encoded)
    except InvalidTag:
        raise InvalidEnvelope("does not open") from None
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    choice = padded[_LENGTH_BYTES : _LENGTH_BYTES + length]
    # Covers what was not looked at above: the declared length, the zeros, and every trustee's share.
    if seal(ctx, choice, seed) != env:
        raise InvalidEnvelope("does not open")
    return choice


class _Keys:
    """What HKDF-SHA256 (RFC 5869) derives from a seed in a context."""

    def __init__(self, ctx: Context, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed of {len(seed)} bytes, not {SEED_BYTES}")
        self._pseudorandom_key = hmac.digest(sha256(ctx.encoded).digest(), seed, "sha256")
        payload = self.expand(_KDF_PAYLOAD, _KEY_BYTES + _NONCE_BYTES)
        self.cipher = AESGCM(payload[:_KEY_BYTES])
        self.nonce = payload[_KEY_BYTES:]

    def expand(self, info: bytes, length: int) -> bytes:
        return HKDFExpand(hashes.SHA256(), length, info).derive(self._pseudorandom_key) if length else b""


def _parse(ctx: Context, env: bytes) -> list[bytes]:
    """The body and the sealed shares."""
    try:
        fields = parse_frame("envelope", env, 1 + len(ctx.trustees))
    except FrameError as error:
        raise EnvelopeError(str(error)) from None
    if len(fields[0]) != ctx.pad_len + _TAG_BYTES:
        raise EnvelopeError(f"a body of {len(fields[0])} bytes, not {ctx.pad_len + _TAG_BYTES}")
    for index, (trustee, sealed_share) in enumerate(zip(ctx.trustees, fields[1:], strict=True), start=1):
        # Of one length, so comparing the bytes compares the numbers.
        if len(sealed_share) != len(trustee) or sealed_share >= trustee:
            raise EnvelopeError(f"the share of trustee {index} is not a number modulo that trustee's key")
    return fields


@lru_cache(maxsize=1024)
def _trustee_id(trustee: bytes) -> bytes:
    return frame_hash("rsa-key", trustee)
