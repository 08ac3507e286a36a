"""Processor time and memory of processes, as the kernel counts them: proc(5)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds that these processes and all they started and that still run have used so far."""
    parents = {pid: parent for pid, (parent, _) in _table().items()}
    times = {pid: used for pid, (_, used) in _table().items()}
    wanted = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    return sum(times.get(pid, 0.0) for pid in wanted)


def _table() -> dict[int, tuple[int, float]]:
    """(parent, seconds used) of every process."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(place.parent.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS
    return found


def memory_mib(pid: int) -> tuple[float, float]:
    """(resident now, resident at most so far)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values["VmRSS"].split()[0]) / 1024, int(values["VmHWM"].split()[0]) / 1024
