"""`python -m tests.support.golden NAME [SOURCE]`: keeps an export for good, with what it led to when it was made.

SOURCE is an export (file or node), or one of FLAVOURS, by default NAME. A golden export is never made again: what it
led to is what every later version has to find in it. (If somebody removes that file, the same NAME writes it anew from
the export that is there: it takes a reason, see docs/adr/0029.)
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ballot.ledger.entry import parse
from ballot.replay.audit import audit
from ballot.replay.export import EntryRecord, Record, read_export, write_records
from ballot.replay.source import open_source
from ballot.replay.state import PublicState
from ballot.voting import document

FOLDER = Path(__file__).parents[1] / "data" / "golden"
EXPORT, FOUND = ".ballots.gz", ".json"
DIGEST_EVERY = 10


def two_questions() -> list[Record]:
    """Two questions, an invalid ballot, a claim, seeds."""
    from tests.support.log_builder import election_log

    return election_log().records()


def keys_alone() -> list[Record]:
    """Counted with the trustee's key, without seeds."""
    from tests.support.log_builder import election_log, seal_drafts

    return seal_drafts(draft for draft in election_log().drafts if draft.kind != "TallySeeds")


def weights() -> list[Record]:
    """Ballots of weight 1 and 5."""
    from tests.support.log_builder import VOTERS, ElectionLog, Voter

    voters = zip(VOTERS, (1, 5, 5, 1, 1), strict=True)
    return ElectionLog([Voter(voter.number, weight) for voter, weight in voters]).records()


def cluster() -> list[Record]:
    """Three real nodes: accounts, mail, weights, five methods, names written in, seeds, three attestations."""
    from ballot.cluster import Cluster
    from tests.cluster.test_methods import hold
    from tests.support.town import Town

    town = Town(Cluster.temporary(settings={"BALLOT_AUTH_PER_CLIENT": "0"}))
    try:
        town.start()
        town.run(hold(town))
        return list(open_source(town.cluster.nodes[0].url))
    finally:
        town.stop()


FLAVOURS: dict[str, Callable[[], list[Record]]] = {
    "two-questions": two_questions,
    "keys-alone": keys_alone,
    "weights": weights,
    "cluster": cluster,
}


def names() -> list[str]:
    return sorted(path.name.removesuffix(EXPORT) for path in FOLDER.glob(f"*{EXPORT}"))


def read(name: str) -> list[Record]:
    with gzip.open(FOLDER / (name + EXPORT)) as stream:
        return list(read_export(stream))


def known(name: str) -> dict[str, Any]:
    """What the export led to when it was made."""
    value: dict[str, Any] = json.loads((FOLDER / (name + FOUND)).read_text())
    return value


def found(records: Sequence[Record]) -> dict[str, Any]:
    """What it leads to now: digests at every tenth entry and the last, counts, accounting, the genesis and the root."""
    report = audit(records, workers=1)
    return {
        "entries": report.entries,
        "genesis": report.genesis,
        "root": report.root,
        "findings": [[finding.index, finding.level.value, finding.name] for finding in report.findings],
        "recounted": [election.recounted for election in report.elections],
        "counts": list(_counts(records)),
        "digests": dict(_digests(records)),
    }


def _digests(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    state, entries = PublicState(), [record for record in records if isinstance(record, EntryRecord)]
    for record in entries:
        state.apply(parse(record.header, record.public))
        if state.index % DIGEST_EVERY == 0 or state.index == len(entries):
            yield str(state.index), state.digest()


def _counts(records: Sequence[Record]) -> Iterator[Any]:
    for record in records:
        if isinstance(record, EntryRecord):
            entry = parse(record.header, record.public)
            if entry.kind == "TallyPublished":
                yield document.decode(entry.fields["document"])


def keep(name: str, records: Sequence[Record]) -> None:
    """Raises SystemExit for a name that is taken, and for an export that an audit does not pass."""
    value = found(records)
    if value["findings"]:
        raise SystemExit(f"{name}: {value['findings']}")
    stream = io.BytesIO()
    write_records(stream, records)
    FOLDER.mkdir(exist_ok=True)
    try:
        with (FOLDER / (name + EXPORT)).open("xb") as file:
            file.write(gzip.compress(stream.getvalue(), 9, mtime=0))
        keep_found(name, value)
    except FileExistsError as error:
        raise SystemExit(f"{error.filename} is there already: a golden export is never made again") from error
    print(f"{name}: {value['entries']} entries, sha256 {hashlib.sha256(stream.getvalue()).hexdigest()}")


def keep_found(name: str, value: dict[str, Any]) -> None:
    with (FOLDER / (name + FOUND)).open("x", encoding="utf-8") as text:
        text.write(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main(name: str, source: str = "") -> None:
    if name in names() and not (FOLDER / (name + FOUND)).exists():
        keep_found(name, found(read(name)))
        return
    flavour = FLAVOURS.get(source or name)
    keep(name, flavour() if flavour else list(open_source(source)))


if __name__ == "__main__":
    main(*sys.argv[1:])
