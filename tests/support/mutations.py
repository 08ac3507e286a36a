"""Takes one guard at a time out of a copy of the Raft core and plays the scenario that must then fail.

`python -m tests.support.mutations` prints a table and ends with 1 if a mutation survives: then its scenario proves
nothing. Each guard is the exact source text, found once, that the mutation replaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios"
LONGEST_RUN_S = 60


@dataclass(frozen=True, slots=True)
class Mutation:
    scenario: str
    file: str
    guard: str
    mutant: str


MUTATIONS = [
    Mutation(
        "trap-01-vote-before-durable",
        "core.py",
        "self._after.append(VoteReply(self.node, message.sender, self.term, granted))",
        "self.out.send.append(VoteReply(self.node, message.sender, self.term, granted))",
    ),
    Mutation(
        "trap-02-vote-forgotten",
        "core.py",
        "if term > self.term:\n            self.term, self.vote = term, 0",
        "if term >= self.term:\n            self.term, self.vote = term, 0",
    ),
    Mutation(
        "trap-03-restart-forgets-terms",
        "core.py",
        "= durable.hard.term, durable.hard.vote, durable.hard.commit",
        "= 0, 0, durable.hard.commit",
    ),
    Mutation(
        "trap-04-commit-by-counting-old-terms",
        "replication.py",
        "if index > core.commit and core.log.term(index) == core.term:",
        "if index > core.commit:",
    ),
    Mutation(
        "trap-05-over-acknowledging",
        "core.py",
        "reply = AppendReply(self.node, message.sender, self.term, match)",
        "reply = AppendReply(self.node, message.sender, self.term, self.log.last_index)",
    ),
    Mutation(
        "trap-06-stale-append-truncates",
        "core.py",
        "if self.log.term(entry.index) == entry.term:",
        "if entry.index <= self.commit:",
    ),
    Mutation(
        "trap-07-stale-refusal",
        "replication.py",
        "if stale:",
        "if False:",
    ),
    Mutation(
        "trap-07-stale-acknowledgement",
        "core.py",
        "if message.term < self.term:\n            self._answer_stale",
        "if message.term < self.term and not isinstance(message, AppendReply):\n            self._answer_stale",
    ),
    Mutation(
        "trap-08-commit-unverified",
        "core.py",
        "self.commit_to(min(message.commit, match))",
        "self.commit_to(min(message.commit, self.log.last_index))",
    ),
    Mutation(
        "trap-08-commit-unverified",
        "replication.py",
        "commit = min(progress.match, core.commit)",
        "commit = core.commit",
    ),
    Mutation("trap-08-commit-falls", "core.py", "if index > self.commit:", "if index != self.commit:"),
    Mutation(
        "trap-09-read-before-own-commit",
        "replication.py",
        "if not self.own_term_committed:\n            self.w",
        "if False:\n            self.w",
    ),
    Mutation("trap-10-read-by-old-heartbeats", "replication.py", "self.round + 1, asker)", "self.round, asker)"),
    Mutation(
        "trap-10-read-by-old-heartbeats",
        "replication.py",
        "if progress.round >= pending.round}",
        "if progress.round > 0}",
    ),
    Mutation("trap-11-aba", "log.py", "max(self.durable, min(last, self.written))", "max(self.durable, last)"),
    Mutation(
        "trap-11-aba",
        "core.py",
        "            if message.term < self.term:\n                continue\n",
        "",
    ),
    Mutation("trap-12-before-own-fsync", "replication.py", "= core.log.durable", "= core.log.last_index"),
    Mutation(
        "trap-12-apply-before-own-fsync", "core.py", "safe = min(self.commit, self.log.durable)", "safe = self.commit"
    ),
    Mutation(
        "trap-14-configurations-without-overlap",
        "replication.py",
        "if not self.own_term_committed:\n            raise",
        "if False:\n            raise",
    ),
    Mutation("trap-15-configuration-truncated", "log.py", "while self._confs[-1][0] >= first:", "while False:"),
    Mutation("trap-16-chain", "core.py", "return self.leader != 0 and (", "return False and ("),
    Mutation("trap-16-one-way-link", "replication.py", "if not self._quorum_is_active():", "if False:"),
    Mutation(
        "trap-16-partial-connectivity",
        "core.py",
        "            self._precampaign()\n",
        "            self._campaign()\n",
    ),
    Mutation(
        "trap-16-removed-node",
        "core.py",
        " and not self._hears_leader() and self._is_up_to_date(message)\n        term",
        "\n        term",
    ),
    Mutation("trap-16-removed-node-in-doubt", "core.py", "return self.leader != 0 and (", "return False and ("),
    Mutation(
        "trap-17-prevote-resets-no-timer",
        "core.py",
        "        term = message.term if granted else self.term\n",
        "        term = message.term if granted else self.term\n        self._reset_timer()\n",
    ),
    Mutation("trap-17-own-prevote-counts", "core.py", "self._votes = {self.node: True}", "self._votes = {}"),
    Mutation(
        "trap-17-lower-term-prevote",
        "core.py",
        "self._after.append(PreVoteReply(self.node, message.sender, self.term, False))",
        "pass",
    ),
    Mutation(
        "trap-18-acknowledged-by-position",
        "core.py",
        "self.out.failed.extend(Ticket(old.term, old.index) for old in dropped)",
        "pass",
    ),
    Mutation(
        "trap-19-retry-after-lost-reply", "core.py", "granted = free and self._is_up_to_date(message)", "granted = free"
    ),
    Mutation(
        "trap-26-votes-on-an-unpersisted-log",
        "core.py",
        "self._after.append(kind(self.node, voter, term, last_index, last_term, transfer))",
        "self.out.send.append(kind(self.node, voter, term, last_index, last_term, transfer))",
    ),
    Mutation("trap-26-split-write", "core.py", "whole = self.log.written == self.log.last_index", "whole = True"),
    Mutation("trap-27-follower-never-catches-up", "replication.py", "if not self.pace.room:", "if False:"),
    Mutation(
        "trap-27-follower-never-catches-up", "progress.py", "progress.still <= self._config.patience_ticks", "True"
    ),
    Mutation("trap-28-deep-pipeline", "replication.py", "or progress.inflight >= limit:", "and False:"),
    Mutation("flow-stalled-disk", "replication.py", "elif self.core.write_ticks > self", "elif 0 > self"),
    Mutation(
        "flow-stalled-disk", "replication.py", "if best and self.peers[best].match > self.core.log.durable:", "if best:"
    ),
    Mutation("conf-leader-removes-itself", "replication.py", "            self._leave_if_removed()\n", ""),
    Mutation(
        "conf-removal-in-doubt",
        "log.py",
        "self._confs[-2:] if self.conf_index > commit else self._confs[-1:]",
        "self._confs[-1:]",
    ),
    Mutation("conf-refusals", "replication.py", "if log.conf_index > self.core.commit:", "if False:"),
    Mutation("conf-last-voter", "replication.py", "if not record.conf.voters:", "if False:"),
    Mutation("flow-transfer", "core.py", "case TimeoutNow() if not self.leadership and ", "case TimeoutNow() if "),
    Mutation("flow-merged-answers", "replication.py", "if progress.next == match + 1:", "if False:"),
    Mutation(
        "flow-catch-up-guess",
        "progress.py",
        "        if not self.probing:\n            self.next",
        "        if True:\n            self.next",
    ),
]


def mutate(mutation: Mutation, place: Path) -> None:
    """Lays out a package `ballot` with a mutated core in `place`. Raises ValueError unless the guard is there once."""
    package = place / "ballot" / "ledger"
    shutil.copytree(ROOT / "ledger" / "raft", package / "raft", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    path = package / "raft" / mutation.file
    source = path.read_text()
    if source.count(mutation.guard) != 1:
        raise ValueError(f"{mutation.scenario}: the guard is in {mutation.file} {source.count(mutation.guard)} times")
    path.write_text(source.replace(mutation.guard, mutation.mutant))


def judge(mutation: Mutation) -> str:
    """Plays the scenario on the mutated core: what broke, or SURVIVED."""
    with tempfile.TemporaryDirectory() as folder:
        mutate(mutation, Path(folder))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "REWRITE_SCENARIOS": ""}
        command = [sys.executable, "-m", "tests.support.scenario", str(SCENARIOS / f"{mutation.scenario}.txt")]
        try:
            run = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_RUN_S
            )
        except subprocess.TimeoutExpired:
            return "fails: it never ends"
    if run.returncode == 0:
        return "SURVIVED"
    if run.stderr:
        return f"BROKEN: {run.stderr.strip().splitlines()[-1]}"
    violations = [line[1:] for line in run.stdout.splitlines() if line.startswith("+VIOLATION")]
    return f"fails: {violations[0].removeprefix('VIOLATION: ')}" if violations else "fails: the output differs"


def main() -> int:
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        verdicts = list(pool.map(judge, MUTATIONS))
    for mutation, verdict in zip(MUTATIONS, verdicts, strict=True):
        guard = " ".join(mutation.guard.split())
        print(f"{mutation.scenario:<40} {mutation.file:<15} {guard[:60]:<60} {verdict}")
    return 0 if all(verdict.startswith("fails") for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
