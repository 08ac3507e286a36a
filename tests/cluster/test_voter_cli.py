"""The commands of `ballot voter` as processes of their own, on three real nodes, from registration to the board."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from ballot.ledger.frame import frame
from ballot.voting.question import Question
from tests.support.town import FRUIT, PASSWORD, Town

pytestmark = pytest.mark.cluster

EMAIL = "vera@example.org"
SCORED = Question("Which day?", "score", ["Mon", "Tue"], 2, {"max_score": 5})


class Vera:
    """A voter with a folder and a shell."""

    def __init__(self, town: Town, folder: Path) -> None:
        self.town, self.folder = town, folder
        (folder / "password").write_text(PASSWORD + "\n")
        genesis = town.cluster.genesis
        (folder / "genesis").write_bytes(frame("genesis-file", genesis.header, genesis.public))

    async def run(self, command: str, *more: str, status: int = 0, code: bool = False) -> tuple[str, str]:
        arguments = ["-m", "ballot", "voter", command, "--wallet", str(self.folder / "wallet"), *more]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
        typed = (await self.town.postbox.code(EMAIL)) + "\n" if code else ""
        out, err = await asyncio.wait_for(process.communicate(typed.encode()), 60)
        assert process.returncode == status, (command, out, err)
        return out.decode(), err.decode()

    async def json(self, command: str, *more: str, **how: Any) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads((await self.run(command, "--json", *more, **how))[0])
        return fields


async def hold(town: Town, vera: Vera) -> None:
    election = await town.organiser.draft("By hand", [FRUIT, SCORED])
    await town.organiser.upload_roll(election, [EMAIL])
    await town.organiser.open(election)
    await town.caught_up()
    password = ["--password-file", str(vera.folder / "password")]
    nodes = [part for node in town.cluster.nodes for part in ("--node", node.url)]
    genesis = ["--genesis", str(vera.folder / "genesis")]
    entered = await vera.json("register", "--email", EMAIL, *password, *nodes, *genesis, code=True)
    assert entered == {"logged_in": EMAIL}
    await vera.run("logout")
    assert "ballot voter login" in (await vera.run("elections", status=1))[1]
    await vera.run("login", *password, code=True)
    [listed] = (await vera.json("elections"))["elections"]
    assert (listed["title"], listed["status"], listed["you"]) == ("By hand", "open", "nothing yet")
    ident = listed["id"]
    assert "1 answers to 2 questions" in (await vera.run("cast", ident, "--vote", "Apple", "--yes", status=1))[1]
    cast = ["cast", ident, "--vote", "Cherry, 1", "--vote", "Mon=5", "--within", "0.02", "--yes"]
    out, err = await vera.run(*cast, "--json")
    recorded = json.loads(out)
    assert recorded["recorded"] > 0 and not recorded["again"] and "1. Cherry (3)" in err and "Mon: 5 points" in err
    assert "recorded already" in (await vera.run(*cast, status=1))[1]
    assert "there is a receipt" in (await vera.run("claim", ident, status=1))[1]
    await town.organiser.close(election)
    await town.organiser.wait_for(election, ["tallied"], 60)
    await town.caught_up()
    [state] = (await vera.json("status"))["elections"]
    assert (state["entry"], state["receipt_verifies"], state["on_board"]) == (recorded["recorded"], True, True)
    results = await town.organiser.results(election)
    assert results["tally"]["questions"][0]["rounds"][0]["votes"]["2"] == 1
    files = list((vera.folder / "wallet").iterdir())
    assert files and {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_vote_from_registration_to_the_board_by_commands_alone(town: Town, tmp_path: Path) -> None:
    town.run(hold(town, Vera(town, tmp_path)))
