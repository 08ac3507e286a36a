"""Who belongs to the cluster: the nodes and their public keys, as the log itself says.

`Genesis`, `NodeAdded`, `NodeRemoved`, `NodeKeyRotated` and `ClusterRecovered` each carry the whole resulting list, so
the newest one alone is the answer and none has to be folded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .checkpoint import CheckpointError, Member
from .raft.messages import Conf

T = TypeVar("T")

CONF_KINDS = frozenset({"Genesis", "NodeAdded", "NodeRemoved", "NodeKeyRotated", "ClusterRecovered"})
ANNOUNCED = "MembersAnnounced"


class MembershipError(ValueError):
    """A membership entry whose list of nodes is malformed."""


class ChangeRefused(ValueError):
    """A change of members that makes no sense; the argument says why."""


@dataclass(frozen=True)
class NodeRecord:
    """One node. `id` is never reused; `name` is its key name in checkpoint signatures; `rsa` a 384-byte modulus.

    `address` is `host:port`, where its peers reach it; empty for the first nodes, whose operators know it.
    """

    id: int
    name: str
    ed25519: bytes
    rsa: bytes
    voter: bool = True
    address: str = ""

    @property
    def member(self) -> Member:
        return Member(self.name, self.ed25519, self.rsa)

    def to_fields(self) -> dict[str, Any]:
        fields = {"id": self.id, "name": self.name, "ed25519": self.ed25519, "rsa": self.rsa, "voter": self.voter}
        return fields | ({"address": self.address} if self.address else {})


@dataclass(frozen=True)
class Membership:
    """The cluster as one entry states it. `origin` names the log in every checkpoint.

    `last_id` is the highest id ever given, so that one that was removed does not come back.
    """

    origin: str
    nodes: tuple[NodeRecord, ...]
    last_id: int = 0

    @property
    def highest_id(self) -> int:
        return max(self.last_id, *(node.id for node in self.nodes))

    def holds(self, node_id: int) -> bool:
        return any(node.id == node_id for node in self.nodes)

    def was_removed(self, node_id: int) -> bool:
        """Ids rise, so one that is neither listed nor still to come was a member once."""
        return node_id <= self.highest_id and not self.holds(node_id)

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
        fields = {"origin": self.origin, "nodes": [node.to_fields() for node in self.nodes]}
        return fields | ({"last_id": self.last_id} if self.last_id else {})

    def with_learner(self, record: NodeRecord) -> Membership:
        """This list and a new node, which receives the log and does not vote yet. Raises ChangeRefused."""
        if record.id <= self.highest_id:
            raise ChangeRefused(f"id {record.id} was used before, and ids never come back: take {self.highest_id + 1}")
        return self._checked((*self.nodes, replace(record, voter=False)))

    def with_voter(self, node_id: int) -> Membership:
        """This list with learner `node_id` voting. Raises ChangeRefused."""
        if not self.holds(node_id):
            raise ChangeRefused(f"node {node_id} is not a member")
        return self._checked(tuple(replace(node, voter=node.voter or node.id == node_id) for node in self.nodes))

    def with_keys(self, record: NodeRecord) -> Membership:
        """This list with other signing keys for a member. Raises ChangeRefused."""
        if not self.holds(record.id):
            raise ChangeRefused(f"node {record.id} is not a member")
        if (name := self.node(record.id).name) != record.name:
            raise ChangeRefused(f"node {record.id} is called {name}, not {record.name}")
        new = replace(self.node(record.id), ed25519=record.ed25519, rsa=record.rsa)
        return self._checked(tuple(new if node.id == record.id else node for node in self.nodes))

    def without(self, node_id: int) -> Membership:
        """This list and one node less. Raises ChangeRefused."""
        if not self.holds(node_id):
            raise ChangeRefused(f"node {node_id} is not a member")
        return self._checked(tuple(node for node in self.nodes if node.id != node_id))

    def alone(self, node_id: int) -> Membership:
        """This list with nobody but voter `node_id`. Raises ChangeRefused, also when it is the only voter already."""
        if node_id not in self.conf.voters:
            raise ChangeRefused(f"node {node_id} is not a voter")
        if len(self.conf.voters) == 1:
            raise ChangeRefused(f"node {node_id} is the only voter, a majority by itself: start it as usual")
        return self._checked((self.node(node_id),))

    def _checked(self, nodes: tuple[NodeRecord, ...]) -> Membership:
        last_id = max([self.highest_id, *(node.id for node in nodes)])
        try:
            return membership_of(Membership(self.origin, nodes, last_id).to_fields())
        except MembershipError as error:
            raise ChangeRefused(str(error)) from error


def membership_of(fields: Mapping[str, Any]) -> Membership:
    """Reads the list out of a membership entry's public payload. Raises MembershipError."""
    try:
        origin = typed(fields["origin"], str)
        nodes = tuple(map(record_of, fields["nodes"]))
        last_id = typed(fields.get("last_id", 0), int)
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
    if last_id and last_id < max(node.id for node in nodes):
        raise MembershipError("membership entry carries an id above the last one given")
    return Membership(origin, nodes, last_id)


_UNIQUE: tuple[Callable[[NodeRecord], object], ...] = (
    lambda node: node.id,
    lambda node: node.name,
    lambda node: node.ed25519,
)


def record_of(fields: Mapping[str, Any]) -> NodeRecord:
    """One node's fields. Raises KeyError, TypeError."""
    return NodeRecord(
        typed(fields["id"], int),
        typed(fields["name"], str),
        typed(fields["ed25519"], bytes),
        typed(fields["rsa"], bytes),
        typed(fields["voter"], bool),
        typed(fields.get("address", ""), str),
    )


def typed(value: Any, kind: type[T]) -> T:
    """Exactly that type: `bytes(32)` would make a key of a number, and True is an int."""
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} was expected")
    return value
