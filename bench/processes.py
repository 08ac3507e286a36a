"""Processor time and memory of processes, as the kernel counts them: proc(5)."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds that these processes and all they started and that still run have used so far."""
    table = _table()
    return sum(table[pid][1] for pid in _with_children(table, pids) if pid in table)


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


def share_mib(pid: int) -> float:
    """Resident now, pages that several processes share counted in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def own_cpu_s() -> float:
    """Seconds of processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def with_children(pid: int) -> set[int]:
    """This process and all that it started and that still run."""
    return _with_children(_table(), [pid])


def _with_children(table: Mapping[int, tuple[int, float]], pids: Iterable[int]) -> set[int]:
    wanted = set(pids)
    while more := {pid for pid, (parent, _) in table.items() if parent in wanted} - wanted:
        wanted |= more
    return wanted
