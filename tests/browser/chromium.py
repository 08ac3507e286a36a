"""A real browser without a window, which leaves neither a process nor a file behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PROGRAM = shutil.which("chromium")
PACKAGE = "chromium"
"""Debian's."""
END_S = 5.0
OPTIONS = (
    *("--headless=new", "--enable-logging=stderr", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad"),
    *("--no-first-run", "--no-default-browser-check", "--disable-component-update", "--disable-sync"),
    "--disable-background-networking",
)


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Path]:
    """Chromium shows `url`, with a profile, a home and a temporary folder of its own; gives the file it logs to."""
    assert PROGRAM is not None
    folder = Path(tempfile.mkdtemp(prefix="chromium-"))
    log = folder / "log"
    # Chromium's sandbox refuses root; the page is ours.
    options = [*OPTIONS, f"--user-data-dir={folder / 'profile'}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(folder))
    with log.open("wb") as output:
        browser = await asyncio.create_subprocess_exec(
            PROGRAM, *options, url, env={**os.environ, **places}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield log
    finally:
        with suppress(ProcessLookupError):
            browser.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(browser.wait(), END_S)
        # Its children are in a group of their own, of which it was the first.
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        await browser.wait()
        shutil.rmtree(folder, ignore_errors=True)
