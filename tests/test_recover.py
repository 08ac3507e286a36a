"""`ballot node recover` as it is typed, and how it finds out that the others may still be running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from ballot.cli import main
from ballot.config import Settings
from ballot.ledger.entry import Entry
from ballot.ledger.membership import Membership
from ballot.ledger.statefile import Amnesia
from ballot.ledger.survivor import RecoveryRefused
from ballot.ports import free_port
from ballot.recover import _maybe_running
from tests.support.chain import ORIGIN, genesis, membership, node_record
from tests.test_config import settings


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command of node 2; `outcome` is what there would be to do, or what refuses it."""

    def run(*arguments: str, typed: str = "", outcome: Exception | None = None) -> Result:
        async def recover(
            _: Settings, *, force: bool, confirm: Callable[[Sequence[str]], bool], restored: bool
        ) -> Entry | None:
            if outcome is not None:
                raise outcome
            return genesis() if confirm([f"the plan, force {force}"]) else None

        monkeypatch.setattr("ballot.cli.settings_or_exit", settings)
        monkeypatch.setattr("ballot.recover.recover", recover)
        return CliRunner().invoke(main, ["node", "recover", *arguments], input=typed)

    return run


def test_it_shows_what_it_will_do_and_goes_on_when_the_nodes_number_is_typed(typed: Callable[..., Result]) -> None:
    result = typed(typed="2\n")
    assert result.exit_code == 0
    assert result.output.startswith("the plan, force False\nType 2 to recover")
    assert result.output.splitlines()[-2] == "recovered, entry 1: start node 2"
    assert result.output.splitlines()[-1].startswith("publish the hash of that entry")


@pytest.mark.parametrize("answer", ["", "1\n", "y\n", "yes\n", "\n"])
def test_anything_else_changes_nothing(typed: Callable[..., Result], answer: str) -> None:
    result = typed(typed=answer)
    assert result.exit_code == 1
    assert "recovered, entry" not in result.output


def test_with_yes_it_does_not_ask(typed: Callable[..., Result]) -> None:
    result = typed("--yes", "--force")
    assert result.exit_code == 0
    assert "force True" in result.output and "Type" not in result.output


@pytest.mark.parametrize("error", [RecoveryRefused("the reason"), Amnesia("the reason")])
def test_a_refusal_is_one_line(typed: Callable[..., Result], error: Exception) -> None:
    result = typed("--yes", outcome=error)
    assert (result.exit_code, result.output) == (1, "Error: the reason\n")


def running(members: Membership, peers: dict[int, tuple[str, int]], listening: Sequence[int] = ()) -> list[int]:
    """Which other voters node 2 cannot tell to be down, while something listens on these ports."""

    async def ask() -> list[int]:
        servers = [await asyncio.start_server(lambda *_: None, "127.0.0.1", port) for port in listening]
        found = await _maybe_running(replace(settings(), peers=peers), members)
        for server in servers:
            server.close()
        return found

    return asyncio.run(ask())


def test_who_listens_at_its_address_may_be_running() -> None:
    up, down = free_port(), free_port()
    peers = {1: ("127.0.0.1", up), 3: ("127.0.0.1", down)}
    assert running(membership(3), peers, [up]) == [1]
    assert running(membership(3), peers) == []


def test_an_address_that_is_not_known_could_be_one_that_answers() -> None:
    assert running(membership(3), {1: ("127.0.0.1", free_port())}) == [3]


def test_an_address_in_the_log_is_tried_unless_another_was_given() -> None:
    up, down = free_port(), free_port()
    record = replace(node_record(3), address=f"127.0.0.1:{up}")
    members = Membership(ORIGIN, (node_record(2), record))
    assert running(members, {}, [up]) == [3]
    assert running(members, {3: ("127.0.0.1", down)}, [up]) == []


def test_learners_do_not_matter() -> None:
    members = Membership(ORIGIN, (node_record(2), node_record(3, voter=False)))
    assert running(members, cast(Any, {})) == []
