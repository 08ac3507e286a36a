"""Which guard each trap's scenario stands for, and what takes it away.

A guard is the exact source text, found once in its file. `tests.support.mutations` plays the scenario without it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    scenario: str
    file: str
    guard: str
    mutant: str


MUTATIONS = [
    Mutation(
        "trap-01-vote-before-durable",
        "ledger/raft/core.py",
        "self._after.append(VoteReply(self.node, message.sender, self.term, granted))",
        "self.out.send.append(VoteReply(self.node, message.sender, self.term, granted))",
    ),
    Mutation(
        "trap-02-vote-forgotten",
        "ledger/raft/core.py",
        "if term > self.term:\n            self.term, self.vote = term, 0",
        "if term >= self.term:\n            self.term, self.vote = term, 0",
    ),
    Mutation(
        "trap-03-restart-forgets-terms",
        "ledger/raft/core.py",
        "= durable.hard.term, durable.hard.vote, durable.hard.commit",
        "= 0, 0, durable.hard.commit",
    ),
    Mutation(
        "trap-04-commit-by-counting-old-terms",
        "ledger/raft/replication.py",
        "if index > core.commit and core.log.term(index) == core.term:",
        "if index > core.commit:",
    ),
    Mutation(
        "trap-05-over-acknowledging",
        "ledger/raft/core.py",
        "reply = AppendReply(self.node, message.sender, self.term, match)",
        "reply = AppendReply(self.node, message.sender, self.term, self.log.last_index)",
    ),
    Mutation(
        "trap-06-stale-append-truncates",
        "ledger/raft/core.py",
        "if self.log.term(entry.index) == entry.term:",
        "if entry.index <= self.commit:",
    ),
    Mutation(
        "trap-07-stale-refusal",
        "ledger/raft/replication.py",
        "if stale:",
        "if False:",
    ),
    Mutation(
        "trap-07-stale-acknowledgement",
        "ledger/raft/core.py",
        "if message.term < self.term:\n            self._answer_stale",
        "if message.term < self.term and not isinstance(message, AppendReply):\n            self._answer_stale",
    ),
    Mutation(
        "trap-08-commit-unverified",
        "ledger/raft/core.py",
        "self.commit_to(min(message.commit, match))",
        "self.commit_to(min(message.commit, self.log.last_index))",
    ),
    Mutation(
        "trap-08-commit-unverified",
        "ledger/raft/replication.py",
        "commit = min(progress.match, core.commit)",
        "commit = core.commit",
    ),
    Mutation("trap-08-commit-falls", "ledger/raft/core.py", "if index > self.commit:", "if index != self.commit:"),
    Mutation(
        "trap-09-read-before-own-commit",
        "ledger/raft/replication.py",
        "if not self.own_term_committed:\n            self.w",
        "if False:\n            self.w",
    ),
    Mutation(
        "trap-10-read-by-old-heartbeats", "ledger/raft/replication.py", "self.round + 1, asker)", "self.round, asker)"
    ),
    Mutation(
        "trap-10-read-by-old-heartbeats",
        "ledger/raft/replication.py",
        "if progress.round >= pending.round}",
        "if progress.round > 0}",
    ),
    Mutation(
        "trap-11-aba", "ledger/raft/log.py", "max(self.durable, min(last, self.written))", "max(self.durable, last)"
    ),
    Mutation(
        "trap-11-aba",
        "ledger/raft/core.py",
        "            if message.term < self.term:\n                continue\n",
        "",
    ),
    Mutation("trap-12-before-own-fsync", "ledger/raft/replication.py", "= core.log.durable", "= core.log.last_index"),
    Mutation(
        "trap-12-apply-before-own-fsync",
        "ledger/raft/core.py",
        "safe = min(self.commit, self.log.durable)",
        "safe = self.commit",
    ),
    Mutation(
        "trap-14-configurations-without-overlap",
        "ledger/raft/replication.py",
        "if not self.own_term_committed:\n            raise",
        "if False:\n            raise",
    ),
    Mutation(
        "trap-15-configuration-truncated", "ledger/raft/log.py", "while self._confs[-1][0] >= first:", "while False:"
    ),
    Mutation("trap-16-chain", "ledger/raft/core.py", "return self.leader != 0 and (", "return False and ("),
    Mutation("trap-16-one-way-link", "ledger/raft/replication.py", "if not self._quorum_is_active():", "if False:"),
    Mutation(
        "trap-16-partial-connectivity",
        "ledger/raft/core.py",
        "            self._precampaign()\n",
        "            self._campaign()\n",
    ),
    Mutation(
        "trap-16-removed-node",
        "ledger/raft/core.py",
        " and not self._hears_leader() and self._is_up_to_date(message)\n        term",
        "\n        term",
    ),
    Mutation(
        "trap-16-removed-node-in-doubt", "ledger/raft/core.py", "return self.leader != 0 and (", "return False and ("
    ),
    Mutation(
        "trap-17-prevote-resets-no-timer",
        "ledger/raft/core.py",
        "        term = message.term if granted else self.term\n",
        "        term = message.term if granted else self.term\n        self._reset_timer()\n",
    ),
    Mutation(
        "trap-17-own-prevote-counts", "ledger/raft/core.py", "self._votes = {self.node: True}", "self._votes = {}"
    ),
    Mutation(
        "trap-17-lower-term-prevote",
        "ledger/raft/core.py",
        "self._after.append(PreVoteReply(self.node, message.sender, self.term, False))",
        "pass",
    ),
    Mutation(
        "trap-18-acknowledged-by-position",
        "ledger/raft/core.py",
        "self.out.failed.extend(Ticket(old.term, old.index) for old in dropped)",
        "pass",
    ),
    Mutation(
        "trap-19-retry-after-lost-reply",
        "ledger/raft/core.py",
        "granted = free and self._is_up_to_date(message)",
        "granted = free",
    ),
    Mutation(
        "trap-26-votes-on-an-unpersisted-log",
        "ledger/raft/core.py",
        "self._after.append(kind(self.node, voter, term, last_index, last_term, transfer))",
        "self.out.send.append(kind(self.node, voter, term, last_index, last_term, transfer))",
    ),
    Mutation(
        "trap-26-split-write", "ledger/raft/core.py", "whole = self.log.written == self.log.last_index", "whole = True"
    ),
    Mutation("trap-27-follower-never-catches-up", "ledger/raft/replication.py", "if not self.pace.room:", "if False:"),
    Mutation(
        "trap-27-follower-never-catches-up",
        "ledger/raft/progress.py",
        "progress.still <= self._config.patience_ticks",
        "True",
    ),
    Mutation("trap-28-deep-pipeline", "ledger/raft/replication.py", "or progress.inflight >= limit:", "and False:"),
    Mutation("flow-stalled-disk", "ledger/raft/replication.py", "elif self.core.write_ticks > self", "elif 0 > self"),
    Mutation(
        "flow-stalled-disk",
        "ledger/raft/replication.py",
        "if best and self.peers[best].match > self.core.log.durable:",
        "if best:",
    ),
    Mutation("conf-leader-removes-itself", "ledger/raft/replication.py", "            self._leave_if_removed()\n", ""),
    Mutation(
        "conf-removal-in-doubt",
        "ledger/raft/log.py",
        "self._confs[-2:] if self.conf_index > commit else self._confs[-1:]",
        "self._confs[-1:]",
    ),
    Mutation("conf-refusals", "ledger/raft/replication.py", "if log.conf_index > self.core.commit:", "if False:"),
    Mutation("conf-last-voter", "ledger/raft/replication.py", "if not record.conf.voters:", "if False:"),
    Mutation(
        "flow-transfer", "ledger/raft/core.py", "case TimeoutNow() if not self.leadership and ", "case TimeoutNow() if "
    ),
    Mutation("flow-merged-answers", "ledger/raft/replication.py", "if progress.next == match + 1:", "if False:"),
    Mutation(
        "flow-catch-up-guess",
        "ledger/raft/progress.py",
        "        if not self.probing:\n            self.next",
        "        if True:\n            self.next",
    ),
    Mutation(
        "trap-13-applied-twice",
        "ledger/applier.py",
        "        async with self._connection.pipeline():\n"
        "            cursor = self._connection.cursor()\n"
        '            await cursor.execute("BEGIN", prepare=False)\n'
        "            # First of all: should an earlier process of this node still be at it, whoever is second fails.\n"
        '            await cursor.execute("select ledger_apply(%b, %b)", (self.applied, last))\n',
        # Not merely before BEGIN: a pipeline is one transaction, and BEGIN takes in what came before.
        '        await self._connection.execute("select ledger_apply(%b, %b)", (self.applied, last))\n'
        "        async with self._connection.pipeline():\n"
        "            cursor = self._connection.cursor()\n"
        '            await cursor.execute("BEGIN", prepare=False)\n',
    ),
    Mutation(
        "trap-13-applied-by-two",
        "ledger/migrations/0003_applied_once.sql",
        " where index = p_from;",
        ";",
    ),
    Mutation(
        "trap-20-unknown-commit",
        "ledger/node.py",
        'die(f"the outcome of a write is unknown: {error}")',
        'log.error("a write failed: %s", error)',
    ),
    Mutation(
        "trap-20-failed-write",
        "ledger/node.py",
        'die(f"the outcome of a write is unknown: {error}")',
        'log.error("a write failed: %s", error)',
    ),
    Mutation(
        "trap-21-amnesia",
        "ledger/statefile.py",
        "if term < state.term or ",
        "if ",
    ),
    Mutation(
        "trap-21-amnesia",
        "ledger/statefile.py",
        "last_index < state.last_index or ",
        "",
    ),
    Mutation(
        "trap-21-amnesia",
        "ledger/statefile.py",
        " or vote_lost:",
        ":",
    ),
    Mutation(
        "trap-21-amnesia",
        "ledger/statefile.py",
        " or data != _checked(record):",
        ":",
    ),
    Mutation(
        "trap-21-amnesia",
        "ledger/table.py",
        "return durable, state_file.begin(hard.term, hard.vote, *place(durable.tail))",
        "return durable, 1",
    ),
    Mutation(
        "trap-22-two-writers",
        "ledger/takeover.py",
        "        await connection.execute(_END_HOLDER, (lock,))\n",
        "",
    ),
    Mutation(
        "trap-22-stale-epoch",
        "ledger/migrations/0001_log.sql",
        "vote = p_vote where epoch = p_epoch;",
        "vote = p_vote;",
    ),
    Mutation(
        "trap-22-stale-epoch",
        "ledger/table.py",
        "set epoch = epoch + 1 returning",
        "set epoch = epoch returning",
    ),
    Mutation(
        "trap-22-two-appliers",
        "ledger/applier.py",
        "        await take_over(self._connection, APPLIER_LOCK)\n",
        "",
    ),
    Mutation(
        "trap-23-flipped-leaf",
        "ledger/table.py",
        "        state_file.compare(entry.index, entry.hash)\n",
        "        pass\n",
    ),
    Mutation(
        "trap-23-flipped-before-signing",
        "ledger/applier.py",
        "if prev_hash != self._head:",
        "if False:",
    ),
    Mutation(
        "trap-23-flipped-before-signing",
        "ledger/table.py",
        "            check_link(before, entry)\n",
        "            pass\n",
    ),
    Mutation(
        "trap-23-flipped-tile",
        "ledger/node.py",
        "        self.vouched.compare(applier.applied, applier.tree)\n",
        "",
    ),
    Mutation(
        "trap-23-flipped-newest",
        "ledger/node.py",
        '        self.vouched.add("a majority", checkpoint.size, checkpoint.root)\n',
        "",
    ),
    Mutation(
        "trap-23-flipped-newest",
        "ledger/node.py",
        "            self.notes.write_out()\n",
        "",
    ),
    Mutation(
        "trap-24-equivocation",
        "ledger/raft/core.py",
        "safe = min(self.commit, self.log.durable)",
        "safe = self.log.durable",
    ),
    Mutation(
        "trap-24-minority",
        "ledger/cosign.py",
        "len(current.lines) < len(voters) // 2 + 1:",
        "len(current.lines) < 1:",
    ),
    Mutation(
        "trap-24-not-yet-applied",
        "ledger/cosign.py",
        "            if size <= applied:\n",
        "            if True:\n",
    ),
    Mutation(
        "trap-24-not-yet-applied",
        "ledger/cosign.py",
        " or self.applied < current.size:",
        ":",
    ),
    Mutation(
        "trap-24-signed-before",
        "ledger/cosign.py",
        "if self.alarm or size < self.signed_size:",
        "if self.alarm:",
    ),
    Mutation(
        "trap-25-wrong-place",
        "ledger/proof.py",
        "    check_index(index, size)\n    _check_lengths(leaf",
        "    _check_lengths(leaf",
    ),
    Mutation(
        "trap-25-wrong-place",
        "ledger/proof.py",
        '        if last == 0:\n            raise ProofError("the proof has extra nodes")\n'
        "        if position % 2 or position == last:\n            computed",
        "        if position % 2 or position == last:\n            computed",
    ),
    Mutation(
        "trap-25-wrong-log",
        "ledger/checkpoint.py",
        "if checkpoint.origin != origin:",
        "if False:",
    ),
    Mutation(
        "trap-25-wrong-log",
        "ledger/checkpoint.py",
        "if cosigned < len(members) // 2 + 1:",
        "if False:",
    ),
    Mutation(
        "trap-25-wrong-log",
        "ledger/checkpoint.py",
        "if not signed[Signature.RSA_PSS]:",
        "if False:",
    ),
    Mutation(
        "trap-25-wrong-log",
        "ledger/checkpoint.py",
        "            _verify(kind, member, blob[_KEY_ID_SIZE:], body)\n            signed",
        "            signed",
    ),
    Mutation(
        "trap-25-wrong-proof",
        "ledger/proof.py",
        '    if last:\n        raise ProofError("the proof lacks nodes")\n    if computed != root:\n',
        "    if computed != root:\n",
    ),
    Mutation(
        "trap-25-wrong-proof",
        "ledger/proof.py",
        "    if computed != root:",
        "    if False:",
    ),
    Mutation(
        "trap-25-wrong-proof",
        "ledger/receipt.py",
        "        verify_inclusion(leaf_hash(receipt.header), receipt.index, checkpoint.size, receipt.proof, "
        "checkpoint.root)\n",
        "        pass\n",
    ),
    Mutation(
        "store-writes",
        "ledger/migrations/0001_log.sql",
        " where commit < p_commit;",
        ";",
    ),
    Mutation(
        "store-writes",
        "ledger/migrations/0001_log.sql",
        "    if old.index <= (select commit from ledger_state)\n       and not exists",
        "    if false\n       and not exists",
    ),
    Mutation(
        "store-refusals",
        "ledger/migrations/0001_log.sql",
        "if old.index <= (select commit from ledger_state) then",
        "if false then",
    ),
    Mutation(
        "store-refusals",
        "ledger/migrations/0001_log.sql",
        " or new.term < old.term or",
        " or",
    ),
    Mutation(
        "store-truncation",
        "ledger/migrations/0001_log.sql",
        "        delete from ledger_entry where index >= p_truncate;\n",
        "",
    ),
]
