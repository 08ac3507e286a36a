"""Requests made up from the OpenAPI document, sent to a running node, every answer held against it (`make fuzz-api`).

What is checked (schemathesis): no 5xx; status, headers, body and refusal are in the document; what the document allows
is not called malformed, what it forbids is refused; who has no token gets nothing where one is needed. Ids of elections
in every state are among the values, and answers' links are followed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ballot.client.account import Account
from ballot.client.api import b64
from ballot.cluster import Cluster
from tests.support.town import FRUIT, Town

MOST_UNAVAILABLE = 5
# 400 is not among them: what the document allows may be refused for what it means, never for its shape.
CONFIG = """
max-failures = 20
request-timeout = 20
max-stream-events = 1

[generation]
max-examples = {examples}
database = "none"
# A header more is no mistake. A query parameter more is, which tests/api/test_openapi.py shows.
allow-extra-parameters = false

[auth.openapi.bearer]
bearer = "{token}"

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 410, 422, 429, 503]

# Redis has a third of a second to answer, which a busy machine may miss: `complaints` counts these.
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

[dictionaries.elections]
values = {elections}

[dictionaries.users]
values = {users}

[parameters]
"path.election" = {{ dictionary = "elections", probability = 0.8 }}
"path.user" = {{ dictionary = "users", probability = 0.5 }}
"""


@dataclass(frozen=True)
class Village:
    """One node with an admin who organises, a voter, and elections in several states."""

    town: Town
    admin: Account
    voter: Account
    elections: Sequence[str]
    logged: int
    """How long the node's log was when it was ready."""

    @property
    def url(self) -> str:
        return self.town.cluster.nodes[0].url

    def complaints(self) -> list[str]:
        """What was logged since the start: errors, among them every refusal that its route does not describe; and
        503s, if there are many.
        """
        lines = self.town.cluster.nodes[0].log.read_bytes()[self.logged :].decode(errors="replace").splitlines()
        unavailable = [line for line in lines if '"unavailable"' in line]
        errors = [line for line in lines if '"level":"error"' in line.replace(" ", "").lower()]
        return errors + (unavailable if len(unavailable) > MOST_UNAVAILABLE else [])


def found() -> Village:
    """A running village; `village.town.stop()` ends it."""
    town = Town(Cluster.temporary(nodes=1, settings={"BALLOT_AUTH_PER_CLIENT": "0"}))
    town.start()
    return town.run(_settle(town))


async def _settle(town: Town) -> Village:
    voter = await town.voter()
    admin = town.organiser_account
    await town.cluster.grant(admin.email, "admin")
    open_one, closed = [await town.opened([voter]) for _ in range(2)]
    cancelled = await town.draft([voter])
    await town.organiser.close(closed.id)
    await admin.api.ask("POST", f"/api/elections/{b64(cancelled)}/cancel", {})
    scheduled = await town.organiser.draft("Next century", [FRUIT], opens_at="2100-01-01T00:00:00Z")
    await town.organiser.upload_roll(scheduled, [voter.account.email])
    await town.organiser.open(scheduled)
    drafts = [await town.draft([voter]) for _ in range(3)] + [await town.draft([])]
    await town.caught_up()
    elections = [b64(one) for one in (open_one.id, closed.id, cancelled, scheduled, *drafts)]
    return Village(town, admin, voter.account, elections, town.cluster.nodes[0].log.stat().st_size)


def fuzz(village: Village, account: Account, *, seconds: int, seed: int, examples: int = 20) -> tuple[int, str]:
    """schemathesis' exit status (0: nothing found) and report, with the token of `account`."""
    me: Mapping[str, str] = village.town.run(account.api.ask("GET", "/api/auth/me")).json()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(
            CONFIG.format(
                token=account.api.bearer,
                examples=examples,
                elections=json.dumps(village.elections),
                users=json.dumps([me["id"]]),
            )
        )
        program = Path(sys.executable).with_name("st")
        command = [str(program), "--config-file", str(config), "run", f"{village.url}/api/openapi.json", "--no-color"]
        command += ["--max-time", str(seconds), "--seed", str(seed)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds + 120)
    return done.returncode, done.stdout + done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description="fuzz a node of its own against the API's document")
    parser.add_argument("--seconds", type=int, default=300, help="together, half as admin and half as voter")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    village = found()
    try:
        outcomes = [
            fuzz(village, account, seconds=options.seconds // 2, seed=options.seed, examples=500)
            for account in (village.admin, village.voter)
        ]
        complaints = village.complaints()
    finally:
        village.town.stop()
    for _, report in outcomes:
        sys.stdout.write(report)
    for line in complaints:
        sys.stdout.write(f"logged: {line}\n")
    sys.exit(int(bool(complaints) or any(status for status, _ in outcomes)))


if __name__ == "__main__":
    main()
