"""Work that takes a core: in this process while there is little of it, on all cores as soon as there is more."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .report import Level

if TYPE_CHECKING:  # Brings half of multiprocessing along, which a small audit never needs.
    from concurrent.futures import Future, ProcessPoolExecutor
    from ctypes import Array, c_char

BATCH = 512
# Workers take about as long to start as this many signatures to check; until they are there it goes on in this process.
IN_PROCESS = 1024
# Batches under way for each worker: enough to keep it busy while the log has nothing to check for a while.
AHEAD = 8
# Of the calls of `map`, whose arguments and results are as large as a batch or larger.
MAP_AHEAD = 3
# Each batch under way has a place in memory that all processes share: a pipe takes a batch in several parts, and for
# each part the thread that feeds it must wait for this process's interpreter.
SLOT_BYTES = 1 << 20


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

    All but `close` raise BrokenExecutor once a worker was ended from outside.
    """

    def __init__(self, workers: int, report: Callable[[int, Flaw], None]) -> None:
        self._workers, self._report = workers, report
        self._executor: ProcessPoolExecutor | None = None
        self._indexes: list[int] = []
        self._jobs: list[Job] = []
        self._running: deque[tuple[list[int], int, Future[Found]]] = deque()
        self._done = 0

    def prepare(self) -> None:
        """Has the workers start, for there will be much to check."""
        if self._workers > 1:
            self._start()

    def submit(self, index: int, check: Check, *arguments: Any) -> None:
        """Have something checked that entry `index` says."""
        self._indexes.append(index)
        self._jobs.append((check, arguments))
        if len(self._jobs) >= BATCH:
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
            if len(ahead) > MAP_AHEAD * self._workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def _send(self) -> None:
        if not self._jobs:
            return
        indexes, jobs, self._indexes, self._jobs = self._indexes, self._jobs, [], []
        self._done += len(jobs)
        if self._workers == 1 or not self._is_ready():
            self._tell(indexes, run_jobs(jobs))
        else:
            self._running.append((indexes, *self._hand_over(jobs)))

    def _hand_over(self, jobs: list[Job]) -> tuple[int, Future[Found]]:
        """(slot, result) of a batch that a worker makes: where it is in the shared memory, -1 if it fits nowhere."""
        executor = self._start()
        while not self._free or len(self._running) > AHEAD * self._workers:
            self._collect()
        data = pickle.dumps(jobs)
        if len(data) > SLOT_BYTES:
            return -1, executor.submit(run_jobs, jobs)
        slot = self._free.pop()
        memoryview(self._slots).cast("B")[slot : slot + len(data)] = data
        return slot, executor.submit(run_slot, slot, len(data))

    def _collect(self) -> None:
        indexes, slot, future = self._running.popleft()
        self._tell(indexes, future.result())
        if slot >= 0:
            self._free.append(slot)

    def _tell(self, indexes: Sequence[int], found: Found) -> None:
        for number, flaws in found:
            for flaw in flaws:
                self._report(indexes[number], flaw)

    def _is_ready(self) -> bool:
        """Whether a worker has started; once there is more to check they are made to."""
        if self._executor is None and self._done <= IN_PROCESS:
            return False
        self._start()
        return bool(self._running) or self._hello.done()

    def _start(self) -> ProcessPoolExecutor:
        if self._executor is None:
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context
            from multiprocessing.sharedctypes import RawArray

            # A fresh interpreter each: forking a process with threads (a progress bar has one) can deadlock.
            context, count = get_context("spawn"), AHEAD * self._workers
            self._slots = RawArray("c", count * SLOT_BYTES)
            self._free = list(range(0, count * SLOT_BYTES, SLOT_BYTES))
            self._executor = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=begin, initargs=(self._slots,)
            )
            self._hello = self._executor.submit(run_jobs, [])
        return self._executor


# -- in a worker

_slots: memoryview | None = None


def begin(slots: Array[c_char]) -> None:
    from ..ledger.child import end_with_parent

    global _slots
    _slots = memoryview(slots).cast("B")
    end_with_parent()


def run_slot(slot: int, size: int) -> Found:
    """The jobs in a slot of the shared memory."""
    assert _slots is not None
    return run_jobs(pickle.loads(_slots[slot : slot + size]))


def run_jobs(jobs: Sequence[Job]) -> Found:
    return [(number, flaws) for number, (check, arguments) in enumerate(jobs) if (flaws := check(*arguments))]
