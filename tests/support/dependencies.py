"""`make audit`: what is installed is what was pinned, it fits together, and no advisory is known about it.

The last needs an advisory service. Where none can be reached nothing was audited, and that is said, not passed over.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCK, CONSTRAINTS = ROOT / "requirements.txt", ROOT / "constraints.txt"
OURS = "ballot-ledger"
SETUP = {OURS, "pip"}

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def plain(name: str) -> str:
    """One spelling a name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Name to version of every `name==version` line."""
    return {plain(name): version for name, version in _PIN.findall(text)}


def differences(installed: dict[str, str], pinned: dict[str, str]) -> list[str]:
    """What is installed in another version than was pinned, or was not pinned at all."""
    return [
        f"{name} {version} is installed, pinned is {pinned.get(name, 'nothing')}"
        for name, version in sorted(installed.items())
        if name not in SETUP and pinned.get(name) != version
    ]


def judge(report: dict[str, Any]) -> tuple[int, list[str]]:
    """How many packages pip-audit's report is about, and the advisories in it, one line each."""
    audited, known = 0, []
    for package in report.get("dependencies", []):
        if "skip_reason" in package:
            continue
        audited += 1
        for advisory in package.get("vulns", []):
            fixed = ", ".join(advisory.get("fix_versions", [])) or "no version yet"
            known.append(f"{package['name']} {package['version']}: {advisory['id']}, mended in {fixed}")
    return audited, known


def main(pip_audit: str) -> int:
    installed = {plain(one.metadata["Name"]): one.version for one in distributions()}
    wrong = differences(installed, pins(LOCK.read_text()))
    fits = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    if fits.returncode:
        wrong.append(fits.stdout.strip())
    command = [pip_audit, "--disable-pip", "--require-hashes", "-r", str(LOCK), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        audited, known = judge(json.loads(done.stdout))
    except ValueError:
        audited, known = 0, []
    for line in wrong + known:
        sys.stdout.write(f"{line}\n")
    if not audited:
        sys.stdout.write(
            "no advisory service could be reached: the versions were compared, advisories were NOT looked up\n"
        )
    else:
        sys.stdout.write(f"{audited} packages audited, {len(known)} advisories\n")
    return 1 if wrong or known else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
