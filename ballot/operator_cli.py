"""`ballot operator`: what only the operator of a node may do, on the node's own machine."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

import click

from .cli_settings import settings_or_exit

MOST_MESSAGE = 1 << 20

role_argument = click.argument("role", type=click.Choice(["admin", "organiser", "trustee"]))


@click.group()
def operator() -> None:
    """What only the operator of a node may do, on the node's own machine."""


@operator.command("grant")
@click.argument("email")
@role_argument
def operator_grant(email: str, role: str) -> None:
    """Give the confirmed account of EMAIL a ROLE (uses this node's environment, like `ballot node`)."""
    _change_role(email, role, grant=True)
    click.echo(f"{email} is {role}")


@operator.command("withdraw")
@click.argument("email")
@role_argument
def operator_withdraw(email: str, role: str) -> None:
    """Take a ROLE away from the account of EMAIL: it counts from the account's next request on."""
    _change_role(email, role, grant=False)
    click.echo(f"{email} is {role} no more")


def _change_role(email: str, role: str, *, grant: bool) -> None:
    from .operator import OperatorError, change_role

    try:
        asyncio.run(change_role(settings_or_exit(), email, role, grant=grant))
    except OperatorError as error:
        raise click.ClickException(str(error)) from error


@operator.command("bounce")
@click.argument("message", type=click.File("rb"), default="-")
def operator_bounce(message: BinaryIO) -> None:
    """Note in the log that a mail to a voter came back. MESSAGE is the mail server's notification, or standard input.

    Made to be run by the mail server for whatever arrives at BALLOT_MAIL_FROM, with this node's environment. Exit
    status 0 also for mail that is no such notification.
    """
    from .ledger.submit import Unavailable
    from .mail.bounce import NoBounce, read_bounce
    from .operator import OperatorError, record_bounce

    try:
        index = asyncio.run(record_bounce(settings_or_exit(), read_bounce(message.read(MOST_MESSAGE))))
    except NoBounce as error:
        click.echo(f"nothing noted: {error}")
    except (OperatorError, Unavailable) as error:
        raise click.ClickException(str(error)) from error
    else:
        click.echo(f"noted, entry {index}")
