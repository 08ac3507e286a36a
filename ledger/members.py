"""Changing who belongs to the cluster while it runs: the operator's commands, and what follows the list in force.

A change travels, is decided, proposed and answered like any other command; what becomes of it is one entry that
carries the whole resulting list. Asked for the first time, it is only announced; asked for again once the members have
signed a checkpoint that covers the announcement, it is made (see `succession`). From then on the same command is
answered by the entry that made it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from .clock import Clock
from .decision import Decision, Draft, Known, Refusal
from .desk import Decider
from .entry import Entry, EntryError, decode_map, encode_map
from .frame import FrameError, frame, parse_frame, read_u64, u64
from .membership import ANNOUNCED, ChangeRefused, Membership, NodeRecord, membership_of, record_of
from .raft.core import RaftCore
from .raft.log import RaftLog
from .raft.messages import Conf
from .raft.quorum import has_majority
from .settings import Address
from .succession import handover_fields
from .transport import Transport

log = logging.getLogger("ballot.node")

_KIND = "change-members"
_PREFIX = frame(_KIND, b"", b"", b"")[: -3 * 4]
MAX_LAG = 1000


def add_learner(record: NodeRecord) -> bytes:
    """The command that lets a new node receive the log."""
    return frame(_KIND, b"add", u64(record.id), encode_map(record.to_fields()))


def promote(node: int) -> bytes:
    """The command that lets a learner vote, once it has caught up and its tree is the one that a majority signed.

    Until then it is refused as NotCaughtUp.
    """
    return frame(_KIND, b"promote", u64(node), b"")


def rotate(record: NodeRecord) -> bytes:
    """The command that gives a member the signing keys in `record`, which it must hold beside its old ones."""
    return frame(_KIND, b"rotate", u64(record.id), encode_map(record.to_fields()))


def remove(node: int) -> bytes:
    return frame(_KIND, b"remove", u64(node), b"")


class Members:
    """The list in force, which is the newest appended one, and what in this node must follow it."""

    def __init__(self, node: int, told: dict[int, Address], transport: Transport, clock: Clock) -> None:
        """`told` are the addresses that the operator gave; for those they go before what the log says."""
        self._node, self._told, self._transport, self._clock = node, told, transport, clock
        self._lists: dict[tuple[int, int], Membership] = {}
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._told_removed = False
        self.current: Membership

    def restore(self, entries: Sequence[Entry]) -> None:
        """Every membership entry that the table holds."""
        for entry in entries:
            self._lists[entry.index, entry.term] = membership_of(entry.fields)

    def follow(self, log: RaftLog, applied: int) -> None:
        """Called whenever the log or what is applied of it may have moved."""
        index = log.conf_index
        seen = (index, log.term(index), min(applied, index))
        if seen == self._seen:
            return
        self._seen = seen
        self._learn(log)
        self.current = self.at(log, index)
        self._clock.follow(self._node, self.current.conf.voters)
        # Whoever is being removed must still be heard until that is applied: its answer may be what commits it.
        in_force = self.at(log, applied)
        self._transport.follow(self._addresses([self.current, in_force]), in_force.was_removed)

    def at(self, log: RaftLog, index: int) -> Membership:
        """The list as the newest membership entry up to `index` has it; the genesis' when there is none."""
        places = log.conf_indexes
        place = max((one for one in places if one <= index), default=places[0])
        return self._lists[place, log.term(place)]

    def told_removed(self, peer: int) -> None:
        """A peer said that this node was removed. Its own log does not: nothing is sent to a node that is gone."""
        if not self._told_removed:
            log.error("this node was removed from the cluster: stop it", extra={"says": peer})
        self._told_removed = True

    def is_member(self, raft: RaftLog, applied: int, leader: int) -> bool:
        """Whether this node belongs to the cluster, as far as it can know: from what is applied of its own log, and
        from its peers. One of them may be wrong; then there is a leader that speaks to this node, which proves it so.
        """
        return self.at(raft, applied).holds(self._node) and not (self._told_removed and not leader)

    def _learn(self, log: RaftLog) -> None:
        """Reads the lists that are new while their entries are still in memory."""
        for index in reversed(log.conf_indexes):
            place = (index, log.term(index))
            if place in self._lists:
                break
            entry = log.entry(index)
            assert isinstance(entry, Entry)
            self._lists[place] = membership_of(entry.fields)

    def _addresses(self, lists: Sequence[Membership]) -> dict[int, Address]:
        found: dict[int, Address] = {}
        for one in lists:
            for node in one.nodes:
                if node.address:
                    found.setdefault(node.id, address_of(node.address))
        # A new node knows only the genesis at first: those that came after it are not strangers to it.
        told = {peer: at for peer, at in self._told.items() if not all(one.was_removed(peer) for one in lists)}
        return {peer: at for peer, at in (found | told).items() if peer != self._node}


class Witness(Protocol):
    """What has been signed. `covering(index)`: a checkpoint of the members in force that covers that entry, empty while
    there is none; `agrees(peer)`: whether that node signed what a majority did; `ask(peer)` has it do so.
    """

    def covering(self, index: int) -> bytes: ...
    def agrees(self, peer: int) -> bool: ...
    def ask(self, peer: int) -> None: ...


class MembersDesk:
    """Decides on changes of members and leaves every other command to the state machine behind it."""

    def __init__(
        self,
        core: RaftCore,
        members: Members,
        machine: Decider,
        connected: Callable[[], Sequence[int]],
        witness: Witness,
    ) -> None:
        self._core, self._members, self._machine = core, members, machine
        self._connected, self._witness = connected, witness
        self._announced: dict[Membership, tuple[int, int]] = {}

    async def prepare(self, commands: Sequence[bytes]) -> None:
        await self._machine.prepare([command for command in commands if not command.startswith(_PREFIX)])

    def proposed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind == ANNOUNCED:
                self._announced[membership_of(entry.fields)] = entry.index, entry.term
            elif entry.conf is not None:
                self._announced.clear()
        self._machine.proposed(entries)

    def decide(self, command: bytes, now_us: int) -> Decision:
        if not command.startswith(_PREFIX):
            return self._machine.decide(command, now_us)
        # Another change may stand before this one in the same batch.
        self._members.follow(self._core.log, self._core.applied)
        try:
            what, number, fields = parse_frame(_KIND, command, 3)
            node = read_u64(number)
            if what == b"add":
                return self._add(record_of(decode_map(fields)))
            if what == b"rotate":
                return self._rotate(record_of(decode_map(fields)))
            return {b"promote": self._promote, b"remove": self._remove}[what](node)
        except (FrameError, EntryError, KeyError, TypeError) as error:
            return Refusal("Malformed", f"the change of members is malformed: {error!r}")
        except ChangeRefused as error:
            return Refusal("MembersRefused", str(error))

    def _add(self, record: NodeRecord) -> Decision:
        address_of(record.address)
        members = self._members.current
        if any(_identity(node) == _identity(record) for node in members.nodes):
            return self._known()
        return self._change("NodeAdded", members.with_learner(record))

    def _promote(self, node: int) -> Decision:
        members = self._members.current
        after = members.with_voter(node)
        if members.node(node).voter:
            return self._known()
        leadership = self._core.leadership
        assert leadership is not None
        match = leadership.peers[node].match
        lag = self._core.commit - match
        if lag > MAX_LAG or not match or node not in self._connected():
            return Refusal("NotCaughtUp", f"node {node} still lacks {lag} of {self._core.commit} entries")
        if not self._witness.agrees(node):
            # Its chain was checked as it came; that the whole is what a majority signed, only its own tree can show.
            self._witness.ask(node)
            return Refusal("NotCaughtUp", f"node {node} has not signed a checkpoint of the majority yet")
        return self._guarded("NodeAdded", after)

    def _rotate(self, record: NodeRecord) -> Decision:
        members = self._members.current
        after = members.with_keys(record)
        if after.nodes == members.nodes:
            return self._known()
        return self._guarded("NodeKeyRotated", after)

    def _remove(self, node: int) -> Decision:
        members = self._members.current
        if members.was_removed(node):
            return self._known()
        return self._guarded("NodeRemoved", members.without(node))

    def _guarded(self, kind: str, after: Membership) -> Decision:
        """A cluster that could not go on after the change must not make it: nothing could then undo it."""
        conf: Conf = after.conf
        there = {self._core.node, *self._connected()}
        if not has_majority(there, conf.voters):
            away = ", ".join(str(voter) for voter in conf.voters if voter not in there)
            return Refusal("MembersRefused", f"no majority of the voters would be left while {away} cannot be reached")
        return self._change(kind, after)

    def _change(self, kind: str, after: Membership) -> Decision:
        """Announces the list, or puts it in force once those it replaces have signed for the announcement.

        What another leader announced is not known here, and is announced once more: that costs one entry.
        """
        log = self._core.log
        announced, term = self._announced.get(after, (0, 0))
        if announced <= log.conf_index or log.term(announced) != term:
            return [Draft(ANNOUNCED, encode_map(after.to_fields() | {"before": log.conf_index}))]
        note = self._witness.covering(announced)
        if not note:
            return Known(announced)
        return [Draft(kind, encode_map(after.to_fields() | handover_fields(log.conf_index, announced, note)))]

    def _known(self) -> Known:
        return Known(self._core.log.conf_index)


def _identity(node: NodeRecord) -> tuple[int, str, bytes, bytes, str]:
    return node.id, node.name, node.ed25519, node.rsa, node.address


def address_of(text: str) -> Address:
    """`host:port`. Raises ChangeRefused."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ChangeRefused(f"an address is host:port, not {text!r}")
    return host, int(port)
