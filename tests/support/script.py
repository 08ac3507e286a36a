"""Scenario files: comments, commands, `----`, what the commands print, an empty line.

    deliver Vote 1->3
    ----
    1->3 Vote@2 last 1/0

A language is a subclass of Script: a command `add-nodes 3` is carried out by its method `add_nodes("3")`.
`tests/support/languages.py` names them all and plays files from the command line.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

RULE = "----"
NO_OUTPUT = "ok"


class Script:
    """One run of one file. Commands add to `lines`."""

    # What a command may be told in an orderly way.
    REFUSALS: ClassVar[tuple[type[Exception], ...]] = ()
    # A promise is broken: the run ends here, and this is the last line it prints.
    VIOLATIONS: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self) -> None:
        self.lines: list[str] = []

    def run(self, commands: list[str]) -> list[str]:
        self.lines.clear()
        for command in commands:
            name, *words = command.split()
            handler: Callable[..., None] | None = getattr(self, name.replace("-", "_"), None)
            if handler is None:
                raise ValueError(f"no such command: {command}")
            try:
                handler(*words)
            except self.REFUSALS as error:
                self.lines.append(f"refused: {self.explain(error)}")
        return list(self.lines) or [NO_OUTPUT]

    def explain(self, error: Exception) -> str:
        return str(error)

    def close(self) -> None:
        """Gives back whatever the run holds."""


@dataclass(frozen=True, slots=True)
class Block:
    """Comments and commands as they stand in the file, and what the commands should print."""

    head: list[str]
    expected: list[str]

    @property
    def commands(self) -> list[str]:
        return [line for line in self.head if not line.startswith("#")]


def read_blocks(text: str) -> Iterator[Block]:
    """Raises ValueError for commands without a rule below them."""
    for part in text.strip().split("\n\n"):
        lines = part.splitlines()
        place = lines.index(RULE) if RULE in lines else len(lines)
        block = Block(lines[:place], lines[place + 1 :])
        if block.commands and RULE not in lines:
            raise ValueError(f"no {RULE} below: {block.commands[0]}")
        yield block


def play(text: str, script: Script) -> str:
    """The file as it should read. A broken promise ends it: its message is then the last line printed."""
    parts = []
    for block in read_blocks(text):
        if not block.commands:
            parts.append("\n".join(block.head))
            continue
        try:
            output, broken = script.run(block.commands), False
        except script.VIOLATIONS as violation:
            output, broken = [*script.lines, f"VIOLATION: {violation}"], True
        parts.append("\n".join([*block.head, RULE, *output]))
        if broken:
            break
    return "\n\n".join(parts) + "\n"


def compare(path: Path, script: Script) -> list[str]:
    """The difference between the file and what it prints now; nothing where they agree."""
    wanted = path.read_text()
    try:
        got = play(wanted, script)
    finally:
        script.close()
    if os.environ.get("REWRITE_SCENARIOS") == "1":
        path.write_text(got)
        return [line for line in got.splitlines() if line.startswith("VIOLATION")]
    return list(difflib.unified_diff(wanted.splitlines(), got.splitlines(), "expected", "got", lineterm="", n=4))
