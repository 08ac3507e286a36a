"""One target under atheris. Its own module: what is to be guided by must be instrumented before it is imported."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import suppress

import atheris

from tests.fuzz.shapes import Shape, change_value

with atheris.instrument_imports(include=["ballot"]):
    from tests.fuzz.targets import TARGETS


def mutator(shape: Shape | None) -> Callable[[bytes, int, int], bytes]:
    """Every other time what libFuzzer does with bytes, else a change of a value in them."""

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if shape is not None and rng.random() < 0.5:
            with suppress(Exception):  # These bytes have no such form, or the value cannot be written.
                return shape.join(change_value(shape.split(data), rng.randrange))[:most]
        return bytes(atheris.Mutate(data, most))

    return mutate


def main() -> None:
    name = sys.argv.pop(1)
    target = TARGETS[name]
    target.examples()

    def test_one_input(data: bytes) -> None:
        target.take(data)

    atheris.Setup(sys.argv, test_one_input, custom_mutator=mutator(target.shape))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
