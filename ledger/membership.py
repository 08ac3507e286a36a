"""Who belongs to the cluster: the nodes and their public keys, as the log itself says.

`Genesis`, `NodeAdded`, `NodeRemoved` and `NodeKeyRotated` each carry the whole resulting list, so the newest one
alone is the answer and none has to be folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .checkpoint import Member
from .raft.messages import Conf

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
        nodes = tuple(
            NodeRecord(int(n["id"]), str(n["name"]), bytes(n["ed25519"]), bytes(n["rsa"]), bool(n["voter"]))
            for n in fields["nodes"]
        )
        origin = str(fields["origin"])
    except (KeyError, TypeError, ValueError) as error:
        raise MembershipError(f"membership entry is malformed: {error!r}") from error
    if not nodes or len({n.id for n in nodes}) != len(nodes) or len({n.name for n in nodes}) != len(nodes):
        raise MembershipError("membership entry names no node, or one twice")
    if any(len(n.ed25519) != 32 or len(n.rsa) != 384 or n.id < 1 for n in nodes):
        raise MembershipError("membership entry carries a key or id of the wrong size")
    return Membership(origin, nodes)
