"""Runs the simulator: `python -m tests.sim --seeds 1000 --steps 2000 --jobs 2`, or one seed with its trace: `--seed 7`.

Ends with 1 when a seed failed; each failing seed is printed with the command that runs it again.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.sim.bugs import BUGS
from tests.sim.run import Outcome, run_seed

CHUNK = 50
SHOW_FAILURES = 20

Chunk = tuple[int, int, int, str]


def run_chunk(chunk: Chunk) -> tuple[Counter[str], list[Outcome]]:
    """The totals of a run of seeds, and those that failed."""
    first, count, steps, bug = chunk
    totals: Counter[str] = Counter()
    failures = []
    gc.disable()  # A run makes much garbage and little of it in cycles: collecting once at its end is faster.
    for seed in range(first, first + count):
        outcome = run_seed(seed, steps, bug=bug)
        totals.update(outcome.totals)
        totals["seeds"] += 1
        if outcome.failure:
            failures.append(outcome)
        if seed % 10 == 0:
            gc.collect()
    gc.enable()
    return totals, failures


def run_all(first: int, seeds: int, steps: int, jobs: int, bug: str) -> Iterator[tuple[Counter[str], list[Outcome]]]:
    last = first + seeds
    chunks = [(start, min(CHUNK, last - start), steps, bug) for start in range(first, last, CHUNK)]
    if jobs == 1:
        yield from map(run_chunk, chunks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_chunk, chunks)


def rerun(seed: int, steps: int, bug: str) -> str:
    return f"python -m tests.sim --seed {seed} --steps {steps}" + (f" --bug {bug}" if bug else "")


def run_many(arguments: argparse.Namespace) -> int:
    steps, bug = arguments.steps, arguments.bug
    totals: Counter[str] = Counter()
    failures: list[Outcome] = []
    begun = time.monotonic()
    for more, failed in run_all(arguments.first, arguments.seeds, steps, arguments.jobs, bug):
        totals.update(more)
        failures += failed
        if sys.stderr.isatty() and not arguments.json:
            print(f"\r{totals['seeds']} of {arguments.seeds} seeds, {len(failures)} failed", end="", file=sys.stderr)
    seconds = time.monotonic() - begun
    if arguments.json:
        failed_seeds = [{"seed": o.seed, "failure": o.failure, "rerun": rerun(o.seed, steps, bug)} for o in failures]
        print(json.dumps({"totals": totals, "seconds": round(seconds, 1), "failures": failed_seeds}, sort_keys=True))
    else:
        report(totals, failures, seconds, steps, bug)
    return 1 if failures else 0


def report(totals: Counter[str], failures: list[Outcome], seconds: float, steps: int, bug: str) -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for name in ("seeds", "steps", *sorted(set(totals) - {"seeds", "steps"})):
        print(f"{totals[name]:>14,}  {name}")
    print(f"{seconds:14.1f}  seconds, {totals['steps'] / max(seconds, 1e-9):,.0f} steps a second")
    for outcome in failures[:SHOW_FAILURES]:
        print(f"seed {outcome.seed}: {outcome.failure}\n    {rerun(outcome.seed, steps, bug)}")
    if len(failures) > SHOW_FAILURES:
        print(f"and {len(failures) - SHOW_FAILURES} more seeds failed")


def run_one(arguments: argparse.Namespace) -> int:
    outcome = run_seed(arguments.seed, arguments.steps, bug=arguments.bug, tell=print)
    if outcome.failure:
        print(f"\n{outcome.where}\nseed {outcome.seed}: {outcome.failure}")
        return 1
    print(f"\nseed {outcome.seed} holds: " + ", ".join(f"{n} {what}" for what, n in sorted(outcome.totals.items())))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run")
    parser.add_argument("--steps", type=int, default=2000, help="events of a run before its faults end")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="run this seed alone and print its trace")
    parser.add_argument("--bug", choices=sorted(BUGS), default="", help="plant a bug, which should then be found")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    return run_many(arguments) if arguments.seed is None else run_one(arguments)


if __name__ == "__main__":
    sys.exit(main())
