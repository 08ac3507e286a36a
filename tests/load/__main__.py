"""Overload: `python -m tests.load` offers three times what the cluster takes, and counts what becomes of it.

Ends with 1 on any violation: an acknowledged ballot that is not recorded once on every node, or an answer that is
neither a receipt nor a 503.
"""

from __future__ import annotations

import argparse
import json
import sys

from bench.ledger.figures import Figures

from .run import Outcome, run_load


def rows(outcome: Outcome) -> list[tuple[str, str]]:
    """(what, value), the verdict last."""
    return [
        ("sustainable, ballots a second", f"{outcome.sustainable:,.0f}"),
        ("offered, ballots a second", f"{outcome.offered:,.0f}"),
        *((f"answered {status}", f"{count:,}") for status, count in sorted(outcome.answers.items())),
        ("taken", _figures(outcome.taken)),
        ("turned away", _figures(outcome.shed)),
        ("acknowledged and recorded", f"{outcome.acknowledged:,}"),
        ("afterwards, ballots a second", f"{outcome.afterwards:,.0f}"),
        *((f"most memory, {what}", f"{mib:,.0f} MiB") for what, mib in outcome.memory.items()),
        ("verdict", "FAIL" if outcome.violations else "PASS"),
    ]


def _figures(figures: Figures | None) -> str:
    if figures is None:
        return "none"
    return f"{figures.rate:,.0f}/s, p50 {figures.p50:,.0f} ms, p99 {figures.p99:,.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long too much is asked")
    parser.add_argument("--times", type=float, default=3, help="how many times what is sustainable")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    outcome = run_load(arguments.seconds, arguments.times, say=lambda text: print(text, file=sys.stderr))
    if arguments.json:
        print(json.dumps(outcome.fields(), sort_keys=True))
    else:
        for what, value in rows(outcome):
            print(f"  {what:<40}{value:>40}")
        for violation in outcome.violations:
            print(f"violation: {violation}")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
