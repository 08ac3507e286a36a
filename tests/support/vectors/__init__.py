"""Test vectors of the protocol: every file under tests/data/vectors, made by the code, the same each time.

`python -m tests.support.vectors` writes them; `tests/test_vectors.py` makes them again and compares every byte. Binary
values are hex. In each file `about` says what a case holds; a case with `valid` false must be refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.vectors import bytes_, choices, counts, keys, ledger, votes
from tests.support.vectors.fixed import fixed_chance

FOLDER = Path(__file__).parents[2] / "data" / "vectors"

Vectors = dict[str, Any]

MAKERS: dict[str, Callable[[], Vectors]] = {
    "frames": bytes_.frames,
    "documents": bytes_.documents,
    "msgpack": bytes_.packed,
    "entries": ledger.entries,
    "tree": ledger.tree,
    "checkpoints": ledger.checkpoints,
    "keys": keys.weak_and_sound,
    "signatures": keys.signatures,
    "definitions": choices.definitions,
    "choices": choices.choices,
    "names": choices.names,
    "credentials": votes.credentials,
    "envelopes": votes.envelopes,
    "ballots": votes.ballots,
    "receipts": ledger.receipts_,
    "lots": counts.lots,
    "counts": counts.counts,
}


def made(name: str) -> str:
    """The text of a file of vectors."""
    with fixed_chance():
        return text_of(MAKERS[name]())


def text_of(vectors: Vectors) -> str:
    """JSON with one case a line."""
    cases = ",\n  ".join(json.dumps(case) for case in vectors["cases"])
    others = "".join(
        f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in vectors.items() if name != "cases"
    )
    return f'{{\n{others} "cases": [\n  {cases}\n ]\n}}\n'


def exports() -> dict[str, bytes]:
    """Whole exports by file name; what a verifier must say of them is in `exports.json`."""
    with fixed_chance():
        return ledger.exports()


def verdicts() -> str:
    with fixed_chance():
        return text_of(ledger.verdicts())
