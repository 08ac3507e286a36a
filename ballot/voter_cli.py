"""`ballot voter`: what a voter does from a wallet folder, without a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from .client.api import Line, NoAnswer, Public, Refused
from .client.claims import NotClaimable, claim_unused
from .client.log import Log
from .client.trust import Trust, Untrusted
from .client.wallet import FolderStore, Secrets, WalletError, decode_secrets, encode_secrets
from .ledger import rsa
from .ledger.receipt import ReceiptError
from .replay.receipt import pinned

folder = click.Path(exists=True, file_okay=False, path_type=Path)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def voter() -> None:
    """What a voter does from the folder in which the voter's program keeps its secrets."""


@voter.command("claim")
@click.argument("wallet", type=folder)
@click.argument("eid")
@click.option("--node", "nodes", metavar="URL", multiple=True, required=True, help="A node's address; repeat for more.")
@click.option("--genesis", type=existing_file, required=True, help="The ledger's genesis file, as it was published.")
def claim_command(wallet: Path, eid: str, nodes: tuple[str, ...], genesis: Path) -> None:
    """Claim, after the close, that the credential in WALLET for the election EID (64 hex digits) was never cast.

    Nobody learns whose credential it was. Done again it is the same claim. Ends with exit status 0 once the claim is
    proven to stand in the log.
    """
    store = FolderStore(wallet)
    data = store.load(eid) if len(eid) == 64 and not set(eid) - set("0123456789abcdef") else None
    if data is None:
        raise click.ClickException(f"{wallet} has no secrets of an election {eid}")
    try:
        index = asyncio.run(_claim(store, eid, decode_secrets(data), nodes, genesis.read_bytes()))
    except (WalletError, NotClaimable, ReceiptError, Refused, Untrusted, NoAnswer) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"claimed: entry {index} says that this credential was never cast")


async def _claim(store: FolderStore, eid: str, secrets: Secrets, nodes: tuple[str, ...], genesis: bytes) -> int:
    first = pinned(genesis)
    trust = Trust.in_genesis(first.header, first.public)

    def keep(changed: Secrets) -> None:
        store.save(eid, encode_secrets(changed))

    async with Line(nodes) as line:
        return await claim_unused(Log(Public(line), trust, store), secrets, rsa.load_private(secrets.ballot_key), keep)
