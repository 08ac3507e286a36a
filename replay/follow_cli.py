"""`ballot replay follow` and `witness-key`: a monitor that anyone can run, and that may sign for what it saw."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..ledger.frame import frame
from ..ledger.receipt import ReceiptError
from ..ledger.witness import WitnessError, read_signer, write_signer
from .answer import Gone, SourceError, is_url, read_entries
from .options import Pin, accept_option, as_json, existing_file, genesis_option
from .receipt import pinned

if TYPE_CHECKING:  # Whatever can open a connection is loaded by the commands that need it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ..client.trust import Trust
    from ..ledger.witness import Witness
    from .follow import Monitor, Seen

GENESIS_RECORD = "genesis"
NODE_PATIENCE_S = 5.0
FALLEN_POLL_S = 1.0


@click.command("follow")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("ballot-monitor"),
    show_default=True,
    help="Where what was seen is kept, and the evidence: the folder to run it with again.",
)
@genesis_option
@accept_option
@click.option("--interval", default=10.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between looks.")
@click.option(
    "--patience",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds in which a node that fell back, as after a crash, must be where it was.",
)
@click.option("--once", is_flag=True, help="Look once, then end.")
@click.option(
    "--witness-key", "key_file", type=existing_file, help="Cosign what was seen, with this key of `witness-key`."
)
@as_json
def follow_command(
    urls: tuple[str, ...],
    state: Path,
    genesis: str | None,
    accepted: frozenset[bytes],
    interval: float,
    patience: float,
    once: bool,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Watch the log at one or more nodes' URLs, and compare what they show.

    Each checkpoint must be signed by a majority of the members and continue the largest one seen so far. When one does
    not, both checkpoints and all answers are put into STATE/evidence and the command ends.

    With --witness-key it also cosigns what it saw and leaves the cosignature at the nodes (C2SP tlog-cosignature).

    Exit status: 0 all is well, 1 an alarm (fork, rollback, recovery, untrusted), 2 usage, 3 no node answered
    (with --once, or before a genesis is known).
    """
    if not all(map(is_url, urls)):
        raise click.UsageError("a URL must start with http:// or https://")
    signer = None if key_file is None else _signer(key_file)
    import asyncio

    try:
        trust = _trust(urls[0], state, Pin(genesis), accepted)
        follower = _Follower(tuple(dict.fromkeys(url.rstrip("/") for url in urls)), state, trust, patience, as_json)
        raise SystemExit(asyncio.run(follower.run(None if once else interval, signer)))
    except Gone as error:  # before there was anything to trust
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(3) from error
    except (SourceError, ReceiptError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(0) from None


@click.command("witness-key")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="Such as witness.example.org/w1: no spaces, no plus.")
def witness_key_command(file: Path, name: str) -> None:
    """Make a witness's key into FILE and print its verifier key, for BALLOT_WITNESSES of the nodes.

    Keep FILE to yourself. An existing one is never replaced.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        text = write_signer(name, Ed25519PrivateKey.generate())
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(f"{text}\n")
    except WitnessError as error:
        raise click.UsageError(f"--name: {error}") from error
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(read_signer(text)[0].vkey)


class _Follower:
    def __init__(self, urls: Sequence[str], state: Path, trust: Trust, patience_s: float, as_json: bool) -> None:
        self._urls, self._state, self._trust = urls, state, trust
        self._patience_s, self._as_json = patience_s, as_json
        self._said: dict[str, tuple[str, int]] = {}

    async def run(self, interval_s: float | None, signer: tuple[Witness, Ed25519PrivateKey] | None) -> int:
        """Looks again and again until an alarm, or once; the exit status."""
        import asyncio

        from ..client.api import Line
        from .follow import Monitor, worst

        async with Line(self._urls, patience_s=NODE_PATIENCE_S) as line:
            monitor = Monitor(line, self._trust, self._state, self._patience_s, time.time)
            while True:
                looks = await monitor.look()
                self._say(looks)
                status = worst(looks)
                if status == 1:
                    return status
                if signer is not None:
                    self._say_cosigned(monitor, await monitor.witness(*signer))
                if interval_s is None and not monitor.waits:
                    return status
                await asyncio.sleep(FALLEN_POLL_S if interval_s is None else interval_s)

    def _say(self, looks: Sequence[Seen]) -> None:
        for seen in looks:
            if self._as_json:
                click.echo(json.dumps({"time": time.time(), **asdict(seen)}))
            elif self._said.get(seen.node) != (seen.verdict, seen.size):
                detail = f": {seen.detail}" if seen.detail else ""
                kept = f" (evidence in {seen.evidence})" if seen.evidence else ""
                click.echo(f"{seen.node}: {seen.verdict}, {seen.size} entries{detail}{kept}")
            self._said[seen.node] = seen.verdict, seen.size

    def _say_cosigned(self, monitor: Monitor, answers: Mapping[str, str] | None) -> None:
        if answers is None:
            return
        if self._as_json:
            click.echo(json.dumps({"time": time.time(), "cosigned": monitor.newest.size, "nodes": answers}))
        else:
            said = ", ".join(f"{node}: {answer}" for node, answer in answers.items())
            click.echo(f"cosigned {monitor.newest.size} entries; {said}")


def _signer(file: Path) -> tuple[Witness, Ed25519PrivateKey]:
    try:
        return read_signer(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, WitnessError) as error:
        raise click.UsageError(f"--witness-key: {error}") from error


def _trust(url: str, state: Path, pin: Pin, accepted: frozenset[bytes]) -> Trust:
    """From the pinned genesis, else from that of an earlier run, else from what the first node shows.

    Raises SourceError, ReceiptError.
    """
    from ..client.trust import Trust
    from ..client.wallet import FolderStore

    store = FolderStore(state)
    file = pin.file or store.load(GENESIS_RECORD) or frame("genesis-file", *read_entries(url, 1, 1)[0])
    entry = pinned(file)
    if pin.hash not in (None, entry.hash):
        raise SourceError(f"the genesis is {entry.hash.hex()}, not the pinned one")
    known = store.load(GENESIS_RECORD)
    if known is not None and pinned(known).hash != entry.hash:
        raise SourceError(f"{state} is that of another log: take a folder of its own for each")
    store.save(GENESIS_RECORD, file)
    trust = Trust.in_genesis(entry.header, entry.public)
    for entry_hash in accepted:
        trust.accept_recovery(entry_hash)
    return trust
