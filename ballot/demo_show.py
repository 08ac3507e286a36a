"""How the demo looks: progress bars on a terminal, plain lines elsewhere, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

PLAIN_WIDTH = 120


class Show:
    """A context manager: bars move while it is entered, tables come after."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=PLAIN_WIDTH)
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def bar(self, title: str, total: int) -> Callable[[], None]:
        """What to call at each of `total` steps, from any thread. Without a terminal, every quarter is a line."""
        started, task, lock, done = time.monotonic(), self._progress.add_task(title, total=total), Lock(), [0]

        def step() -> None:
            with lock:
                done[0] += 1
                self._progress.advance(task)
                at_quarter = 4 * done[0] // total > 4 * (done[0] - 1) // total
                if at_quarter and not self.console.is_terminal:
                    self.console.print(f"{title:<58}{f'{done[0]}/{total}':>12}{time.monotonic() - started:>8.1f} s")

        return step

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Something whose steps are not counted."""
        step = self.bar(title, 1)
        yield
        step()


def print_facts(console: Console, facts: Sequence[tuple[str, str, bool]]) -> None:
    """What came out, one fact a line: (what, value, whether that is as it must be)."""
    table = Table(title="the election", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for what, value, fine in facts:
        table.add_row(what, value if fine else f"[red]{value}")
    console.print(table)
