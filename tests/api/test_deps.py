"""The app's connections: what was away is found again soon, however long it was away."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from psycopg_pool import PoolTimeout
from psycopg_pool.base import AttemptWithBackoff

from ballot.http import deps

FASTER = 20
TRIES = 20


def test_a_database_that_is_away_is_tried_about_every_second_and_not_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at a time, twenty tries take some ten seconds. Twice as long after each, they would take eight minutes."""
    monkeypatch.setattr(AttemptWithBackoff, "INITIAL_DELAY", AttemptWithBackoff.INITIAL_DELAY / FASTER)
    monkeypatch.setattr(deps, "RECONNECT_S", deps.RECONNECT_S / FASTER)

    async def run() -> None:
        tries, enough = 0, asyncio.Event()

        def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal tries
            tries += 1
            writer.close()
            if tries == TRIES:
                enough.set()

        async def ask() -> None:
            while not enough.is_set():
                with suppress(PoolTimeout):
                    async with pool.connection(timeout=0.2 / FASTER):
                        pass

        server = await asyncio.start_unix_server(turn_away, tmp_path / ".s.PGSQL.5432")
        pool = deps.make_pool(f"host={tmp_path} port=5432 connect_timeout=5")
        await pool.open()
        asking = asyncio.ensure_future(ask())
        try:
            async with asyncio.timeout(100 / FASTER):
                await enough.wait()
        finally:
            asking.cancel()
            await pool.close()
            server.close()

    asyncio.run(run())
