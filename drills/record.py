"""A drill's report: step by step what was done and seen, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from ..client.api import NoAnswer, Refused
from ..client.trust import Untrusted
from ..ledger.submit import Unavailable


class Step(msgspec.Struct):
    """`saw` is what happened, in words; `ms` how long the step took."""

    what: str
    saw: str = ""
    ms: float = 0.0
    ok: bool = True


class Report(msgspec.Struct):
    """`passed`: everything was as it must be. `measured`: figures by name, their unit at the name's end."""

    drill: str
    passed: bool
    seconds: float
    steps: list[Step]
    measured: dict[str, float]


class Failed(Exception):
    """The cluster did what it must not do; the message says what."""


class Recorder:
    """Keeps the steps of one drill; `tell` hears of each when it is over."""

    def __init__(self, drill: str, tell: Callable[[str, Step], None] = lambda drill, step: None) -> None:
        self.drill, self._tell = drill, tell
        self._begun = time.monotonic()
        self.steps: list[Step] = []
        self.measured: dict[str, float] = {}

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """One step; what goes wrong in it becomes what it saw, and ends the drill."""
        step, begun = Step(what), time.monotonic()
        self.steps.append(step)
        try:
            yield step
        except (Failed, NoAnswer, Refused, Untrusted, Unavailable, TimeoutError) as error:
            step.ok, step.saw = False, str(error) or type(error).__name__
            raise Failed(step.saw) from error
        finally:
            step.ms = round(1000 * (time.monotonic() - begun), 1)
            self._tell(self.drill, step)

    def report(self) -> Report:
        passed = all(step.ok for step in self.steps)
        return Report(self.drill, passed, round(time.monotonic() - self._begun, 2), self.steps, self.measured)


def expect(condition: bool, otherwise: str) -> None:
    """Raises Failed."""
    if not condition:
        raise Failed(otherwise)
