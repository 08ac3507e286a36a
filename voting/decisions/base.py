"""What every decision is made of: the state it sees and the events it makes."""

from __future__ import annotations

from typing import Any, Protocol

from ...ledger.decision import Draft
from ...ledger.entry import encode_map
from ..tables import Row


class View(Protocol):
    """The state as it will be once everything in flight is committed."""

    def get(self, table: str, *key: Any) -> Row | None: ...


def event(kind: str, public: dict[str, Any], private: dict[str, Any] | bytes | None = None) -> list[Draft]:
    hidden = encode_map(private) if isinstance(private, dict) else private
    return [Draft(kind, encode_map(public), hidden)]
