"""The ledger process in figures, in Prometheus' text format: what an operator graphs and is woken by."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .applier import Applier
from .clock import Clock
from .desk import Desk
from .notes import Notes
from .raft.core import LEADER, RaftCore
from .settings import NodeSettings
from .transport import Transport

US = 1_000_000
# A commit of PostgreSQL: from a disk that lies to one that is about to fail.
WRITE_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Measured(Protocol):
    """The parts of a node that have something to say. Some are there only once it has started."""

    settings: NodeSettings
    core: RaftCore
    applier: Applier
    notes: Notes
    clock: Clock
    transport: Transport
    desk: Desk


class NodeMetrics(Collector):
    """What is counted as it happens, and what is read off the node when somebody asks."""

    def __init__(self, node: Measured) -> None:
        self._node = node
        self._registry = CollectorRegistry(auto_describe=False)
        self.writes = Histogram(
            "ballot_ledger_write_seconds",
            "One write of the log table, its fsync included.",
            buckets=WRITE_BUCKETS,
            registry=self._registry,
        )
        self.entries = Counter("ballot_ledger_entries_written", "Entries made durable here.", registry=self._registry)
        self._changes = Counter(
            "ballot_ledger_leader_changes", "Leaders seen after one another.", registry=self._registry
        )
        self._leader = 0
        self._registry.register(self)

    def saw_leader(self, leader: int) -> None:
        """`leader` is 0 while none is known, which is no change yet."""
        if leader and leader != self._leader:
            self._changes.inc(bool(self._leader))
            self._leader = leader

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield from self._consensus()
        yield from self._peers()
        yield from self._clock()
        yield from self._rest()

    def _consensus(self) -> Iterator[Metric]:
        node = self._node
        core = node.core
        yield _gauge("term", "The term of consensus.", core.term)
        yield _gauge("is_leader", "1 on the node that leads.", core.role == LEADER)
        yield _gauge("leader", "The node that leads as seen from here, 0 while none is known.", core.leader)
        yield _gauge("last_index", "The newest entry here, durable or not.", core.log.last_index)
        yield _gauge("durable_index", "The newest entry on this node's disk.", core.log.durable)
        yield _gauge("commit_index", "The newest entry known to be on a majority's disks.", core.commit)
        yield _gauge("applied_index", "The newest entry in this node's tables.", node.applier.applied)
        yield _gauge("checkpoint_size", "How many entries a majority has signed for.", node.notes.newest_size)
        age = time.monotonic() - node.notes.newest_at if node.notes.newest_size < node.applier.applied else 0.0
        yield _gauge("checkpoint_age_seconds", "Since the newest checkpoint, 0 while it covers everything.", age)

    def _peers(self) -> Iterator[Metric]:
        core, connected = self._node.core, self._node.transport.connected()
        up = _gauge("peer_connected", "Whether this node has a connection to the peer.", labels=["peer"])
        for peer in self._node.transport.peers:
            up.add_metric([str(peer)], peer in connected)
        yield up
        lag = _gauge("follower_lag_entries", "Committed entries that a follower lacks; on the leader.", labels=["peer"])
        if core.leadership is not None:
            for peer, progress in core.leadership.peers.items():
                lag.add_metric([str(peer)], max(0, core.commit - progress.match))
        yield lag

    def _clock(self) -> Iterator[Metric]:
        clock = self._node.clock
        offset = _gauge("clock_offset_seconds", "The peer's clock less this one's; on the leader.", labels=["peer"])
        for peer, sample in clock.offsets().items():
            offset.add_metric([str(peer)], sample.offset_us / US)
        yield offset
        yield _gauge("clock_correction_seconds", "The quorum's time less this clock's.", clock.correction_us / US)
        yield _gauge("clock_out_of_bound", "1 while this clock is too far from the quorum's.", clock.out_of_bound)

    def _rest(self) -> Iterator[Metric]:
        refusals = CounterMetricFamily(
            "ballot_ledger_refusals", "Commands refused by this node as leader.", labels=["refusal"]
        )
        for name, count in self._node.desk.refusals.items():
            refusals.add_metric([name], count)
        yield refusals
        usage = shutil.disk_usage(self._node.settings.state_file.parent)
        yield _gauge("disk_free_bytes", "Free where this node keeps its state file.", usage.free)
        yield _gauge("disk_size_bytes", "The size of that file system.", usage.total)


def _gauge(name: str, what: str, value: float | None = None, labels: list[str] | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ballot_ledger_{name}", what, value=value, labels=labels)
