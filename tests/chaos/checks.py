"""What must hold afterwards, whatever went wrong."""

from __future__ import annotations

import asyncio
import json
import re
import time
from hashlib import sha256

import psycopg

from ballot.client import board
from ballot.client.vote import Election
from ballot.demo_checks import agree, audit_export, check_board
from ballot.ledger.entry import parse

from .casters import Casters
from .machines import HurtNode
from .town import HurtTown

COUNT_S = 120.0
CLOCK_BOUND_US = 2_000_000
# Why a ledger process may end itself (rule R3); any other reason it gives means damage.
EXPECTED_END = "the outcome of a write is unknown"
LOST_DATABASE = re.compile(r"^psycopg\.[\w.]+: ", re.MULTILINE)
DAMAGE = re.compile(r"ballot\.[\w.]*(Halt|Amnesia|UnsafeDatabase)\b")  # how a traceback ends


async def check_all(town: HurtTown, election: Election, casters: Casters, begun_us: int) -> list[str]:
    """Violations in words; closes the election. All nodes are up. Raises NoAnswer, Refused, Untrusted."""
    found = list(casters.violations)
    await casters.accept_all()
    found += casters.violations[len(found) :]
    await town.organiser_account.login()
    await town.organiser.close(election.id)
    fields = await town.organiser.wait_for(election.id, ("tallied",), COUNT_S)
    found += await _check_board(town, election, casters, int(fields["cast"]))
    index, digests = await agree(town.line, town.organiser_account.api.index)
    if len(set(digests)) != 1:
        found.append(f"public digests at entry {index} differ: {digests}")
    rows = [await asyncio.to_thread(log_digest, node, index) for node in town.hurt.hurt_nodes]
    if len(set(rows)) != 1:
        found.append(f"the ledger_entry rows up to entry {index} differ: {rows}")
    found += await asyncio.to_thread(check_times, town.hurt.hurt_nodes[0], begun_us, time.time_ns() // 1000)
    report = await asyncio.to_thread(audit_export, await town.export(index), town.cluster.genesis.hash)
    found += [f"audit: entry {finding.index}: {finding.name}: {finding.detail}" for finding in report.findings]
    for node in town.hurt.hurt_nodes:
        found += check_log(node)
    return found


async def _check_board(town: HurtTown, election: Election, casters: Casters, cast: int) -> list[str]:
    counted = casters.counted
    ballots = await board.download(town.organiser_account.api, election.id)
    seen = check_board([papers.voter for papers in counted], election, ballots, set(range(len(counted))))
    found = []
    if not cast == seen.published == len(counted):
        found.append(f"{len(counted)} ballots acknowledged, {cast} recorded, {seen.published} published")
    for what in ("lost", "double", "unproven"):
        if number := getattr(seen, what):
            found.append(f"{number} ballots {what}")
    return found


def log_digest(node: HurtNode, index: int) -> str:
    """Over the rows of one node's log up to entry `index`."""
    digest = sha256()
    with psycopg.connect(node.postgres.dsn) as connection:
        query = "select index, term, kind, header, public from ledger_entry where index <= %s order by index"
        for row in connection.execute(query, [index]):
            digest.update(repr(row).encode())
    return digest.hexdigest()[:16]


def check_times(node: HurtNode, begun_us: int, ended_us: int) -> list[str]:
    """No wrong clock got into the log: every entry from between two moments (us) says so, within the bound."""
    with psycopg.connect(node.postgres.dsn) as connection:
        rows = connection.execute("select header, public from ledger_entry where kind <> 'Genesis'").fetchall()
    times = [parse(header, public).time_us for header, public in rows]
    outside = max(begun_us - min(times), max(times) - ended_us)
    return [f"an entry is stamped {outside} us outside of the run"] if outside > CLOCK_BOUND_US else []


def leader_changes(node: HurtNode, after: int) -> int:
    """How many leaders opened a term after entry `after`."""
    with psycopg.connect(node.postgres.dsn) as connection:
        query = "select count(*) from ledger_entry where kind = 'TermOpened' and index > %s"
        row = connection.execute(query, [after]).fetchone()
    return int(row[0]) if row else 0


def check_log(node: HurtNode) -> list[str]:
    """What the node's own log says of damage: an end, or no start, that no fault of ours explains."""
    lines = node.log.read_text(errors="replace").splitlines()
    found = [line for line in lines if DAMAGE.match(line)]
    found += [reason for reason in map(_ended_itself, lines) if reason]
    return [f"node {node.number}: {reason[-300:]}" for reason in found]


def _ended_itself(line: str) -> str:
    """The reason on a line of the log, when it is not one to expect."""
    if '"critical"' not in line:
        return ""
    try:
        fields = json.loads(line)
    except ValueError:
        return ""
    reason = str(fields.get("reason") or fields.get("error") or fields["event"])
    return "" if reason.startswith(EXPECTED_END) or LOST_DATABASE.search(reason) else reason
