"""What every command is, and the values that commands carry."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

# What the tables hold: entries whose values they refuse could be applied by no node.
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Weight = Annotated[int, Meta(ge=1, lt=2**32)]
Text = Annotated[str, Meta(pattern=r"\A[^\0]*\Z")]


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True, array_like=True):
    """Base of all commands; on the wire a msgpack array that begins with the name."""

    def __repr__(self) -> str:
        """The name alone: commands carry private keys, addresses and hashes, and a text may end up in a log."""
        return type(self).__name__
