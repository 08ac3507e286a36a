"""An election's trustees as its users see them, and whether the count waits for keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from ..projections.trustees import Trustee
from ..voting.fold import key_hash
from ..voting.trustee import key_problem
from .drafts import Draft
from .parse import B64

TrusteeStatus = Literal["invited", "enrolled", "released"]


class TrusteeView(msgspec.Struct, frozen=True):
    """`user` is None for the cluster's own key. `fingerprint` is H(rsa-key, n) in hex, for people to compare.

    `number` is the definition's; in a draft it says in which order keys were enrolled. `enrolled_at` and `released_at`
    are entries of the log.
    """

    number: int | None
    name: str
    user: B64 | None
    status: TrusteeStatus
    fingerprint: str | None
    enrolled_at: int | None
    released_at: int | None


def trustee_view(trustee: Trustee) -> TrusteeView:
    status: TrusteeStatus = "invited" if trustee.n is None else "enrolled"
    return TrusteeView(
        number=trustee.number,
        name=trustee.name,
        user=None if trustee.user is None else B64(trustee.user),
        status="released" if has_released(trustee) else status,
        fingerprint=None if trustee.n is None else key_hash(trustee.n).hex(),
        enrolled_at=trustee.enrolled_at,
        released_at=trustee.released_at if has_released(trustee) else None,
    )


def has_released(trustee: Trustee) -> bool:
    """A key that is not what the trustee enrolled counts as withheld, here as in the count."""
    if trustee.n is None or trustee.p is None or trustee.q is None:
        return False
    return not key_problem(trustee.n, trustee.p, trustee.q)


@dataclass(frozen=True)
class KeyState:
    """How many keys the count needs, has, and waits for: none before the board is published or after the count."""

    needed: int
    released: int
    missing: int

    @classmethod
    def of(cls, status: str, draft: Draft, trustees: Sequence[Trustee]) -> KeyState:
        needed, released = draft.needed(len(trustees)), sum(map(has_released, trustees))
        return cls(needed, released, max(0, needed - released) if status == "published" else 0)
