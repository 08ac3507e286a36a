"""Files that hold several private keys, one PEM block after the other (RFC 7468), perhaps with a word before each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from .http.tokens import TokenKey
from .ledger import rsa

_BLOCK = re.compile(
    rb"(?:Signs-From: (\S+)\s+)?(-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----.+?-----END (?:[A-Z]+ )?PRIVATE KEY-----\s*)",
    re.DOTALL,
)


def private_pems(data: bytes) -> Sequence[bytes]:
    """The blocks. Raises ValueError when there is none."""
    found = [match[2] for match in _BLOCK.finditer(data)]
    if not found:
        raise ValueError("there is no private key")
    return found


def load_token_keys(data: bytes) -> Sequence[TokenKey]:
    """The keys of access tokens, oldest first. Raises ValueError."""
    found = [
        TokenKey(rsa.load_private(match[2]), datetime.fromisoformat(match[1].decode()).timestamp() if match[1] else 0.0)
        for match in _BLOCK.finditer(data)
    ]
    if not found:
        raise ValueError("there is no private key")
    return sorted(found, key=lambda key: key.signs_from)


def dump_token_keys(keys: Sequence[TokenKey]) -> bytes:
    return b"".join(_line(key.signs_from) + rsa.dump_private(key.private) for key in keys)


def _line(signs_from: float) -> bytes:
    if not signs_from:
        return b""
    return f"Signs-From: {datetime.fromtimestamp(signs_from, UTC).isoformat(timespec='seconds')}\n".encode()
