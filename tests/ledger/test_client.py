"""The worker's line to its ledger process: a process that hangs is one that does not answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ballot.ledger import client
from ballot.ledger.client import LedgerClient
from ballot.ledger.submit import Unavailable


def test_a_process_that_hangs_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.01)

    async def ask() -> int:
        server = await asyncio.get_running_loop().create_unix_server(asyncio.Protocol, str(tmp_path / "socket"))
        asked = LedgerClient(tmp_path / "socket")
        try:
            with pytest.raises(Unavailable, match="outcome unknown"):
                await asked.status()
            return len(asked._asked)
        finally:
            asked.close()
            server.close()

    assert asyncio.run(ask()) == 0
