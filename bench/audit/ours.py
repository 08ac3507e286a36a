"""One audit or rebuild in a process of its own, watched from outside: its time, its processor time, its memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.processes import share_mib, with_children

SAMPLE_S = 0.1


def run_ours(what: str, path: Path, workers: int) -> dict[str, Any]:
    """What the process says of itself, and `peak_mib`: the resident memory of all its processes together, at most.

    `what` is a level of the audit, or `rebuild`. Raises SystemExit when it fails.
    """
    command = [sys.executable, "-m", "bench.audit.ours", what, str(path), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(SAMPLE_S)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{what} of {path.name} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(output)
    return found | {"peak_mib": peak}


def _resident(pid: int) -> float:
    total = 0.0
    for one in with_children(pid):
        try:
            total += share_mib(one)
        except (OSError, StopIteration):  # It has ended meanwhile.
            continue
    return total


def main(what: str, path: str, workers: str) -> None:
    from ballot.replay.audit import audit
    from ballot.replay.rebuild import rebuild_in_memory
    from ballot.replay.report import Level
    from ballot.replay.source import open_source

    begun = time.perf_counter()
    if what == "rebuild":
        entries, _ = rebuild_in_memory(open_source(path))
        passed = True
    else:
        report = audit(open_source(path), workers=int(workers), level=Level(what))
        entries, passed = report.entries, report.passed
    wall = time.perf_counter() - begun
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(use.ru_utime + use.ru_stime for use in uses)
    json.dump({"entries": entries, "seconds": wall, "cpu_s": cpu}, sys.stdout)
    sys.stdout.flush()
    os._exit(0 if passed else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
