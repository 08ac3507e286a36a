"""Documents: the one canonical JSON in which a definition, a choice and a tally are hashed and stored.

RFC 8785 (JSON Canonicalization Scheme) without the two things on which JSON writers disagree or which say
nothing: no floats and no nulls. Integers stay below 2^53 in absolute value, so a browser reads them exactly.
"""

import json
from typing import Any, NoReturn

import rfc8785

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 32


class DocumentError(ValueError):
    """The value, or the bytes, are not a document."""


def encode(value: Any) -> bytes:
    """The document of a value made of dict (text keys), list, tuple, str, int and bool.

    Raises DocumentError for anything else: floats, None, large integers, lone surrogates, deep nesting.
    """
    _check(value, MAX_DEPTH)
    try:
        return rfc8785.dumps(value)
    except ValueError as error:
        raise DocumentError(f"not a document: {error}") from error


def decode(data: bytes) -> Any:
    """The value of a document. Raises DocumentError unless `data` is exactly what `encode` gives for it."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_float=_refuse_float,
            parse_constant=_refuse_float,
            object_pairs_hook=_unique,
        )
    except DocumentError:
        raise
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"not JSON: {error}") from error
    # RFC 8785 gives a value one encoding only, so comparing with a re-encoding refuses every other one.
    if encode(value) != data:
        raise DocumentError("not in canonical form")
    return value


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise DocumentError(f"nested deeper than {MAX_DEPTH} levels")
    match value:
        case bool() | str():
            return
        case int():
            if abs(value) > MAX_INTEGER:
                raise DocumentError("an integer beyond 2^53 - 1")
        case list() | tuple():
            for item in value:
                _check(item, depth - 1)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise DocumentError("a key that is not text")
                _check(item, depth - 1)
        case _:
            raise DocumentError(f"a document has no {type(value).__name__}")


def _refuse_float(text: str) -> NoReturn:
    raise DocumentError(f"a document has no float: {text[:40]}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise DocumentError("an object with the same key twice")
    return value
