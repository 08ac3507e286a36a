"""Where the `ballot` command begins. An auditor's commands load no database driver and no server."""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:2] == ["replay"]:
        from .replay.cli import replay

        replay(sys.argv[2:], prog_name="ballot replay")
    else:
        from .cli import main as everything

        everything()
