"""docs/security.md is true at least so far: every test it names exists, every requirement has one answer."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


# Requirements of levels 1 and 2: section and how many it has of them, which always are its first. Without chapters 10
# and 17 (OAuth, WebRTC), which are answered as a whole.
COUNTS = """
    1.1:2 1.2:9 1.3:11 1.4:3 1.5:2   2.1:3 2.2:3 2.3:4 2.4:1   3.2:2 3.3:4 3.4:6 3.5:5 3.7:2   4.1:3 4.2:1 4.3:2 4.4:4
    5.1:1 5.2:3 5.3:2 5.4:3   6.1:3 6.2:11 6.3:3 6.4:4 6.5:5 6.6:3 6.8:4   7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2
    8.1:2 8.2:3 8.3:1 8.4:1   9.1:3 9.2:4   11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1   12.1:3 12.2:2 12.3:4
    13.1:1 13.2:5 13.3:2 13.4:5   14.1:2 14.2:4 14.3:3   15.1:3 15.2:3 15.3:7   16.1:1 16.2:5 16.3:4 16.4:3 16.5:3
"""
REQUIRED = [
    f"{section}.{number}"
    for section, count in (pair.split(":") for pair in COUNTS.split())
    for number in range(1, int(count) + 1)
]


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_bytes())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 100
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or (name and name not in functions_of(path))
    ]
    assert missing == []


def test_every_test_is_named_with_its_file() -> None:
    assert re.findall(r"`(test_\w+)`", PAGE) == []


def requirements(text: str) -> list[str]:
    return re.findall(r"\b\d{1,2}\.\d\.\d{1,2}\b", text)


def rows(heading: str) -> list[str]:
    """The first column of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line.split("|")[1] for line in section.splitlines() if line.startswith("| ") and "---" not in line]


def test_every_requirement_has_one_answer() -> None:
    """Met, not met, or not applicable; a section may be passed over whole, as 4.3.x."""
    met = Counter(number for row in rows("ASVS 5.0, levels 1 and 2") for number in requirements(row))
    unmet = Counter(number for row in rows("Not met") for number in requirements(row))
    rest = "\n".join(line.split(":")[0] for line in PAGE.split("What does not apply:")[1].splitlines())
    whole = re.findall(r"\b(\d{1,2}\.\d)\.x\b", rest)
    passed_over = Counter([*requirements(rest), *(n for n in REQUIRED if n.rsplit(".", 1)[0] in whole)])
    answers = met + unmet + passed_over
    assert {number: answers[number] for number in REQUIRED if answers[number] != 1} == {}
    assert set(answers) - set(REQUIRED) == set()
