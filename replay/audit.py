"""The audit: what anyone can verify of a ledger and its elections from the public export alone.

Records go in, a report comes out. Nothing here opens a socket or a database, and nothing in the export is believed:
keys come from the log's own genesis (pin its hash, or what you audit may be a log of somebody's own making), and
everything else follows from signatures under them or is computed again.

A finding never stops the audit; what can still be checked is. Levels, from the bytes up:

- structure: the file, every entry and every payload parse
- chain: every entry follows the one before, the tree leads to the checkpoints' roots, the last covers the end
- signatures: checkpoints under the keys in force, changes of members under those before, identity keys, requests,
  blind signatures, credentials, ballots, claims, releases, attestations; one key has one purpose
- ballots: definition, roll, one issue a voter, cast = closed = published, the board in order, no key twice
- count: the released keys, every envelope opened and sealed again, the count byte for byte, what nodes attest
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..ledger.entry import Entry
from . import checks_ballots, checks_count, checks_election
from .accounting import account, note_checkpoint
from .checks_chain import ChainCheck
from .checks_count import Progress, Recount, check_attestations
from .events import EventError, UnknownKind, read_event
from .export import CheckpointRecord, EndRecord, EntryRecord, ExportError, Record
from .pool import Flaw, Pool
from .report import ElectionReport, Findings, Level, Report, reaches
from .scene import Election, Handlers, Scene

PROGRESS_ENTRIES = 256
# Who reads that many will have signatures to check on all cores.
MANY_ENTRIES = 4096

HANDLERS: Handlers = {**checks_election.HANDLERS, **checks_ballots.HANDLERS, **checks_count.HANDLERS}


def audit(
    records: Iterable[Record],
    *,
    genesis_hash: bytes | None = None,
    on_progress: Progress | None = None,
    workers: int | None = None,
    level: Level = Level.COUNT,
    reopen: bool = False,
) -> Report:
    """Audits an export, read once from front to end, up to `level` inclusive.

    `genesis_hash` (32 bytes) pins the ledger. `on_progress(what, done, total)` is called now and then. Checks run on
    `workers` processes, by default one a core; a small export is checked in this process. Ballots are opened by the
    published seeds where there are some, and with `reopen` every one with the released keys. Raises BrokenExecutor when
    a worker was ended from outside, OSError for want of room for temporary data.
    """
    auditor = _Auditor(genesis_hash, on_progress or _no_progress, workers or os.cpu_count() or 1, level, reopen)
    try:
        auditor.read(records)
        return auditor.report()
    finally:
        auditor.close()


class _Auditor:
    def __init__(
        self, genesis_hash: bytes | None, progress: Progress, workers: int, level: Level, reopen: bool
    ) -> None:
        findings = Findings(level)

        def report(index: int, flaw: Flaw) -> None:
            findings.add(flaw.level, flaw.name, index, flaw.detail)

        self._pool = Pool(workers, report)
        self._level, self._deep = level, reaches(level, Level.SIGNATURES)
        self._scene = Scene(findings, self._pool, self._deep)
        self._chain = ChainCheck(self._scene, genesis_hash)
        self._progress, self._reopen = progress, reopen

    def read(self, records: Iterable[Record]) -> None:
        end: EndRecord | None = None
        is_export = True
        try:
            for record in records:
                if end is not None:
                    self._find_structure("ExportGoesOn", "a record follows the end")
                    break
                end = self._take(record)
        except ExportError as error:
            self._find_structure("MalformedExport", str(error))
            is_export = self._scene.tree.size > 0
        if is_export:
            self._chain.end(end)
        self._scene.settle()
        self._pool.flush()

    def _take(self, record: Record) -> EndRecord | None:
        if isinstance(record, EntryRecord):
            entry = self._chain.entry(record.header, record.public)
            if entry is not None:
                self._take_entry(entry)
                if entry.index == MANY_ENTRIES and self._deep:
                    self._pool.prepare()
                if entry.index % PROGRESS_ENTRIES == 0:
                    self._progress("reading entries", self._scene.tree.size, 0)
        elif isinstance(record, CheckpointRecord):
            self._chain.checkpoint(record.note)
            if self._chain.covered == self._scene.tree.size:
                note_checkpoint(self._scene)
        else:
            return record
        return None

    def _take_entry(self, entry: Entry) -> None:
        try:
            event = read_event(entry)
        except UnknownKind as error:
            self._scene.find(Level.STRUCTURE, "UnknownKind", entry.index, str(error))
        except EventError as error:
            self._scene.find(Level.STRUCTURE, "MalformedEvent", entry.index, str(error))
        else:
            if not self._deep:
                return
            self._scene.time_us = entry.time_us
            handler = HANDLERS.get(type(event))
            if handler is not None:
                handler(self._scene, entry.index, event)

    def _find_structure(self, name: str, detail: str) -> None:
        self._scene.find(Level.STRUCTURE, name, self._scene.tree.size + 1, detail)

    def report(self) -> Report:
        scene = self._scene
        elections = [self._report_election(election) for election in scene.elections.values()]
        return Report(
            findings=scene.findings.sorted(),
            more=scene.findings.more(),
            recoveries=scene.recoveries,
            elections=elections,
            entries=scene.tree.size,
            checkpoints=self._chain.checkpoints,
            genesis=scene.genesis.hex(),
            root=scene.tree.root().hex(),
            level=self._level,
        )

    def _report_election(self, election: Election) -> ElectionReport:
        checks_ballots.finish(self._scene, election)
        recount = Recount(self._scene, election, reopen=self._reopen)
        if self._level is Level.COUNT:
            recount.run(self._progress)
        dissenting = check_attestations(self._scene, election, recount.document)
        return ElectionReport(
            election=election.election.hex(),
            eid=election.eid.hex(),
            title=election.definition.title if election.definition else "",
            status=election.status,
            accounting=recount.complete(account(election)),
            recounted=bool(recount.document),
            by_seed=recount.by_seed,
            by_keys=recount.by_keys,
            disputed=bool(dissenting),
            attested=sorted(election.attested),
            dissenting=dissenting,
            minting=election.minting,
            outcomes=recount.outcomes,
            series=election.series,
        )

    def close(self) -> None:
        self._pool.close()
        self._scene.close()


def _no_progress(what: str, done: int, total: int) -> None:
    pass
