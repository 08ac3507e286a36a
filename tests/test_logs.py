"""Log lines: one JSON object each, whatever is put into them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from ballot.logs import JsonFormatter


def line(message: str = "it happened", *args: object, always: dict[str, object] | None = None, **extra: Any) -> str:
    """The line of one log call."""
    record = logging.getLogger("ballot.test").makeRecord(
        "ballot.test", logging.WARNING, "test.py", 1, message, args, extra.pop("exc_info", None), extra=extra
    )
    return JsonFormatter(**(always or {})).format(record)


def test_a_line_says_when_what_where_and_who() -> None:
    fields = json.loads(line("peer %s", 2, always={"node": 1}, peer=2, error="gone"))
    at = fields.pop("at")
    assert at.endswith("+00:00")
    assert fields == {
        "level": "warning",
        "log": "ballot.test",
        "event": "peer 2",
        "node": 1,
        "peer": 2,
        "error": "gone",
    }


@pytest.mark.parametrize(
    "value",
    [b"\xff\0", {1, 2}, pytest.param(object(), id="object"), {"a": b"b"}, {1: 2}, "a\nb\u2028c", None],
    ids=repr,
)
def test_any_value_makes_one_line_of_json(value: object) -> None:
    text = line(value=value)
    assert text.splitlines() == [text]
    assert "value" in json.loads(text, parse_constant=pytest.fail)


def test_an_exception_is_told_in_the_same_line() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        text = line(exc_info=(type(error), error, error.__traceback__))
    assert text.splitlines() == [text]
    assert "ValueError: broken" in json.loads(text)["error"]


def test_what_a_caller_adds_does_not_hide_what_every_line_has() -> None:
    fields = json.loads(line(always={"node": 1}, event="forged", level="forged", at="forged", log="forged", node=9))
    assert (fields["event"], fields["level"], fields["log"], fields["node"]) == (
        "it happened",
        "warning",
        "ballot.test",
        1,
    )
