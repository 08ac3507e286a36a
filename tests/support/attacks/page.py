"""What docs/protocol.md says of attacks and findings, held against the suite and the code.

`python -m tests.support.attacks.page` prints the tables of attacks as they belong there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from ballot.replay.report import Level
from tests.support.attacks import FILE, INSIDER, OUTSIDE, Attack

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "protocol.md"
LEVELS = {level.name: level.value for level in Level}
RELAYED = {("ballots", "MalformedBallot")}
"""Named by the refusal that the audit passes on."""

Name = tuple[str, str]
"""Level and name of a finding."""


def tables() -> str:
    """The attacks that are caught, as the page has them."""
    return "\n".join(
        [
            *("**By whoever holds the export**", "", *_caught(FILE), ""),
            *("**By insiders, who sign everything anew**", "", *_caught(INSIDER), ""),
            *("**Against a voter's program, a receipt, the API**", "", "| attack | stopped by |", "| --- | --- |"),
            *(f"| {name} | {attack.where} |" for name, attack in OUTSIDE.items()),
        ]
    )


def _caught(attacks: dict[str, Attack]) -> Iterator[str]:
    yield from ("| attack | level | finding |", "| --- | --- | --- |")
    for name, attack in attacks.items():
        yield f"| {name} | {attack.level} | `{attack.name}` |"


def finding_names() -> set[Name]:
    """Every finding that the audit's code can report: a `Level` and a text are side by side in a call."""
    names: set[Name] = set(RELAYED)
    for path in (ROOT / "replay").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                names |= set(_named_in(node))
    return names


def _named_in(call: ast.Call) -> Iterator[Name]:
    values = call.args
    for level, name in pairwise(values):
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            continue
        if isinstance(level, ast.Attribute) and level.attr in LEVELS:
            yield LEVELS[level.attr], name.value
        elif isinstance(level, ast.Name) and level.id == "check_pss":
            yield "signatures", name.value
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if function in ("check_pss", "_find_structure") and isinstance(values[0], ast.Constant):
        yield ("signatures" if function == "check_pss" else "structure"), str(values[0].value)


def listed_findings() -> set[Name]:
    """The findings of the page: lines `| level | `Name` | ... |` of its table of findings."""
    text = PAGE.read_text().partition("## 11. ")[2].partition("\n## ")[0]
    return {(level, name) for level, name in re.findall(r"^\| (\w+) \| `(\w+)` \|", text, re.MULTILINE)}


def listed_kinds() -> dict[str, str]:
    """Of every kind of entry in section 3 what its row says."""
    text = PAGE.read_text().partition("## 3. ")[2].partition("\n## ")[0]
    rows = [line.strip("| ").partition(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {kind: fields for kinds, _, fields in rows for kind in re.findall(r"`(\w+)`", kinds)}


if __name__ == "__main__":
    print(tables())
