"""The languages of tests/scenarios, and playing files from the command line.

`python -m tests.support.languages FILE...` checks files; with REWRITE_SCENARIOS=1 it writes what they print into them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ballot.embedded import EmbeddedPostgres
from tests.support.applying import Applying
from tests.support.cosigning import Cosigning
from tests.support.postgres import running_postgres
from tests.support.receipts import Receipts
from tests.support.scenario import Scenario
from tests.support.script import Script, compare
from tests.support.storage import GENESIS, Storage
from tests.support.stores import ModelStore, PostgresStore

_LANGUAGE = re.compile(r"^# Language: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`on` names what it plays on, where a language has more than one. `make` is given the server, if it needs one."""

    on: str
    make: Callable[[Any], Script]
    needs_postgres: bool = False


LANGUAGES: dict[str, Sequence[Interpreter]] = {
    "applying": [Interpreter("", Applying, needs_postgres=True)],
    "cosigning": [Interpreter("", lambda _: Cosigning())],
    "raft": [Interpreter("", lambda _: Scenario())],
    "receipts": [Interpreter("", lambda _: Receipts())],
    "storage": [
        Interpreter("model", lambda _: Storage(ModelStore(GENESIS))),
        Interpreter("postgres", lambda server: Storage(PostgresStore(server, GENESIS)), needs_postgres=True),
    ],
}


def interpreters(path: Path) -> Sequence[Interpreter]:
    """All that must print what the file says. Raises KeyError for a language that does not exist."""
    named = _LANGUAGE.search(path.read_text())
    return LANGUAGES[named[1] if named else "raft"]


def main(names: Sequence[str]) -> int:
    logging.disable()  # Nodes that end themselves say why; the scenario shows it.
    differences = []
    with ExitStack() as stack:
        server: EmbeddedPostgres | None = None
        for name in names:
            for interpreter in interpreters(Path(name)):
                if interpreter.needs_postgres:
                    server = server or stack.enter_context(running_postgres())
                differences += compare(Path(name), interpreter.make(server))
    print("\n".join(differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
