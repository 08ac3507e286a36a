"""Times the answers to wrong passwords, forgotten ones and registrations, for addresses with an account and without.

    python -m bench.accounts

One node, real HTTP, full bcrypt cost; known and unknown addresses take turns, so that whatever else the machine does
hits both alike. `P(slower)` is the chance that an answer about a known address took longer than one about an unknown
one: 0.5 where there is nothing to learn.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import quantiles

from rich.console import Console
from rich.table import Table

from ballot.client.account import Account
from ballot.client.api import Api, Line, Refused
from ballot.cluster import Cluster
from ballot.demo_crowd import Postbox

PEOPLE, EACH = 40, 5
PASSWORD = "the right one, for once"  # noqa: S105
JSON = {"Content-Type": "application/json"}
ASKED = {"login": {"password": "a wrong one"}, "password/forgot": {}, "register": {"password": "a stranger's own"}}


async def measure(line: Line, path: str, email: str) -> float:
    """Milliseconds until the answer."""
    body = json.dumps({"email": email, **ASKED[path]}).encode()
    began = time.perf_counter()
    try:
        await line.send(0, "POST", f"/api/auth/{path}", headers=JSON, body=body)
    except Refused as refused:
        assert refused.refusal == "WrongCredentials", refused
    return 1000 * (time.perf_counter() - began)


async def run(cluster: Cluster) -> dict[str, tuple[list[float], list[float]]]:
    """Path to the times of known addresses and of unknown ones."""
    postbox = Postbox(cluster.mailbox)
    watching = asyncio.ensure_future(postbox.watch())
    known = [f"known{number:03}@example.org" for number in range(PEOPLE)]
    unknown = [f"other{number:03}@example.org" for number in range(PEOPLE)]
    async with Line([node.url for node in cluster.nodes]) as line:
        for email in known:
            await Account(Api(line), email, PASSWORD, postbox.code).register()
        found: dict[str, tuple[list[float], list[float]]] = {path: ([], []) for path in ASKED}
        for path in ASKED:
            for turn in range(EACH * PEOPLE):
                # Each goes first half of the time: what one leaves behind in the background slows down the other.
                for which in (0, 1) if turn % 2 else (1, 0):
                    email = (known, unknown)[which][turn % PEOPLE]
                    found[path][which].append(await measure(line, path, email))
    watching.cancel()
    return found


def slower(these: Sequence[float], those: Sequence[float]) -> float:
    """The chance that one of these is larger than one of those (Mann and Whitney's U, as a share)."""
    ordered = sorted(those)
    wins = sum(bisect_left(ordered, one) + bisect_right(ordered, one) for one in these)
    return wins / (2 * len(these) * len(those))


def main() -> None:
    cluster = Cluster.temporary(nodes=1, settings={"BALLOT_AUTH_PER_CLIENT": "0"})
    try:
        cluster.start()
        found = asyncio.run(run(cluster))
    finally:
        cluster.remove()
    table = Table(title=f"milliseconds until the answer, {PEOPLE * EACH} requests each")
    for column in ("request", "address", "p10", "p50", "p90", "p99", "P(slower)"):
        table.add_column(column)
    for path, (known, unknown) in found.items():
        for name, times, chance in (("known", known, f"{slower(known, unknown):.3f}"), ("unknown", unknown, "")):
            cuts = quantiles(times, n=100)
            table.add_row(path, name, *(f"{cuts[at - 1]:.1f}" for at in (10, 50, 90, 99)), chance)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
