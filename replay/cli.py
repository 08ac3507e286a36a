"""`ballot replay`: what anyone can do with a ledger's public part. Exit status 0 for yes, 1 no, 2 usage, 3 unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
import msgspec

from ..ledger.entry import EntryError
from ..ledger.receipt import ReceiptError
from .answer import SourceError, is_url
from .audit import audit as run_audit
from .consistency import Older, read_older, read_proof
from .count_cli import count_command
from .export import ExportError
from .follow_cli import follow_command, witness_key_command
from .options import Pin, accept_option, as_json, existing_file, genesis_option
from .rebuild import SAME, Compared, Rebuilt, compare_at, compare_nodes
from .receipt import Confirmed, check_in_export, check_receipt, pinned
from .report import Level, Report
from .show import json_parts, show_report
from .show_progress import Bar
from .source import open_source


class Kept(msgspec.Struct):
    """The part of a voter's wallet record that a receipt needs."""

    receipt: bytes
    body: bytes = b""
    older: bytes = b""
    consistency: tuple[bytes, ...] = ()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def replay() -> None:
    """Verify a ballot ledger from its public record, without trusting those who run it.

    A node gives its record at /api/ledger/export: one file that any of these commands takes, as a path, as a folder
    of its parts in the order of their names, or as the node's address.

    \b
      ballot replay export http://127.0.0.1:8001 election.ballots
      ballot replay audit election.ballots --genesis 5d3c...
      ballot replay rebuild election.ballots --node http://127.0.0.1:8001
      ballot replay receipt my-receipt.txt --export election.ballots
      ballot replay count ward.blt --method stv
      ballot replay follow http://127.0.0.1:8001 http://127.0.0.1:8002

    Exit status: 0 for yes (pass, valid, equal), 1 for no, 2 for a wrong command line, 3 when neither could be told,
    as when a file is not there or a node does not answer.
    """


replay.add_command(count_command)
replay.add_command(follow_command)
replay.add_command(witness_key_command)


@replay.command("audit")
@click.argument("source")
@genesis_option
@click.option("--workers", type=click.IntRange(min=1), help="Processes to check with. Default: one for each core.")
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.COUNT.value,
    show_default=True,
    help="The last level to check. Without signatures an audit takes a fraction of the time.",
)
@click.option("--reopen", is_flag=True, help="Open every ballot with the released keys, also where a seed proves it.")
@as_json
def audit_command(
    source: str, genesis: str | None, workers: int | None, level: str, reopen: bool, as_json: bool
) -> None:
    """Check everything that can be checked in the export SOURCE.

    Five levels: structure (all of it parses), chain (nothing was dropped, added, moved or changed), signatures,
    ballots (the right people, once each, and the board holds what was cast), count (every ballot opened again, the
    result the same to the byte). Findings are printed with the index of the entry, the first one first.

    Ballots are opened by the published seeds, which takes public operations only; one without a seed, or whose seed is
    wrong, with the released keys. The JSON has the accounting at every checkpoint where it changed.

    Without --genesis the audit shows that SOURCE is one consistent ledger, but not whose.
    """
    pin = Pin(genesis)
    with Bar(quiet=as_json) as bar, _failures():
        records = open_source(source, bar.reading)
        checked = Level(level)
        report = run_audit(
            records, genesis_hash=pin.hash, on_progress=bar.step, workers=workers, level=checked, reopen=reopen
        )
    if as_json:
        for part in json_parts(report):
            click.echo(part, nl=False)
        click.echo()
    else:
        show_report(report, pinned=pin.hash is not None)
    raise SystemExit(_status(report))


@replay.command("rebuild")
@click.argument("source")
@click.option("--at", type=click.IntRange(min=1), metavar="N", help="Fold the first N entries alone.")
@click.option("--dsn", help="An empty PostgreSQL database to fold into. Default: fold in memory.")
@click.option("--node", "nodes", multiple=True, metavar="URL", help="A running node to compare with; repeat for more.")
@as_json
def rebuild_command(source: str, at: int | None, dsn: str | None, nodes: tuple[str, ...], as_json: bool) -> None:
    """Fold the export SOURCE into fresh tables and print the digest of the public state.

    Each --node is asked for its own digest, which it can give only for where it stands. If that is beyond SOURCE, the
    entries in between are taken from the node, checked against the chain and folded too: equal digests at equal
    indexes mean that the node's tables are what the log says. A node that is behind is waited for.
    """
    if nodes and at is not None:
        raise click.UsageError("a node gives its digest only for where it stands: --at and --node exclude each other")
    with Bar(quiet=as_json) as bar, _failures():
        index, digest, compared = _rebuild(source, at, dsn, nodes, bar)
    if as_json:
        click.echo(json.dumps({"index": index, "digest": digest, "nodes": [asdict(node) for node in compared]}))
    else:
        click.echo(f"{digest}  public state at entry {index}")
        for node in compared:
            click.echo(f"{node.digest}  {node.node} at entry {node.index}: {node.verdict}")
    raise SystemExit(0 if all(node.verdict == SAME for node in compared) else 1)


@replay.command("receipt")
@click.argument("file", type=existing_file)
@click.option(
    "--ballot", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The ballot as it was sent."
)
@click.option("--export", "source", help="An export (file, folder or node) whose log must agree with the receipt.")
@click.option("--checkpoint", type=existing_file, help="A checkpoint or receipt from another time, of the same log.")
@click.option("--consistency", type=existing_file, help="The node's proof between the two checkpoints, as it was kept.")
@genesis_option
@accept_option
@as_json
def receipt_command(
    file: Path,
    ballot: Path | None,
    source: str | None,
    checkpoint: Path | None,
    consistency: Path | None,
    genesis: str | None,
    accepted: frozenset[bytes],
    as_json: bool,
) -> None:
    """Check a receipt: that its vote stands in the log that a majority of the nodes signed.

    FILE is the receipt's text, or a wallet record that has receipt and ballot in it. With the ballot it is also
    checked that this very ballot was recorded. The nodes come from the --genesis file, or from an --export, which
    also shows how they changed since: without it, receipts that nodes added later signed are refused.

    With a --checkpoint from another time (a note, another receipt, or a wallet's record) it is checked that both are
    of one log: by the --export, or by --consistency, what /api/ledger/proof/consistency answered. A wallet record
    carries such a checkpoint and proof itself.
    """
    pin = Pin(genesis)
    if source is None and pin.file is None:
        raise click.UsageError("give the nodes' keys: --genesis FILE, or --export SOURCE")
    kept = _kept(file)
    body = ballot.read_bytes() if ballot else (kept.body or None)
    with _failures():
        try:
            older = _older(kept, checkpoint, consistency)
            confirmed = _confirm(kept.receipt, body, source, pin, accepted, older)
        except ReceiptError as error:
            if as_json:
                click.echo(json.dumps({"valid": False, "name": error.name, "reason": str(error)}))
                raise SystemExit(1) from error
            raise
    if as_json:
        click.echo(json.dumps({"valid": True, **asdict(confirmed)}))
        return
    click.echo(f"valid: entry {confirmed.index} ({confirmed.kind}), in the log of {confirmed.size} entries")
    click.echo("the ballot is the one recorded" if confirmed.committed else "no ballot given: only the place is proven")
    if confirmed.consistent is not None:
        click.echo(f"the log is the same as that of the other checkpoint, of {confirmed.consistent} entries")


@replay.command("export")
@click.argument("url")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_command(url: str, file: Path) -> None:
    """Download the export of the node at URL into FILE, which is replaced only by a whole one.

    When the connection breaks, it goes on where that happened. What there is so far is in FILE.part: after a minute
    without progress, or when it is stopped, the same command goes on from there, also with another node's URL.
    """
    if not is_url(url):
        raise click.UsageError("URL must start with http:// or https://")
    from .download import download

    with Bar(quiet=False) as bar, _failures():
        done = download(url, file, lambda count, total: bar.show("entries", count, total))
    click.echo(f"{file}: {file.stat().st_size} bytes, {done.count} entries")


def _confirm(
    receipt: bytes, body: bytes | None, source: str | None, pin: Pin, accepted: frozenset[bytes], older: Older | None
) -> Confirmed:
    if source is not None:
        return check_in_export(receipt, open_source(source), body, pin.hash, accepted, older)
    assert pin.file is not None
    return check_receipt(receipt, pinned(pin.file), body, older)


def _older(kept: Kept, checkpoint: Path | None, consistency: Path | None) -> Older | None:
    """The other checkpoint: that of the option, else what the wallet record has."""
    if checkpoint is None:
        return read_older(kept.older).proven_by(kept.consistency) if kept.older else None
    older = read_older(_kept(checkpoint).receipt)
    return older if consistency is None else older.proven_by(read_proof(consistency.read_bytes()))


def _rebuild(
    source: str, at: int | None, dsn: str | None, nodes: tuple[str, ...], bar: Bar
) -> tuple[int, str, list[Compared]]:
    records = open_source(source, bar.reading)
    if dsn is None:
        rebuilt = Rebuilt()
        rebuilt.take(records, at)
        index, digest = rebuilt.state.index, rebuilt.state.digest()
        return index, digest, compare_nodes(rebuilt, nodes)
    # Only this way needs a database driver.
    import asyncio

    import psycopg

    from .rebuild_database import NotFresh, rebuild

    try:
        index, digest = asyncio.run(rebuild(records, dsn, at))
    except (NotFresh, psycopg.Error) as error:
        raise click.ClickException(str(error)) from error
    return index, digest, [compare_at(node, index, digest) for node in nodes]


def _kept(file: Path) -> Kept:
    data = file.read_bytes()
    if not data.lstrip().startswith(b"{"):
        return Kept(data)
    try:
        return msgspec.json.decode(data, type=Kept)
    except msgspec.MsgspecError as error:
        raise click.UsageError(f"{file} is not a wallet record with a receipt: {error}") from error


def _status(report: Report) -> int:
    return 0 if report.passed else 1


@contextmanager
def _failures() -> Iterator[None]:
    """What is wrong with the input, said in one line with status 1; with 3 what keeps it from being judged."""
    try:
        yield
    except ReceiptError as error:
        raise click.ClickException(f"{error.name}: {error}") from error
    except (ExportError, EntryError) as error:
        raise click.ClickException(str(error)) from error
    except (SourceError, OSError) as error:
        raise Unknown(str(error)) from error
    except BrokenExecutor as error:
        lost = "a process that checked signatures was ended from outside, as when memory is short"
        raise Unknown(f"{lost}: no verdict. Begin again, perhaps with --workers 1") from error


class Unknown(click.ClickException):
    """Neither yes nor no: a source that cannot be reached, a disk that is full."""

    exit_code = 3
