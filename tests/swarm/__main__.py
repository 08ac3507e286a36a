"""`make swarm-test`: the image and the stack of this checkout, deployed to a real Docker Swarm on this machine.

Builds the image, deploys the stack, runs the drills and a whole election through the gateway while a node and another
one's PostgreSQL are killed and while a rolling update replaces everything, checks that nothing was lost, and takes the
stack away again. Ends with 0 and says so where no Docker daemon can run; what was there before stays.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox

from ballot.demo import DATA
from ballot.ports import free_port
from ballot.sample import load_minneapolis

from . import standins
from .docker import NoDocker, daemon, docker, swarm
from .election import Outcome, Run
from .stack import NODES, Stack, build

STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:7.1f} s  {text}", flush=True)


def check_silence(stack: Stack, bridge: str, outcome: Outcome) -> None:
    """No secret in what docker shows of the stack, and no client's address in any log."""
    shown = stack.specification()
    passwords = [*(stack.keys / "shared").glob("*_password"), *stack.keys.glob("node*/postgres_password")]
    told = [path.name for path in passwords if path.read_text() in shown]
    outcome.note("passwords that docker inspect shows", told or "none", not told)
    # Clients of a port of this host come from its bridge.
    services = ["gateway", "redis", *(f"ledger{node}" for node in NODES)]
    logs = {service: stack.logs(service) for service in services}
    naming = [service for service, log in logs.items() if bridge in log.replace(f"smtp+plain://{bridge}", "")]
    outcome.note("logs that name a client's address", naming or "none", not naming)
    leaking = [service for service, log in logs.items() if any(path.read_text() in log for path in passwords)]
    outcome.note("logs that hold a password", leaking or "none", not leaking)


def run(voters: int, keep: bool) -> Outcome:
    made = standins.make_missing()
    for tag in made:
        say(f"made a stand-in for {tag}: {standins.VERSIONS[tag]}")
    build(say)
    bridge = docker("network", "inspect", "docker_gwbridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    with tempfile.TemporaryDirectory(prefix="ballot-swarm-") as name:
        folder = Path(name)
        # On the bridge to the containers alone.
        mail = Controller(Mailbox(folder / "mail"), hostname=bridge, port=free_port(), ready_timeout=10)
        mail.start()
        try:
            stack = Stack(folder, f"{bridge}:{mail.port}")
            say("deploying the stack")
            try:
                stack.deploy()
                say("all nodes are ready")
                sample = load_minneapolis(DATA)
                outcome = asyncio.run(Run(stack, sample, folder / "mail", folder / "voters", voters, say).run())
                check_silence(stack, bridge, outcome)
                return outcome
            finally:
                if not keep:
                    say("removing the stack")
                    stack.remove()
        finally:
            mail.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.swarm", description=__doc__)
    parser.add_argument("--voters", type=int, default=40, help="how many vote")
    parser.add_argument("--keep", action="store_true", help="leave the stack (where the daemon is not our own)")
    arguments = parser.parse_args()
    try:
        with daemon() as own, swarm():
            outcome = run(arguments.voters, arguments.keep and not own)
    except NoDocker as error:
        print(f"swarm-test: SKIPPED, nothing was tested: {error}")
        return 0
    for what, value, fine in outcome.facts:
        print(f"  {what:<42}{value}{'' if fine else '   <- WRONG'}")
    passed = bool(outcome.facts) and all(fine for _, _, fine in outcome.facts)
    print(f"swarm-test: {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
