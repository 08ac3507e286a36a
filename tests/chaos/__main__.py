"""Chaos against real processes and real PostgreSQL: `python -m tests.chaos --seconds 600 --seed 1`.

The seed draws the faults and the casts; when exactly they fall is up to the machine, so a seed is not one run. Ends
with 1 on any violation, with the folder kept for inspection. Cut links and a full disk need root and iproute2.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys

from .run import Outcome, run_chaos


def rows(outcome: Outcome) -> list[tuple[str, str]]:
    """(what, value), the verdict last."""
    return [
        ("voters", str(outcome.voters)),
        *((f"casts: {name}", str(outcome.casts[name])) for name in sorted(outcome.casts)),
        *((f"faults: {name}", str(outcome.faults[name])) for name in sorted(outcome.faults)),
        ("restarts by the supervisor", str(outcome.restarts)),
        ("leader changes", str(outcome.leader_changes)),
        ("longest gap without an answer", f"{outcome.longest_gap_s:.2f} s"),
        ("all nodes ready after the last fault", f"{outcome.healed_in_s:.2f} s"),
        *([("cut links and full disk", f"left out: {outcome.left_out}")] if outcome.left_out else []),
        ("verdict", "FAIL" if outcome.violations else "PASS"),
    ]


def show(outcome: Outcome) -> None:
    print(f"chaos: {outcome.seconds:g} s, seed {outcome.seed}")
    for what, value in rows(outcome):
        print(f"  {what:<46}{value:>10}")
    for violation in outcome.violations:
        print(f"violation: {violation}")
    if outcome.violations:
        print(f"again: python -m tests.chaos --seconds {outcome.seconds:g} --seed {outcome.seed}")
        print(f"logs and databases: {outcome.folder}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long things go wrong")
    parser.add_argument("--seed", type=int, default=1, help="draws what goes wrong and who casts when")
    parser.add_argument("--voters", type=int, default=0, help="how many; by default one a second, at least 60")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    # As after Ctrl-C, everything is taken down in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    outcome = run_chaos(arguments.seconds, arguments.seed, arguments.voters)
    if arguments.json:
        print(json.dumps(outcome.fields(), sort_keys=True))
    else:
        show(outcome)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
