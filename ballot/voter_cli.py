"""`ballot voter`: everything a voter does, on a machine of their own, against any node of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from . import voter_work as work
from .client.answers import AnswerError
from .client.api import NoAnswer, Refused
from .client.claims import NotClaimable
from .client.trust import Untrusted
from .client.voter import NotReady
from .client.wallet import WalletError
from .prompts import (
    ElectionCommand,
    ask_password,
    ca_option,
    election_id,
    explain_no_answer,
    password_option,
    plain,
    report,
    with_options,
    yes_option,
)
from .replay.options import accept_option, as_json, genesis_option
from .voter_booth import Booth, Reach, booth
from .voting.blind import BlindError

Work = Callable[[Booth], Awaitable[dict[str, Any]]]

FAILURES = (
    *(work.NotRecorded, AnswerError, NotReady, NotClaimable, WalletError, BlindError),
    *(Untrusted, Refused, NoAnswer, OSError),
)

reach_options = with_options(
    click.option(
        "--wallet",
        envvar="BALLOT_WALLET",
        show_envvar=True,
        default="wallet",
        show_default=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The folder with your keys and ballots, readable by you alone. Do not lose it before the count.",
    ),
    click.option(
        "--node", "nodes", metavar="URL", multiple=True, help="A node's address (repeat for others). It is remembered."
    ),
    genesis_option,
    accept_option,
    ca_option,
    as_json,
)
election_argument = click.argument("election", callback=election_id)
within_option = click.option(
    "--within",
    metavar="MINUTES",
    type=click.FloatRange(0, 7 * 24 * 60),
    default=0,
    help="Wait a random time first, so that times do not betray who voted; all is done within so many minutes.",
)


@click.group()
def voter() -> None:
    """Vote from the command line.

    \b
      ballot voter register --email you@example.org --node URL --genesis HASH
      ballot voter elections
      ballot voter cast ELECTION
      ballot voter status                     after the close: is my ballot on the board?

    The folder `wallet` (--wallet) keeps your keys, your ballot and its receipt, the login, the addresses of the nodes
    and the log that you named once with --genesis. Passwords, codes and choices are asked for, so that no history of
    commands has them; for scripts there are --password-file, --vote and --yes, and codes are read from the input.
    """


def _run(doing: Work, options: dict[str, Any], show: Callable[[dict[str, Any]], str] | None = None) -> dict[str, Any]:
    """Does the work and prints what came of it, as `show` does or a field a line. Raises click.ClickException with the
    reason in one line.
    """
    names = ("wallet", "nodes", "genesis", "accepted", "ca")
    reach = Reach(**{name: options[name] for name in names})

    async def enter() -> dict[str, Any]:
        async with booth(reach) as opened:
            return await doing(opened)

    try:
        done = asyncio.run(enter())
    except FAILURES as error:
        raise click.ClickException(plain(_explain(error))) from error
    if show is None or options["as_json"]:
        report(done, options["as_json"])
    else:
        click.echo("\n".join(map(plain, show(done).split("\n"))))
    return done


def _explain(error: Exception) -> str:
    match error:
        case work.NotRecorded(cause=cause):
            return f"your vote is NOT KNOWN TO BE RECORDED, cast again: the same ballot is sent. {_explain(cause)}"
        case Untrusted():
            return f"NOT TRUSTED: {error}. Keep the wallet, and tell the organiser and other voters"
        case NoAnswer():
            return explain_no_answer(error)
        case Refused(refusal="AlreadyIssued"):
            return "your credential was issued to another wallet, or to somebody in your name: tell the organiser"
        case Refused():
            return f"refused: {error.detail} ({error.refusal})"
        case _:
            return str(error)


@voter.command()
@reach_options
@click.option("--email", required=True, prompt="E-mail address", help="The address that is on the roll.")
@password_option
def register(email: str, password_file: Path | None, **options: Any) -> None:
    """Make an account, with a password of your own and a code that is mailed to you, and log in.

    The first time name the log with --genesis, as the organiser published it; else you are asked to compare its hash.

    \b
      ballot voter register --email you@example.org --node https://vote.example.org --genesis 3f0c...
    """
    _run(lambda at: work.enter(at, email, lambda: ask_password(password_file, new=True), register=True), options)


@voter.command()
@reach_options
@click.option("--email", help="The account's address. Default: the one used before.")
@password_option
def login(email: str | None, password_file: Path | None, **options: Any) -> None:
    """Log in with the password and a mailed code. It lasts as long as it is used, until `logout`."""
    _run(lambda at: work.enter(at, email, lambda: ask_password(password_file), register=False), options)


@voter.command()
@reach_options
def logout(**options: Any) -> None:
    """End the login; keys, ballots and receipts stay in the wallet."""
    _run(work.leave, options)


@voter.command()
@reach_options
def elections(**options: Any) -> None:
    """List the elections on whose roll you are: id, status, title, and how far you got."""
    _run(work.elections, options, work.show_elections)


@voter.command()
@reach_options
@click.option("--replace", is_flag=True, help="Replace the key of another wallet, for good; asks for the password.")
@password_option
def enrol(replace: bool, password_file: Path | None, **options: Any) -> None:
    """Enrol this wallet's identity key, which asks for your credentials. `ask` and `cast` do so by themselves."""
    password = ask_password(password_file) if replace else None
    _run(lambda at: work.enrol(at, password), options)


@voter.command(cls=ElectionCommand)
@reach_options
@election_argument
@within_option
def ask(election: bytes, within: float, **options: Any) -> None:
    """Get your credential for ELECTION now, to cast later: the longer between, the less the times say.

    The registrar signs it blindly: it learns that you asked, and can never recognise the ballot.
    """
    _run(lambda at: work.ask(at, election, within), options)


@voter.command(cls=ElectionCommand)
@reach_options
@election_argument
@click.option(
    "--vote",
    "votes",
    metavar="ANSWER",
    multiple=True,
    help="The answer to a question, once for each in their order, instead of asking. Others may see it in the shell.",
)
@within_option
@yes_option
def cast(election: bytes, votes: tuple[str, ...], within: float, yes: bool, **options: Any) -> None:
    """Vote in ELECTION: shows the questions, asks for your choices, seals and casts the ballot, verifies the receipt.

    An answer is marks, apart by commas, each an option's number or name:

    \b
      choices, rankings    2, 1   or   Ada, "Bo, of Oslo"      the best first where it ranks
      a name written in    +Jane Doe
      ranks, points        Ada=1, 2=2                          those left out get none
      grades               Ada=Good, 2=Poor
      a blank vote         -

    \b
      ballot voter cast 0m9Wb1... --vote "Ada, Bo" --vote "1=5, 2=0" --within 60

    Only "recorded" means that the vote is recorded: the receipt was verified. If anything else comes, cast again: the
    ballot once sealed stays as it is, and counts once however often it is sent. A vote cannot be changed.
    """
    _run(lambda at: work.cast(at, election, votes, within, yes), options)


@voter.command()
@reach_options
@click.option("--offline", is_flag=True, help="Ask no node: only what is in the wallet.")
def status(offline: bool, **options: Any) -> None:
    """Show what is in the wallet, verify its receipts, and look for your ballots on the boards that are published.

    Whole boards are downloaded, so that nobody learns which ballot is looked for. Ends with exit status 1 if a receipt
    does not verify, or if a ballot that is recorded is missing from a board that is whole.
    """
    done = _run(lambda at: work.status(at, offline), options, work.show_status)
    if any(one["alarm"] for one in done["elections"]):
        raise click.ClickException("a ballot or receipt is not as it must be: keep the wallet, tell the organiser")


@voter.command(cls=ElectionCommand)
@reach_options
@click.argument("election")
@within_option
def claim(election: str, within: float, **options: Any) -> None:
    """Claim, after the close, that your credential for ELECTION (its id, or its eid in hex) was never cast.

    Nobody learns whose credential it was, and no login is needed. Done again it is the same claim. Ends with exit
    status 0 once the claim is proven to stand in the log.
    """
    _run(lambda at: work.claim(at, election, within), options)
