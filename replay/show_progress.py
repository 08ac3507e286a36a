"""A progress bar on standard error, if that is a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

TELL_EVERY = 64


class Bar:
    """A context manager. `reading` hears of bytes or entries of a source, `step` of what an audit is at."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task("reading", total=None)
        self._calls = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def reading(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total or None)

    def step(self, what: str, done: int, total: int) -> None:
        """Where the total is not known, the bar stays that of `reading`."""
        if total:
            self._bar.update(self._task, description=what, completed=done, total=total)
        else:
            self._bar.update(self._task, description=f"{what}: {done:,}")

    def show(self, what: str, done: int, total: int) -> None:
        self._calls += 1
        if self._calls % TELL_EVERY == 1 or done == total:
            described = f"{what}: {done:,} of {total:,}"
            self._bar.update(self._task, description=described, completed=done, total=total or None)
