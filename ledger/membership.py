"""Who belongs to the cluster: the nodes and their public keys, as the log itself says.

`Genesis`, `NodeAdded`, `NodeRemoved` and `NodeKeyRotated` each carry the whole resulting list, so the newest one
alone is the answer and none has to be folded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .checkpoint import CheckpointError, Member
from .raft.messages import Conf

T = TypeVar("T")

CONF_KINDS = frozenset({"Genesis", "NodeAdded", "NodeRemoved", "NodeKeyRotated"})


class MembershipError(ValueError):
    """A membership entry whose list of nodes is malformed."""


@dataclass(frozen=True)
class NodeRecord:
    """One node. `id` is never reused; `name` is its key name in checkpoint signatures; `rsa` a 384-byte modulus."""

    id: int
    name: str
    ed25519: bytes
    rsa: bytes
    voter: bool = True

    @property
    def member(self) -> Member:
        return Member(self.name, self.ed25519, self.rsa)

    def to_fields(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "ed25519": self.ed25519, "rsa": self.rsa, "voter": self.voter}


@dataclass(frozen=True)
class Membership:
    """The cluster as one entry states it. `origin` names the log in every checkpoint."""

    origin: str
    nodes: tuple[NodeRecord, ...]

    @property
    def conf(self) -> Conf:
        return Conf(
            tuple(node.id for node in self.nodes if node.voter), tuple(node.id for node in self.nodes if not node.voter)
        )

    @property
    def members(self) -> tuple[Member, ...]:
        """Those whose signatures count for a checkpoint: the voters."""
        return tuple(node.member for node in self.nodes if node.voter)

    def node(self, node_id: int) -> NodeRecord:
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise MembershipError(f"node {node_id} is not a member")

    def to_fields(self) -> dict[str, Any]:
        return {"origin": self.origin, "nodes": [node.to_fields() for node in self.nodes]}


def membership_of(fields: Mapping[str, Any]) -> Membership:
    """Reads the list out of a membership entry's public payload. Raises MembershipError."""
    try:
        origin = _typed(fields["origin"], str)
        nodes = tuple(map(_record, fields["nodes"]))
        for node in nodes:
            _ = node.member
    except (KeyError, TypeError, CheckpointError) as error:
        raise MembershipError(f"membership entry is malformed: {error!r}") from error
    if any(len({pick(node) for node in nodes}) != len(nodes) for pick in _UNIQUE):
        raise MembershipError("membership entry names a node or a key twice")
    if not any(node.voter for node in nodes):
        raise MembershipError("membership entry names no voter")
    if min(node.id for node in nodes) < 1:
        raise MembershipError("membership entry carries an id below 1")
    return Membership(origin, nodes)


_UNIQUE: tuple[Callable[[NodeRecord], object], ...] = (
    lambda node: node.id,
    lambda node: node.name,
    lambda node: node.ed25519,
)


def _record(fields: Mapping[str, Any]) -> NodeRecord:
    return NodeRecord(
        _typed(fields["id"], int),
        _typed(fields["name"], str),
        _typed(fields["ed25519"], bytes),
        _typed(fields["rsa"], bytes),
        _typed(fields["voter"], bool),
    )


def _typed(value: Any, kind: type[T]) -> T:
    """Exactly that type: `bytes(32)` would make a key of a number, and True is an int."""
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} was expected")
    return value
