"""Work that takes a core: in this process while there is little of it, on all cores as soon as there is more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .report import Level

if TYPE_CHECKING:  # Brings half of multiprocessing along, which a small audit never needs.
    from concurrent.futures import Future, ProcessPoolExecutor

BATCH = 256
# A pool takes about as long to start as this many signatures take to check.
IN_PROCESS = 4096
# Batches under way for each worker: enough to keep it busy, few enough to stay small in memory.
AHEAD = 3


class Flaw(NamedTuple):
    """What a check found wrong; an empty list of these is a pass."""

    level: Level
    name: str
    detail: str


Check = Callable[..., list[Flaw]]
Job = tuple[Check, tuple[Any, ...]]
Found = list[tuple[int, list[Flaw]]]
"""What is wrong with which of the jobs, counted from 0; most often nothing with none."""


class Pool:
    """`report(index, flaw)` is told what a submitted check finds, in the order of submission, by `flush` at the
    latest. Checks and the functions for `map` are top-level functions of arguments that pickle.
    """

    def __init__(self, workers: int, report: Callable[[int, Flaw], None]) -> None:
        self._workers, self._report = workers, report
        self._executor: ProcessPoolExecutor | None = None
        self._batch: list[tuple[int, Job]] = []
        self._running: deque[tuple[list[int], Future[Found]]] = deque()
        self._done = 0

    def submit(self, index: int, check: Check, *arguments: Any) -> None:
        """Have something checked that entry `index` says."""
        self._batch.append((index, (check, arguments)))
        if len(self._batch) >= BATCH:
            self._send()

    def flush(self) -> None:
        """Returns when everything submitted is checked and reported."""
        self._send()
        while self._running:
            self._collect()

    def map(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], spread: bool) -> Iterator[Any]:
        """Results in the order of `arguments`, a few ahead of what is taken; on all cores if `spread`."""
        if not spread or self._workers == 1:
            yield from (function(*values) for values in arguments)
            return
        executor = self._start()
        ahead: deque[Future[Any]] = deque()
        for values in arguments:
            ahead.append(executor.submit(function, *values))
            if len(ahead) > AHEAD * self._workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def _send(self) -> None:
        if not self._batch:
            return
        indexes = [index for index, _ in self._batch]
        jobs = [job for _, job in self._batch]
        self._batch = []
        self._done += len(jobs)
        if self._workers == 1 or self._done <= IN_PROCESS:
            self._tell(indexes, run_jobs(jobs))
            return
        self._running.append((indexes, self._start().submit(run_jobs, jobs)))
        if len(self._running) > AHEAD * self._workers:
            self._collect()

    def _collect(self) -> None:
        indexes, future = self._running.popleft()
        self._tell(indexes, future.result())

    def _tell(self, indexes: Sequence[int], found: Found) -> None:
        for number, flaws in found:
            for flaw in flaws:
                self._report(indexes[number], flaw)

    def _start(self) -> ProcessPoolExecutor:
        if self._executor is None:
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            # A fresh interpreter each: forking a process with threads (a progress bar has one) can deadlock.
            self._executor = ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"))
        return self._executor


def run_jobs(jobs: Sequence[Job]) -> Found:
    """In a worker."""
    return [(number, flaws) for number, (check, arguments) in enumerate(jobs) if (flaws := check(*arguments))]
