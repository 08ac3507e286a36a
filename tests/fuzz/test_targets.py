"""Every parser of bytes from outside: only its named refusal escapes, what it takes it can write, and it stays quick.

`make fuzz` runs the same targets guided by coverage, for as long as one likes.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.shapes import change_bytes, change_value
from tests.fuzz.targets import TARGETS, Target

EXAMPLES, DEAR_EXAMPLES = 60, 6
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def runs(target: Target, work: Callable[[st.DataObject], None]) -> None:
    count = DEAR_EXAMPLES if target.dear else EXAMPLES
    settings(QUIET, max_examples=count)(given(st.data())(work))()


def choose_from(data: st.DataObject) -> Callable[[int], int]:
    return lambda count: data.draw(st.integers(0, count - 1))


@every_target
def test_valid_examples_are_taken_and_written_again(target: Target) -> None:
    for example in target.examples():
        target.take(example)
    assert target.take(target.examples()[0])


@every_target
def test_no_bytes_raise_anything_but_the_named_refusal(target: Target) -> None:
    def work(data: st.DataObject) -> None:
        target.take(data.draw(st.binary(max_size=200)))

    runs(target, work)


@every_target
def test_no_damage_to_a_valid_example_raises_anything_but_the_named_refusal(target: Target) -> None:
    examples = target.examples()

    def work(data: st.DataObject) -> None:
        choose = choose_from(data)
        bad = examples[choose(len(examples))]
        for _ in range(1 + choose(3)):
            bad = change_bytes(bad, choose)
        target.take(bad)

    runs(target, work)


@every_target
def test_no_other_value_in_the_same_form_raises_anything_but_the_named_refusal(target: Target) -> None:
    if target.shape is None:
        pytest.skip("its bytes have no parts")
    shape, examples = target.shape, target.examples()

    def work(data: st.DataObject) -> None:
        choose = choose_from(data)
        value = shape.split(examples[choose(len(examples))])
        for _ in range(1 + choose(3)):
            value = change_value(value, choose)
        try:
            bad = shape.join(value)
        except (ValueError, TypeError, OverflowError, AttributeError):
            return  # Nobody can write such a value.
        target.take(bad)

    runs(target, work)


SIZE = 1 << 17
FILLS: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda example: bytes(SIZE),
    "digits": lambda example: b"7" * SIZE,
    "brackets": lambda example: b"[" * SIZE,
    "commas": lambda example: b"[" + b"[]," * (SIZE // 3) + b"[]]",
    "quotes": lambda example: b'"' * SIZE,
    "lines": lambda example: b"\n" * SIZE,
    "lists in msgpack": lambda example: b"\xdd" + (SIZE).to_bytes(4, "big") + b"\x90" * SIZE,
    "accents": lambda example: "e\u0301".encode() * (SIZE // 3),
    "its beginning, then zeros": lambda example: example[: len(example) // 2] + bytes(SIZE),
    "itself again and again": lambda example: example * (SIZE // len(example) + 1),
    "something long in the middle": lambda example: (
        example[: len(example) // 2] + b"A" * SIZE + example[len(example) // 2 :]
    ),
}


@every_target
def test_long_input_costs_time_and_memory_in_proportion(target: Target) -> None:
    """128 KiB of what parsers are known to choke on. Twice the square of that many steps would take hours."""
    example = target.examples()[0]
    target.take(example)  # Whatever is made once and kept.
    for name, fill in FILLS.items():
        data = fill(example)
        before = time.process_time()
        target.take(data)
        took = time.process_time() - before
        assert took < 2, f"{name}: {took:.1f} s"
        tracemalloc.start()
        target.take(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200 * SIZE, f"{name}: {peak} bytes"
