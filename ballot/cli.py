"""The `ballot` command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from . import __version__
from .cli_settings import settings_or_exit
from .config import ConfigError
from .drill_cli import drill
from .logs import configure
from .operator_cli import operator
from .replay.cli import replay
from .trustee_cli import trustee
from .up_cli import up
from .voter_cli import voter

ROTATED = ("jwt", "otp", "data_key", "redis", "ca", "gateway", "smtp", "tls", "postgres", "signing")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ballot")
def main() -> None:
    """Ballot Ledger: online voting on a replicated, append-only, signed ledger.

    \b
    Try it on one machine:   ballot demo        a whole election, with a leader killed half way
                             ballot up          the same cluster, left running
    Check an election:       ballot replay audit EXPORT
    Vote in one:             ballot voter --help
    Hold a key of one:       ballot trustee --help
    Run a node:              ballot keys init, ballot serve
    """


@main.group()
def keys() -> None:
    """Make, extend and replace the keys of a cluster, on a machine that is none of its nodes.

    \b
    ballot keys init FOLDER --origin ballot.example.org    once: all keys and the genesis
    ballot keys node FOLDER 4                              before `ballot node add`: those of one more node
    ballot keys rotate FOLDER jwt                          yearly, and when something was stolen
    """


@keys.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--nodes", default=3, show_default=True, type=click.IntRange(1, 9), help="How many nodes the cluster has."
)
@click.option("--origin", required=True, help="The log's name in every checkpoint, such as ballot.example.org.")
@click.option("--host", "hosts", multiple=True, help="A name or address of the gateway (repeat; the origin if none).")
def keys_init(folder: Path, nodes: int, origin: str, hosts: tuple[str, ...]) -> None:
    """Make every key, certificate and secret of a new cluster in FOLDER, and its genesis entry."""
    from .keys import KeysError, init_keys

    try:
        genesis = init_keys(folder, nodes, origin, hosts)
    except KeysError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"genesis {genesis.hash.hex()}")
    click.echo(f"{nodes} nodes; keep {folder}/authority offline, give each node its own folder and {folder}/shared")


@keys.command("node")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("number", type=click.IntRange(1))
def keys_node(folder: Path, number: int) -> None:
    """Make the keys of one more node, NUMBER, of the cluster whose keys are in FOLDER (with its authority's key).

    A number is never used again, not even that of a node that was removed.
    """
    from .keys import RECORD_FILE, KeysError, add_node_keys

    try:
        add_node_keys(folder, number)
    except KeysError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"start the node with {folder}/node{number} and {folder}/shared, then, on any other node:")
    click.echo(f"ballot node add {folder}/node{number}/{RECORD_FILE} HOST:PORT")


@keys.command("rotate")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("kind", type=click.Choice(ROTATED), metavar="KIND")
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--finish", is_flag=True, help="Take the old one away (jwt, ca, signing).")
@click.option("--given", is_flag=True, help="The files hold the new one already (gateway, smtp).")
def keys_rotate(folder: Path, kind: str, number: int | None, finish: bool, given: bool) -> None:
    """Replace the secrets of one KIND in FOLDER; tls, postgres and signing are those of node NUMBER.

    KIND is jwt, otp, data_key, redis, ca, gateway, smtp, tls, postgres or signing; docs/operations.md says what each
    of them costs.

    Prints what is to be done next, and in which order. The password of the mail server (smtp), and a gateway's
    certificate by a public authority (gateway with --given), you put into the file yourself first.
    """
    from .keys import KeysError
    from .rotate import rotate

    try:
        steps = rotate(folder, kind, number or 0, finish=finish, given=given)
    except (KeysError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(f"{place}. {step}" for place, step in enumerate(steps, 1)))


@main.command()
def migrate() -> None:
    """Bring this node's database to this version's schema, with the node's environment (see `ballot node --help`).

    Needed only where BALLOT_MIGRATE=0 keeps the node from doing it by itself. Run again, it does nothing.
    """
    import psycopg

    from .ledger.migrate import SchemaTooNew
    from .ledger.migrate import migrate as run

    try:
        done = run(settings_or_exit().dsn)
    except (SchemaTooNew, psycopg.OperationalError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(f"applied {name}" for name in done) or "nothing to do")


@main.group(invoke_without_command=True)
@click.pass_context
def node(context: click.Context) -> None:
    """Run a node's ledger process, or change which nodes the cluster has.

    \b
    Set in the environment: BALLOT_NODE (its number), BALLOT_DSN (its own PostgreSQL), BALLOT_REDIS_URL,
    BALLOT_PEERS (1=host:port,2=host:port,...), BALLOT_LISTEN (host:port for its peers), BALLOT_STATE (a folder outside
    the database's), BALLOT_SECRETS (a folder, /run/secrets unless set).
    """
    if context.invoked_subcommand is not None:
        return
    import psycopg

    from .ledger.migrate import SchemaTooNew, SchemaTooOld
    from .run import prepare_database, run_node

    settings = settings_or_exit()
    configure(settings.log_level, node=settings.node)
    try:
        prepare_database(settings)
    except (SchemaTooNew, SchemaTooOld, psycopg.OperationalError) as error:
        raise click.ClickException(str(error)) from error
    run_node(settings)


@node.command("add")
@click.argument("record", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("address", metavar="HOST:PORT")
@click.option("--wait", default=3600.0, show_default=True, help="Seconds in which the node must catch up.")
def node_add(record: Path, address: str, wait: float) -> None:
    """Add the node that RECORD describes (see `ballot keys node`), which its peers reach at HOST:PORT.

    Run this on a member, with its environment, once the new node runs. It first only receives the log, and votes as
    soon as it has caught up. Voting goes on meanwhile. Run again, it goes on where it stopped.
    """
    from .keys import KeysError, load_record
    from .ledger.submit import Unavailable
    from .operator import OperatorError, add_node

    try:
        asyncio.run(add_node(settings_or_exit(), load_record(record), address, wait, click.echo))
    except (KeysError, OperatorError, Unavailable) as error:
        raise click.ClickException(str(error)) from error


@node.command("rotate")
@click.argument("record", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def node_rotate(record: Path) -> None:
    """Let a member sign with the new keys that RECORD names, which it holds already (see `ballot keys rotate`).

    Run this on any member, with its environment. Do it while no election is being counted.
    """
    from .keys import KeysError, load_record
    from .ledger.submit import Unavailable
    from .operator import OperatorError, rotate_node

    try:
        index = asyncio.run(rotate_node(settings_or_exit(), load_record(record)))
    except (KeysError, OperatorError, Unavailable) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"the new keys are in force from entry {index} on")


@node.command("remove")
@click.argument("number", type=click.IntRange(1))
def node_remove(number: int) -> None:
    """Remove node NUMBER for good: its id never comes back.

    Run this on any other member, with that one's environment: a node would not hear what became of its own removal, and
    is refused it. The removed node's API answers NotAMember from then on; stop it, and destroy its keys.
    """
    from .ledger.submit import Unavailable
    from .operator import OperatorError, remove_node

    try:
        index = asyncio.run(remove_node(settings_or_exit(), number))
    except (OperatorError, Unavailable) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"node {number} is no longer a member, entry {index}; stop it")


@node.command("recover")
@click.option("--yes", "confirmed", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Go on even if other nodes seem to be running.")
@click.option("--restored", is_flag=True, help="Every host is lost: the database was restored from a dump.")
def node_recover(confirmed: bool, force: bool, restored: bool) -> None:
    """Go on from this node alone when a majority of the cluster is gone for good.

    The last resort. While a majority can be brought back, bring it back: then nothing is missing. Otherwise ballots
    that were acknowledged may be lost, and the log will say so publicly, for good, in an entry ClusterRecovered.

    \b
    1. Destroy what is left of the lost nodes: coming back, they would be a second cluster under the same name.
    2. Stop this node. If several are left, run this on each without going on, and take the one whose last entry has
       the highest term and, of those, the highest index.
    3. Run this with the node's environment. It keeps every entry of this node's log and makes it the only member.
    4. Start the node, and add new ones under new numbers: `ballot keys node`, `ballot node add`.

    If not even one node is left, restore a dump of one into an empty database, give this the node's secrets and an
    empty state folder, and run it with --restored. What was recorded after the dump is lost.
    """
    import psycopg

    from .keys import KeysError
    from .ledger.entry import EntryError
    from .ledger.membership import ChangeRefused
    from .ledger.migrate import SchemaTooNew
    from .ledger.statefile import Amnesia
    from .ledger.survivor import RecoveryRefused
    from .ledger.table import UnsafeDatabase
    from .ledger.vault import VaultError
    from .recover import recover

    settings = settings_or_exit()

    def confirm(lines: Sequence[str]) -> bool:
        click.echo("\n".join(lines))
        return confirmed or click.prompt(f"Type {settings.node} to recover from this node") == str(settings.node)

    refusals = (RecoveryRefused, ChangeRefused, Amnesia, UnsafeDatabase, SchemaTooNew)
    unreadable = (ConfigError, KeysError, VaultError, EntryError, psycopg.Error)
    try:
        entry = asyncio.run(recover(settings, force=force, confirm=confirm, restored=restored))
    except refusals + unreadable as error:
        raise click.ClickException(str(error)) from error
    if entry is None:
        raise click.ClickException("not recovered: nothing was changed")
    click.echo(f"recovered, entry {entry.index}: start node {settings.node}")
    click.echo(f"publish the hash of that entry, by which voters accept it: {entry.hash.hex()}")


@main.command()
def serve() -> None:
    """Run a whole node: its ledger process and its HTTP server. Ends when either ends.

    Set in the environment: what `ballot node --help` lists, and BALLOT_HTTP (host:port of the API). docs/settings.md
    has all of it. To try a cluster on one machine, `ballot up` sets everything itself.
    """
    from .serve import serve as run

    sys.exit(run(settings_or_exit()))


@main.command()
@click.option("--ballots", default=200, show_default=True, type=click.IntRange(1, 20_000), help="How many voters vote.")
@click.option("--seed", default=2017, show_default=True, help="Draws the same ballots again.")
@click.option("--keep", is_flag=True, help="Leave keys, databases and logs where they are, and say where.")
def demo(ballots: int, seed: int, keep: bool) -> None:
    """Run a whole election on three nodes of this machine, with real ballots and the leader killed half way.

    Ends with exit status 0 only if every acknowledged ballot was counted exactly once, all nodes agree and the audit of
    the exported log passes.
    """
    from .cluster import Cluster
    from .demo import run_demo

    # All voters share this machine's address, so the limit of logins per client address is lifted; nothing else is.
    cluster = Cluster.temporary(settings={"BALLOT_AUTH_PER_CLIENT": "0"})
    try:
        status = run_demo(cluster, ballots, seed)
    finally:
        if keep:
            cluster.stop()
            click.echo(f"kept in {cluster.folder}", err=True)
        else:
            cluster.remove()
    sys.exit(status)


main.add_command(drill)
main.add_command(operator)
main.add_command(replay)
main.add_command(trustee)
main.add_command(up)
main.add_command(voter)
