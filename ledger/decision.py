"""What a decision can be: events to append, a named refusal, or the entry that the command already became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec


class Draft(msgspec.Struct, frozen=True):
    """An event without a place in the log yet. `private` bytes are salted and digested when it is sealed."""

    kind: str
    public: bytes
    private: bytes | None = None

    def __repr__(self) -> str:
        """Private parts must not get into a log."""
        return f"Draft({self.kind})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A named no. Nothing is recorded."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Known:
    """The command was carried out before, by the entry at `index`: the answer is that entry's."""

    index: int


Decision = Sequence[Draft] | Refusal | Known
