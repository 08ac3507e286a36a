"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

from ..ledger.receipt import ReceiptError
from .receipt import pinned

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
genesis_option = click.option(
    "--genesis",
    metavar="HASH|FILE",
    help="Pin the ledger: the genesis hash in hex, or the genesis file that `ballot keys init` made.",
)


def _read_hash(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[bytes]:
    if not all(_is_hash(value) for value in values):
        raise click.BadParameter("a hash is 64 hex digits")
    return frozenset(map(bytes.fromhex, values))


accept_option = click.option(
    "--accept-recovery",
    "accepted",
    metavar="HASH",
    multiple=True,
    callback=_read_hash,
    help="Follow the recovery of a cluster that lost its majority, by its entry's hash as the operator published it.",
)


def _is_hash(text: str) -> bool:
    return len(text) == 64 and not set(text.lower()) - set("0123456789abcdef")


class Pin:
    """What `--genesis` was given."""

    def __init__(self, value: str | None) -> None:
        self.hash: bytes | None = None
        self.file: bytes | None = None
        if value is None:
            return
        if _is_hash(value):
            self.hash = bytes.fromhex(value)
            return
        try:
            self.file = Path(value).read_bytes()
            self.hash = pinned(self.file).hash
        except OSError as error:
            raise click.UsageError(f"--genesis is neither 64 hex digits nor a file: {error.strerror}") from error
        except ReceiptError as error:
            raise click.UsageError(f"--genesis: {error}") from error
