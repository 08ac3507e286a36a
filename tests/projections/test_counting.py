"""The count off the consensus path, and the seeds that the leader publishes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import BrokenExecutor
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ballot.ledger import rsa
from ballot.ledger.frame import frame, u32
from ballot.ledger.node import Node
from ballot.projections import counting, duties
from ballot.projections.counting import BoardCounter, Counted, Primes
from ballot.projections.duties import Duties
from ballot.voting import commands as c
from ballot.voting.tally import count_document, open_board, seeds_of
from tests.chaos.machines import is_alive
from tests.support.log_builder import ElectionLog, election_log, key
from tests.support.waiting import PATIENCE_S


@pytest.fixture(scope="module")
def log() -> ElectionLog:
    return election_log()


def primes() -> Primes:
    numbers = key("trustee").private_numbers()
    p, q = (value.to_bytes(192, "big") for value in sorted((numbers.p, numbers.q), reverse=True))
    return {1: (p, q)}


async def chunks(*parts: list[bytes]) -> AsyncIterator[list[bytes]]:
    for part in parts:
        yield part


def counted(log: ElectionLog) -> Counted:
    votes = open_board(log.definition, log.eid, log.board, {1: key("trustee")})
    return Counted(seeds_of(votes), count_document(log.definition, log.eid, votes))


def test_a_board_in_chunks_is_counted_in_another_process(log: ElectionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "OPEN_AT_ONCE", 1)

    async def run() -> tuple[Counted, Counted]:
        counter = BoardCounter()
        try:
            first = await counter.count(log.document, primes(), chunks(log.board[:2], log.board[2:]))
            return first, await counter.count(log.document, primes(), chunks(log.board[:2], log.board[2:]))
        finally:
            counter.close()

    first, second = asyncio.run(run())
    assert first == second == counted(log), "a second count starts from nothing"
    assert [bool(seed) for seed in first.seeds].count(False) == 1
    assert counting._running is None, "nothing was counted here"


def test_a_process_that_was_ended_is_started_again(log: ElectionLog) -> None:
    async def run() -> Counted:
        counter = BoardCounter()
        try:
            await counter.count(log.document, primes(), chunks(log.board))
            assert counter._pool is not None
            (pid,) = counter._pool._processes
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(BrokenExecutor):
                await counter.count(log.document, primes(), chunks(log.board))
            counter.close()
            return await counter.count(log.document, primes(), chunks(log.board))
        finally:
            counter.close()

    assert asyncio.run(run()) == counted(log)


KILLED = """
import asyncio, os, signal
from ballot.projections.counting import BoardCounter
from tests.projections.test_counting import chunks, primes
from tests.support.log_builder import election_log

async def run():
    counter, log = BoardCounter(), election_log()
    await counter.count(log.document, primes(), chunks(log.board))
    print(*counter._pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    asyncio.run(run())
"""


def test_the_process_ends_with_the_one_that_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    """Else every ledger process that is killed leaves one behind."""
    script, out = tmp_path / "killed.py", tmp_path / "out"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with out.open("wb") as output:
        done = subprocess.run([sys.executable, script], stdout=output, env=environment)
    assert done.returncode == -signal.SIGKILL
    pid = int(out.read_text())
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError("it is still there")
        time.sleep(0.05)


def publish(monkeypatch: pytest.MonkeyPatch, seeds: list[bytes], done: int = 0) -> list[c.AnyCommand]:
    """What the leader submits for a board with these seeds, of whose chunks so many are published already."""
    submitted: list[c.AnyCommand] = []

    async def count(self: Duties, connection: object, election: dict[str, Any]) -> Counted:
        return Counted(seeds, b"document")

    async def submit(self: Duties, command: c.AnyCommand) -> None:
        submitted.append(command)

    monkeypatch.setattr(duties, "SEEDS_A_CHUNK", 2)
    monkeypatch.setattr(Duties, "_count", count)
    monkeypatch.setattr(Duties, "_submit", submit)
    duty = Duties(cast(Node, None), "")
    asyncio.run(duty._tally(cast(Any, None), {"election": b"e" * 16, "seed_chunks": done or None}))
    return submitted


SEEDS = [bytes([number]) * 32 for number in range(4)] + [b""]


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_the_leader_publishes_seeds_in_chunks_and_goes_on_where_the_last_one_stopped(
    monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    submitted = publish(monkeypatch, SEEDS, done)
    expected = [
        c.PublishSeeds(b"e" * 16, 0, False, SEEDS[:2]),
        c.PublishSeeds(b"e" * 16, 1, False, SEEDS[2:4]),
        c.PublishSeeds(b"e" * 16, 2, True, SEEDS[4:]),
    ]
    assert submitted == [*expected[done:], c.PublishTally(b"e" * 16, b"document")]


def test_a_board_without_ballots_has_no_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert publish(monkeypatch, []) == [c.PublishTally(b"e" * 16, b"document")]


def test_a_node_that_counts_otherwise_attests_what_it_found(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It neither keeps silent nor joins the others: its own digest goes into the log, under its own key."""
    submitted: list[Any] = []

    async def count(self: Duties, connection: object, election: dict[str, Any]) -> Counted:
        return Counted([], b"mine")

    async def submit(self: Duties, command: c.AnyCommand) -> None:
        submitted.append(command)

    class Nothing:
        async def execute(self, query: str, values: object) -> Nothing:
            return self

        async def fetchone(self) -> None:
            return None

    monkeypatch.setattr(Duties, "_count", count)
    monkeypatch.setattr(Duties, "_submit", submit)
    keys = SimpleNamespace(rsa=key("node1"))
    node = SimpleNamespace(settings=SimpleNamespace(node=1), cosigner=SimpleNamespace(keys=keys))
    election = {"election": b"e" * 16, "eid": bytes(32), "tally_digest": bytes(32)}
    asyncio.run(Duties(cast(Node, node), "")._attest(cast(Any, Nothing()), election))
    (command,) = submitted
    assert command.digest == sha256(b"mine").digest()
    rsa.verify(rsa.modulus(key("node1")), command.signature, frame("attest", bytes(32), u32(1), command.digest))
    assert "this node counts otherwise" in caplog.text
