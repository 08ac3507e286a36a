"""`ballot trustee`: what a trustee does, on a machine of their own, against any node of the cluster."""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from .client.account import Account
from .client.api import Api, Line, NoAnswer, Public, Refused
from .client.log import Log
from .client.trust import Untrusted
from .client.trustee import Board, Invitation, Trustee
from .client.voter import NotReady
from .client.wallet import FolderStore
from .ledger import rsa
from .log_memory import recall
from .prompts import (
    ask_code,
    ask_password,
    ask_secret,
    ca_option,
    compare_genesis,
    confirm,
    election_id,
    explain_no_answer,
    password_option,
    report,
    secret_file,
    tell,
    with_options,
    yes_option,
)
from .replay.options import Pin, accept_option, as_json, genesis_option
from .trustee_key import SHORTEST_PASSPHRASE, KeyFileError, make_key, read_key
from .voting.fold import key_hash

Confirm = Callable[[str], None]
Work = Callable[[Trustee, bytes, Confirm], Awaitable[dict[str, Any]]]

key_file = click.argument("key", type=click.Path(dir_okay=False, path_type=Path))
passphrase_option = click.option(
    "--passphrase-file",
    type=secret_file,
    help="Read the key's passphrase from the first line of this file (-: of the input) instead of asking.",
)
at_a_node = with_options(
    key_file,
    click.option("--url", "urls", required=True, multiple=True, help="A node's address (repeat for others)."),
    click.option(
        "--election", required=True, callback=election_id, help="The election's id, as the invitation has it."
    ),
    click.option("--email", required=True, prompt="E-mail address", help="The address that was invited."),
    password_option,
    passphrase_option,
    genesis_option,
    accept_option,
    click.option(
        "--memory",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where what was seen of the log is remembered. Default: a folder beside the key, KEY.log.",
    ),
    ca_option,
    yes_option,
    as_json,
)


@click.group()
def trustee() -> None:
    """Hold one of the keys that open an election's ballots.

    Nobody can read a ballot before enough trustees (k of n) have released their keys, after the close.

    \b
      ballot trustee keygen trustee.key                  once for each election
      ballot trustee enrol trustee.key --url NODE --election ID --email YOU
      ballot trustee release trustee.key --url NODE --election ID --email YOU

    Do this on a machine of your own, not on one of the cluster's. Keep the key file, its passphrase and the folder
    KEY.log until the count is published; a backup of the key file is a good idea.
    """


@trustee.command()
@key_file
@passphrase_option
@as_json
def keygen(key: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Make a new key in the file KEY, under a passphrase.

    The file is readable by you alone and is never overwritten. Make one key for each election: a key that was used
    before is refused, because releasing it makes it public. Prints the key's fingerprint, which you may tell anybody;
    after enrolling, compare it with the one that the organiser sees.
    """
    if key.exists():
        raise click.ClickException(f"{key} is there already, and a key is never overwritten")
    try:
        made = make_key(key, _passphrase(passphrase_file, new=True))
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error
    fingerprint = key_hash(rsa.modulus(made)).hex()
    if as_json:
        click.echo(json.dumps({"file": str(key), "fingerprint": fingerprint}))
    else:
        click.echo(f"key made in {key}\nfingerprint {fingerprint}")


@trustee.command()
@at_a_node
@click.option("--register", is_flag=True, help="Make the account first, with this password.")
def enrol(register: bool, **options: Any) -> None:
    """Enrol KEY for an election that you were invited to as a trustee.

    Logs in with your account's password and an e-mailed code, shows the election and what is signed, asks, and sends
    the key's public half with a proof that you hold the other. Then checks that exactly this is in the log, under a
    checkpoint that a majority of the nodes signed.

    The first time, give --genesis: the hash that names the log, as the organiser published it. It is remembered.
    Enrolling again is harmless. To replace an enrolled key, ask the organiser to withdraw the invitation and send
    a new one.
    """
    _run(_enrol, register, **options)


@trustee.command()
@at_a_node
def release(**options: Any) -> None:
    """Release KEY after the close, so that the ballots can be opened and counted.

    Before anything is sent, this machine checks for itself that a majority of the nodes signed for a log that holds
    the election with your key in its definition, its close, and the whole board, and that it continues the log you
    saw before. It shows what it found, and asks. From then on your key is public, and of no use for anything else.

    Releasing again is harmless, and so is releasing after the count.
    """
    _run(_release, False, **options)


def _run(work: Work, register: bool, **options: Any) -> None:
    try:
        done = asyncio.run(_connected(work, register, **options))
    except (KeyFileError, NotReady, Untrusted, Refused, NoAnswer, OSError) as error:
        raise click.ClickException(_explain(error)) from error
    report(done, options["as_json"])


def _explain(error: Exception) -> str:
    match error:
        case Untrusted():
            return f"NOT TRUSTED: {error}. Tell the organiser and the other trustees"
        case NoAnswer():
            return explain_no_answer(error)
        case _:
            return str(error)


async def _connected(work: Work, register: bool, **options: Any) -> dict[str, Any]:
    key = await asyncio.to_thread(read_key, options["key"], _passphrase(options["passphrase_file"]))
    tls = ssl.create_default_context(cafile=options["ca"]) if options["ca"] else None
    store = FolderStore(options["memory"] or options["key"].with_name(f"{options['key'].name}.log"))
    async with Line(options["urls"], tls=tls) as line:
        public = Public(line)
        trust = await recall(public, store, Pin(options["genesis"]).hash, compare_genesis)
        for recovery in options["accepted"]:
            trust.accept_recovery(recovery)
        account = Account(Api(line), options["email"], ask_password(options["password_file"]), ask_code)
        await (account.register() if register else account.login())
        holder = Trustee(account, Log(public, trust, store), key)
        return await work(holder, options["election"], functools.partial(confirm, options["yes"]))


async def _enrol(holder: Trustee, election: bytes, ask: Confirm) -> dict[str, Any]:
    invitation = await holder.invitation(election)
    tell(_show_invitation(invitation, holder.fingerprint))
    ask("Enrol this key?")
    entry = await holder.enrol(invitation)
    return {"enrolled": invitation.name, "fingerprint": holder.fingerprint, "entry": entry.index}


async def _release(holder: Trustee, election: bytes, ask: Confirm) -> dict[str, Any]:
    try:
        board = await holder.board(election)
    except Untrusted as error:
        raise Untrusted(f"{error}. Nothing was released") from error
    tell(_show_board(board))
    ask("Release the key? It becomes public, for good")
    released = await holder.release(board)
    return {"released": holder.fingerprint, "entry": released.index, "keys_missing": released.missing}


def _show_invitation(invitation: Invitation, fingerprint: str) -> str:
    fields = invitation.fields
    lines = [f"election     {fields['title']}", f"status       {fields['status']}"]
    lines += [f"question     {question['text']}" for question in fields["questions"]]
    trustees = ", ".join(f"{one['name']} ({one['status']})" for one in fields["trustees"])
    lines += [f"trustees     {fields['keys_needed']} of {len(fields['trustees'])} open the ballots: {trustees}"]
    lines += [f"you          {invitation.name}", f"fingerprint  {fingerprint}"]
    return "\n".join([*lines, "You sign that this key is yours, under that name, for this election."])


def _show_board(board: Board) -> str:
    definition, point = board.election.definition, board.checkpoint
    return "\n".join(
        [
            f"election     {definition.title}",
            f"eid          {board.election.eid.hex()}",
            f"your key     trustee {board.number} of {len(definition.trustees)}, {definition.k} are needed",
            f"opened       entry {board.opened_at}",
            f"closed       entry {board.closed_at}, {board.casts} ballots",
            f"board        complete with entry {board.published_at}",
            f"checkpoint   {point.size} entries, root {point.root.hex()}",
            "All of it is in a log that a majority of the nodes signed, and that continues what was seen before.",
        ]
    )


def _passphrase(file: Path | None, *, new: bool = False) -> str:
    hint = f" (at least {SHORTEST_PASSPHRASE} characters)" if new else ""
    return ask_secret(f"Passphrase of the key{hint}", file, new=new)
