"""What the commands of people at their own machines share: how they ask, show and say what failed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from .client.api import NoAnswer, unb64

ELECTION_BYTES = 16
STANDARD_INPUT = Path("-")

Command = TypeVar("Command", bound=Callable[..., Any])
secret_file = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

password_option = click.option(
    "--password-file",
    envvar="BALLOT_PASSWORD_FILE",
    show_envvar=True,
    type=secret_file,
    help="Read the account's password from the first line of this file (-: of the input) instead of asking.",
)
ca_option = click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="Trust certificates of this authority (PEM), where the system's own do not know the node's.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask before sending.")


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator for several options, in the order in which the help shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def election_id(context: click.Context, parameter: click.Parameter, value: str) -> bytes:
    """A callback for an election's id of 22 characters."""
    try:
        election = unb64(value)
    except ValueError as error:
        raise click.BadParameter("not an election's id") from error
    if len(election) != ELECTION_BYTES:
        raise click.BadParameter("an election's id has 22 characters")
    return election


class ElectionCommand(click.Command):
    """A command with an election's id as its argument: one in 64 begins with a hyphen, and is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        hyphened = [] if "--" in args else [one for one in args if _begins_with_a_hyphen(one)]
        if hyphened:
            args = [*(one for one in args if one not in hyphened), "--", *hyphened]
        return super().parse_args(ctx, args)


def _begins_with_a_hyphen(text: str) -> bool:
    try:
        return text.startswith("-") and len(unb64(text)) == ELECTION_BYTES
    except ValueError:
        return False


def plain(text: str) -> str:
    """What others wrote, without characters that could move or hide what a terminal shows."""
    return "".join(char if char.isprintable() else "?" for char in text)


def tell(text: str) -> None:
    """On standard error, so that with --json the document alone is what the command prints."""
    click.echo("\n".join(plain(line) for line in text.split("\n")), err=True)


def report(done: Mapping[str, Any], as_json: bool) -> None:
    """What a command did: one JSON object, or a line for each of its fields."""
    if as_json:
        click.echo(json.dumps(done))
    else:
        click.echo("\n".join(plain(f"{name.replace('_', ' ')}: {value}") for name, value in done.items()))


def confirm(yes: bool, question: str) -> None:
    """Aborts the command unless the answer is yes."""
    if not yes:
        click.confirm(question, abort=True, err=True)


def compare_genesis(genesis: str) -> None:
    """A log that was not named is taken on the word of whoever sits here."""
    tell(f"The log of this node has the genesis {genesis}")
    click.confirm("Is it the one that the organiser published?", abort=True, err=True)


async def ask_code(email: str) -> str:
    return str(await asyncio.to_thread(click.prompt, f"Code that was mailed to {email}", err=True)).strip()


def ask_password(file: Path | None, *, new: bool = False) -> str:
    return ask_secret("Password of the account", file, new=new)


def ask_secret(name: str, file: Path | None, *, new: bool = False) -> str:
    """From the file where one is given, else typed unseen, twice when it is new."""
    if file == STANDARD_INPUT:
        return sys.stdin.readline().rstrip("\r\n")
    if file:
        return file.read_text("utf-8").partition("\n")[0].rstrip("\r")
    return str(click.prompt(name, hide_input=True, confirmation_prompt=new, err=True))


def explain_no_answer(error: NoAnswer) -> str:
    return f"no answer: {error}. Try again: what was sent already is taken once"
